"""A program `cortexctl` that starts in a tenth of the time, for scripts that start it several times.

A server has the imports already loaded, and forks a process for each call. The process has the standard streams, the
folder and the environment of the caller, and runs the real command line. A real start is left to the tests of starts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from tests.forks import LOADED, run_as

REPO = Path(__file__).parent.parent
CLIENT = """#!{python} -IS
import os, socket, sys
from json import dumps
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    call = dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [b"x"], [0, 1, 2])
    server.sendall(call)
    server.shutdown(socket.SHUT_WR)
    code = server.recv(4)
sys.exit(int(code) if code else "the command ended without an exit code")
"""


@contextmanager
def quick_programs(folder: Path) -> Iterator[Path]:
    """Yields a folder with the program. `folder`: an empty one."""
    address, program = folder / "socket", folder / "bin" / "cortexctl"
    program.parent.mkdir()
    program.write_text(CLIENT.format(python=os.path.realpath(sys.executable), address=str(address)))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(8)
        argv = [sys.executable, "-m", "tests.quick_start", str(listener.fileno())]
        server = subprocess.Popen(argv, cwd=REPO, pass_fds=[listener.fileno()])
    try:
        yield program.parent
    finally:
        server.kill()
        server.wait()


def serve(listener: socket.socket) -> None:
    """Fork a process for each call. Does not return."""
    for name in LOADED:
        if name != "__main__":
            import_module(name)
    while True:
        caller, _ = listener.accept()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        if os.fork() == 0:
            listener.close()
            answer(caller)
        caller.close()


def answer(caller: socket.socket) -> None:
    """In the new process: run the command, and send its exit code. Does not return."""
    code: object = 1
    try:
        _, streams, _, _ = socket.recv_fds(caller, 1, 3)
        argv, cwd, env = json.load(caller.makefile("r", encoding="utf-8"))
        run_as(streams, cwd, env, argv)
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        caller.sendall(str(code).encode())
        os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
