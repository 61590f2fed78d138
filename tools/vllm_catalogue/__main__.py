"""What every vLLM release takes on its command line, read from its sources. See docs/adding-a-vllm-release.md.

python -m tools.vllm_catalogue add 0.34.0
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from tools.vllm_catalogue import cases, extract, merge, sources

CHECKED = ("options", "types", "configs", "behaviour", "allow_abbrev")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def chosen(versions: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The files of these releases, or of all."""
    known = sources.releases()
    unknown = [v for v in versions if v not in known]
    if unknown:
        raise SystemExit(f"not on the package index: {', '.join(unknown)}")
    return {v: known[v] for v in versions or known}


def fetch(versions: list[str]) -> None:
    for version, files in chosen(versions).items():
        path, day = sources.fetch(version, files)
        say(f"{version} of {day}: {path}")


def extracted(versions: list[str]) -> Iterator[dict[str, Any]]:
    for version, files in chosen(versions).items():
        archive, day = sources.fetch(version, files)
        with sources.unpacked(archive) as root:
            record = extract.extract(root, version, day)
        read = record["reading"]
        counts = ", ".join(f"{read[what]} {what}" for what in ("names", "actions", "nargs", "defaults", "choices"))
        say(f"{version}: {len(record['options'])} options; the text confirms {counts}")
        say(f"  looked at before: {', '.join(read['explained']) or 'nothing'}")
        yield record


def keep(new: list[dict[str, Any]]) -> None:
    """Puts records among the kept ones and builds the catalogue, or changes nothing."""
    kept = {r["version"]: r for r in merge.load()} | {r["version"]: r for r in new}
    records = sorted(kept.values(), key=lambda r: sources.age(r["version"]))
    text = merge.text_of(merge.build(records))
    merge.save(records)
    merge.CATALOGUE.write_text(text)
    size = merge.RECORDS.stat().st_size
    say(f"{len(records)} releases: {merge.CATALOGUE.name} has {len(text)} bytes, {merge.RECORDS.name} {size}")


def build(*, check: bool) -> None:
    """The catalogue from the kept records; `check` only says whether it is that."""
    if not check:
        keep([])
    elif merge.text_of(merge.build(merge.load())) != merge.CATALOGUE.read_text():
        raise SystemExit(f"{merge.CATALOGUE.name} is not what the kept records give: run `build`")


def add(versions: list[str]) -> None:
    """All of it for new releases: fetch, extract, build, and what the newest one changes."""
    keep(list(extracted(versions)))
    for version in versions:
        diff(*_with_the_one_before(version))


def _with_the_one_before(version: str) -> tuple[str, str]:
    order = list(merge.current()["releases"])
    return order[max(0, order.index(version) - 1)], version


def diff(old: str, new: str) -> None:
    """What changed between two releases: for the changelog of the data."""
    for line in merge.differences(merge.current(), old, new):
        sys.stdout.write(line + "\n")


def verify(version: str, interpreter: str, site: str) -> None:
    """The kept facts of a release against a real install of it (a CPU build will do)."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [interpreter, "-m", "tools.vllm_catalogue.inside", "real", folder, version, "serve"],
            capture_output=True,
            text=True,
            check=False,
            cwd=extract.ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": folder,
                "PYTHONPATH": site,
                "VLLM_TARGET_DEVICE": "cpu",
                "VLLM_CONFIGURE_LOGGING": "0",
            },
        )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    real = json.loads(done.stdout)
    kept = next(r for r in merge.load() if r["version"] == version)
    found = list(_unlike(real, kept))
    sys.stdout.write("".join(line + "\n" for line in found))
    say(f"{len(real['options'])} options and {len(real['configs'])} config classes compared, {len(found)} differences")
    sys.exit(bool(found))


def _unlike(real: dict[str, Any], kept: dict[str, Any]) -> Iterator[str]:
    mine, theirs = ({o["dest"]: o for o in r["options"]} for r in (kept, real))
    for name in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(name, {}), theirs.get(name, {})
        for key in sorted((a.keys() | b.keys()) - {"deprecated"}):
            if a.get(key) != b.get(key):
                yield f"option {name}, {key}: kept {a.get(key)!r}, real {b.get(key)!r}"
    for part in CHECKED[1:]:
        a, b = kept[part], real[part]
        if isinstance(b, dict):
            yield from (
                f"{part} {k}: kept {a.get(k)!r}, real {b.get(k)!r}"
                for k in sorted(a.keys() | b.keys())
                if a.get(k) != b.get(k)
            )
        elif a != b:
            yield f"{part}: kept {a!r}, real {b!r}"
    for part, names in real["registries"].items():
        if kept["registries"][part] != names:
            yield f"registry {part}: kept and real differ"


def main() -> None:
    parser = argparse.ArgumentParser(prog="vllm_catalogue", description=__doc__.partition("\n")[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("fetch", "sources into the cache"),
        ("extract", "facts of releases, as JSON lines"),
        ("add", "all for new releases"),
    ):
        each = commands.add_parser(name, help=text)
        each.add_argument("versions", nargs="+" if name == "add" else "*", help="all, if none is named")
    again = commands.add_parser("build", help="the catalogue again, from the kept records")
    again.add_argument("--check", action="store_true", help="write nothing, exit 1 if it would change")
    two = commands.add_parser("diff", help="what changed between two releases")
    two.add_argument("old")
    two.add_argument("new")
    real = commands.add_parser("verify", help="the kept facts against a real install")
    real.add_argument("version")
    real.add_argument("--python", default=sys.executable, help="an interpreter that fits the install")
    real.add_argument("--site", default="", help="the folder with the installed packages")
    judge = commands.add_parser(
        "judge", help="a release's own verdict on argument lists: one JSON list a line on stdin"
    )
    judge.add_argument("version")
    judge.add_argument("--entry", default="serve", choices=["serve", "api_server"])
    judged = commands.add_parser(
        "cases", help="the verdicts that the tests compare with, of all releases or of named ones"
    )
    judged.add_argument("versions", nargs="*")
    given = parser.parse_args()
    match given.command:
        case "fetch":
            fetch(given.versions)
        case "extract":
            for record in extracted(given.versions):
                sys.stdout.write(json.dumps(record, sort_keys=True) + "\n")
        case "add":
            add(given.versions)
        case "build":
            build(check=given.check)
        case "diff":
            diff(given.old, given.new)
        case "verify":
            verify(given.version, given.python, given.site)
        case "judge":
            archive, _ = sources.fetch(given.version, chosen([given.version])[given.version])
            with sources.unpacked(archive) as root:
                sys.stdout.write(extract.run("oracle", root, given.version, given.entry, sys.stdin.read()))
        case "cases":
            cases.write(chosen(given.versions))


if __name__ == "__main__":
    main()
