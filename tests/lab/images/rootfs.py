#!/usr/bin/env python3
"""Make a root file system for a container out of the running interpreter: no registry, no network, seconds.

Copies the interpreter with its standard library, a shell and a few tools, and the shared libraries that these need.
Works for Debian's interpreter and for a self-built one. The result is a folder; `docker import` makes the image.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# not sys.base_prefix: distributions put the standard library in different places
STDLIB = Path(os.__file__).parent
LIBS = Path("usr/lib") / (sysconfig.get_config_var("MULTIARCH") or "")
TOOL_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = [
    "sh",
    "env",
    "cat",
    "ls",
    "mkdir",
    "rm",
    "sleep",
    "kill",
    "id",
    "true",
    "false",
    "date",
    "head",
    "tail",
    "touch",
]
# Loaded by name at run time, so ldd does not see them: name look-ups, and what threads need to be cancelled.
RUNTIME_LIBS = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2", "libgcc_s.so.1"]

ALWAYS_SKIPPED = (
    *("site-packages", "dist-packages", "test", "tests", "_test*", "xxlimited*"),
    *(
        "idlelib",
        "tkinter",
        "_tkinter*",
        "turtledemo",
        "lib2to3",
        "ensurepip",
        f"config-{sys.version_info.major}*",
    ),
)
SLIM_SKIPPED = (
    *(
        "*.opt-*.pyc",
        "pydoc*",
        "distutils",
        "unittest",
        "venv",
        "wsgiref",
        "msilib",
        "turtle*",
        "xml",
        "pyexpat*",
    ),
    *(
        "sqlite3",
        "_sqlite3*",
        "curses",
        "_curses*",
        "dbm",
        "_dbm*",
        "_gdbm*",
        "readline*",
        "nis*",
        "_decimal*",
    ),
    "*_codecs_*",
    *(
        "ssl.py",
        "_ssl*",
        "_hashlib*",
        "_bz2*",
        "_lzma*",
    ),  # http.client, hashlib and shutil do without, and start faster
)


def make_skeleton(root: Path) -> None:
    """Create the folders and the few files of /etc that programs need."""
    for folder in (
        "usr/local/bin",
        "usr/bin",
        "usr/lib64",
        LIBS,
        "etc",
        "tmp",
        "var/tmp",
        "root",
        "proc",
        "sys",
        "dev",
        "run",
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for link, target in (("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")):
        (root / link).symlink_to(target)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\npasswd: files\ngroup: files\n")
    (root / "etc/ld.so.conf").write_text(f"/{LIBS}\n/usr/local/lib\n")


def copy_python(root: Path, *, slim: bool) -> list[Path]:
    """Copy interpreter and standard library to /usr/local; returns the ELF files among the originals."""
    exe = Path(sys.executable).resolve()
    lib = root / "usr/local/lib" / PYTHON
    skip = shutil.ignore_patterns(*ALWAYS_SKIPPED, *(SLIM_SKIPPED if slim else ()))
    # links are followed, as Debian's lead out of the folder (to /etc/python3.x)
    shutil.copytree(STDLIB, lib, ignore=skip, ignore_dangling_symlinks=True)
    (lib / "site-packages").mkdir()
    # Debian's interpreter reads only the folder of this name
    (lib / "dist-packages").symlink_to("site-packages")
    shutil.copy2(exe, root / "usr/local/bin" / PYTHON)
    for name in ("python3", "python"):
        (root / "usr/local/bin" / name).symlink_to(PYTHON)
    return [exe, *(STDLIB / "lib-dynload").glob("*.so")]


def copy_tools(root: Path, names: Iterable[str]) -> list[Path]:
    """Copy host programs to /usr/bin; returns the originals."""
    sources = []
    for name in names:
        source = shutil.which(name, path=TOOL_PATH)
        if source is None:
            sys.exit(f"rootfs.py: this machine has no {name}")
        shutil.copy2(Path(source).resolve(), root / "usr/bin" / name)
        sources.append(Path(source))
    return sources


def needed_libraries(files: list[Path]) -> dict[str, Path]:
    """Return the shared libraries that ELF files need, by name, as the host's loader finds them."""
    libraries: dict[str, Path] = {}
    for start in range(0, len(files), 200):  # a command line has a limited length
        command = ["ldd", *map(str, files[start : start + 200])]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        for name, path in re.findall(r"^\s*(\S+) => (/\S+) \(", output, re.MULTILINE):
            libraries[name] = Path(path)
        for path in re.findall(r"^\s*(/lib\S*/ld-\S+) \(", output, re.MULTILINE):
            libraries[path] = Path(path)  # the loader: its absolute path is written into every program
    return libraries


def runtime_libraries(names: Iterable[str]) -> list[Path]:
    """Find libraries by name in the folders of this machine's loader."""
    folders = [Path("/") / LIBS, Path("/lib") / LIBS.name, Path("/usr/lib"), Path("/lib")]
    places = ([folder / name for folder in folders if (folder / name).exists()] for name in names)
    return [paths[0] for paths in places if paths]


def copy_libraries(root: Path, files: list[Path], extra: list[Path], site: Path | None) -> int:
    """Copy the libraries that `files` and the packages in `site` need, except those that `site` contains."""
    own = {path.name for path in site.rglob("*.so*")} if site else set()
    libraries = needed_libraries(files + extra) | {path.name: path for path in extra}
    for name, path in libraries.items():
        if name in own or (site and path.is_relative_to(site.resolve())):
            continue
        target = root / name.lstrip("/") if name.startswith("/") else root / LIBS / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path.resolve(), target)
    return len(libraries)


def strip(root: Path) -> None:
    """Remove the debugging symbols of all ELF files, to save space. Without binutils the files stay unchanged."""
    if shutil.which("strip") is None:
        return
    elf = []
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    elf.append(str(path))
                    path.chmod(0o755)
    subprocess.run(["strip", "--strip-unneeded", *elf], check=False)


def main() -> None:
    """Read the arguments and make the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dir", type=Path, help="folder to make; must not exist")
    parser.add_argument("--slim", action="store_true", help="without the parts that a small server does not need")
    parser.add_argument("--site", type=Path, help="packages whose libraries are wanted too (they are not copied)")
    parser.add_argument("--tools", nargs="*", default=[], help="more programs of this machine")
    parser.add_argument("--libs", nargs="*", default=[], help="more libraries, which are loaded by name at run time")
    args = parser.parse_args()
    root: Path = args.dir
    root.mkdir(parents=True)
    make_skeleton(root)
    files = copy_python(root, slim=args.slim) + copy_tools(root, [*TOOLS, *args.tools])
    if args.site:
        files += [path for path in args.site.rglob("*.so*") if path.is_file() and not path.is_symlink()]
    copy_libraries(root, files, runtime_libraries([*RUNTIME_LIBS, *args.libs]), args.site)
    if args.slim:
        strip(root)
    ldconfig = shutil.which("ldconfig", path=TOOL_PATH) or "/sbin/ldconfig"
    subprocess.run([ldconfig, "-r", str(root)], check=True)


if __name__ == "__main__":
    main()
