"""A fleet of fake daemons in one process: `python -m bench.fake_fleet CONTAINERS FOLDER --latency MS --dead N`.

CONTAINERS: a file of probes/desired_containers.py. FOLDER receives one socket for each host, `HOST.sock`. The last
`--dead` hosts accept connections and never answer. `--foreign`: further containers of others on each host. Prints
`ready`, and ends when its input ends: a bench that is killed leaves no fleet. `GET /_fleet` returns the number of
requests and of bytes sent since the last such request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bench.fake_fleet.answers import Answer, FakeDaemon, sends_by_itself
from bench.fake_fleet.exchange import HEALTHY, UPGRADED, Request, frame, parse_request, response

HEAD_END = b"\r\n\r\n"
BACKLOG = 256
OF_OTHERS = {"labels": {"of": "others"}, "image": "busybox:1", "network": "bridge"}


@dataclass
class Counts:
    """Of all daemons of the fleet."""

    requests: int = 0
    sent: int = 0

    def take(self) -> Answer:
        body = json.dumps({"requests": self.requests, "sent": self.sent}).encode()
        self.requests = self.sent = 0
        return Answer(200, body)


class Listener:
    """Answers the connections of one daemon. `latency`: seconds before each answer."""

    def __init__(self, daemon: FakeDaemon, latency: float, counts: Counts) -> None:
        self._daemon = daemon
        self._latency = latency
        self._counts = counts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer. Whether the connection stays open."""
        request = parse_request((await reader.readuntil(HEAD_END))[: -len(HEAD_END)])
        request = replace(request, body=await reader.readexactly(request.body_size))
        if request.target == "/_fleet":
            writer.write(response(request, self._counts.take()))
        else:
            await self._answer(request, reader, writer)
        await writer.drain()
        return request.keeps_open and not request.starts_program

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._latency)
        if request.starts_program:
            writer.write(UPGRADED + frame(b"+"))
            if not sends_by_itself(request.target):
                await reader.readuntil(HEAD_END)  # the request to the model's server
                await asyncio.sleep(self._latency)
            content = frame(HEALTHY)
        else:
            content = response(request, self._daemon.answer(request.method, request.target, request.body))
        self._counts.requests += 1
        self._counts.sent += len(content)
        writer.write(content)


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A dead host: it accepts connections, and never answers."""
    while await reader.read(65536):
        pass
    writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("containers", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency", type=float, default=0)
    parser.add_argument("--dead", type=int, default=0)
    parser.add_argument("--foreign", type=int, default=0)
    options = parser.parse_args()
    hosts = json.loads(options.containers.read_text(encoding="utf-8"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 16 * len(hosts) + 256)), hard))
    counts = Counts()
    foreign = [{**OF_OTHERS, "name": f"other-{number}"} for number in range(options.foreign)]
    alive = len(hosts) - options.dead
    for number, (host, containers) in enumerate(sorted(hosts.items())):
        daemon = FakeDaemon(host, [*containers, *foreign])
        handler = Listener(daemon, options.latency / 1000, counts).serve if number < alive else never
        await asyncio.start_unix_server(handler, options.folder / f"{host}.sock", backlog=BACKLOG, limit=1 << 20)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
