"""The command line of every vLLM release, read from its sources. See docs/adding-a-vllm-release.md.

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


def print_progress(text: str) -> None:
    sys.stderr.write(text + "\n")


def chosen(versions: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Version -> files, of these releases. Without versions: of all."""
    known = sources.releases()
    unknown = [v for v in versions if v not in known]
    if unknown:
        raise SystemExit(f"not on the package index: {', '.join(unknown)}")
    return {v: known[v] for v in versions or known}


def fetch(versions: list[str]) -> None:
    for version, files in chosen(versions).items():
        path, day = sources.fetch(version, files)
        print_progress(f"{version} of {day}: {path}")


def extracted(versions: list[str]) -> Iterator[dict[str, Any]]:
    for version, files in chosen(versions).items():
        archive, day = sources.fetch(version, files)
        with sources.unpacked(archive) as root:
            record = extract.extract(root, version, day)
        read = record["reading"]
        counts = ", ".join(f"{read[what]} {what}" for what in ("names", "actions", "nargs", "defaults", "choices"))
        print_progress(f"{version}: {len(record['options'])} options; the text confirms {counts}")
        print_progress(f"  explained differences: {', '.join(read['explained']) or 'none'}")
        yield record


def keep(new: list[dict[str, Any]]) -> None:
    """Add records to the recorded ones, and write the catalogue. An error changes nothing."""
    records_by_version = {r["version"]: r for r in merge.load()} | {r["version"]: r for r in new}
    records = sorted(records_by_version.values(), key=lambda r: sources.age(r["version"]))
    text = merge.text_of(merge.build(records))
    merge.save(records)
    merge.CATALOGUE.write_text(text)
    size = merge.RECORDS.stat().st_size
    print_progress(
        f"{len(records)} releases: {merge.CATALOGUE.name} has {len(text)} bytes, {merge.RECORDS.name} {size}"
    )


def build(*, check: bool) -> None:
    """Write the catalogue from the records. `check`: only compare. Exits with 1 if they differ."""
    if not check:
        keep([])
    elif merge.text_of(merge.build(merge.load())) != merge.CATALOGUE.read_text():
        raise SystemExit(f"{merge.CATALOGUE.name} differs from the records: run `build`")


def add(versions: list[str]) -> None:
    """Do everything for new releases: fetch, extract, build, and print the changes of each."""
    keep(list(extracted(versions)))
    for version in versions:
        diff(*_with_the_one_before(version))


def _with_the_one_before(version: str) -> tuple[str, str]:
    order = list(merge.current()["releases"])
    return order[max(0, order.index(version) - 1)], version


def diff(old: str, new: str) -> None:
    """Print the changes between two releases, for the changelog of the data."""
    for line in merge.differences(merge.current(), old, new):
        sys.stdout.write(line + "\n")


def verify(version: str, interpreter: str, site: str) -> None:
    """Compare the recorded facts of a release with a real install of it. A CPU build is enough."""
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
    known = next(r for r in merge.load() if r["version"] == version)
    differences = list(_unlike(real, known))
    sys.stdout.write("".join(line + "\n" for line in differences))
    compared = f"{len(real['options'])} options and {len(real['configs'])} config classes"
    print_progress(f"{compared} compared, {len(differences)} differences")
    sys.exit(bool(differences))


def _unlike(real: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    mine, theirs = ({o["dest"]: o for o in r["options"]} for r in (known, real))
    for name in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get(name, {}), theirs.get(name, {})
        for key in sorted((a.keys() | b.keys()) - {"deprecated"}):
            if a.get(key) != b.get(key):
                yield f"option {name}, {key}: recorded {a.get(key)!r}, real {b.get(key)!r}"
    for part in CHECKED[1:]:
        a, b = known[part], real[part]
        if isinstance(b, dict):
            yield from (
                f"{part} {k}: recorded {a.get(k)!r}, real {b.get(k)!r}"
                for k in sorted(a.keys() | b.keys())
                if a.get(k) != b.get(k)
            )
        elif a != b:
            yield f"{part}: recorded {a!r}, real {b!r}"
    for part, names in real["registries"].items():
        if known["registries"][part] != names:
            yield f"registry {part}: recorded and real differ"


def main() -> None:
    parser = argparse.ArgumentParser(prog="vllm_catalogue", description=__doc__.partition("\n")[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("fetch", "sources into the cache"),
        ("extract", "facts of releases, as JSON lines"),
        ("add", "fetch, extract and build for new releases"),
    ):
        each = commands.add_parser(name, help=text)
        each.add_argument("versions", nargs="+" if name == "add" else "*", help="default: all")
    again = commands.add_parser("build", help="write the catalogue again, from the records")
    again.add_argument("--check", action="store_true", help="write nothing; exit 1 if it would change")
    two = commands.add_parser("diff", help="the changes between two releases")
    two.add_argument("old")
    two.add_argument("new")
    real = commands.add_parser("verify", help="compare the recorded facts with a real install")
    real.add_argument("version")
    real.add_argument("--python", default=sys.executable, help="an interpreter that can import the install")
    real.add_argument("--site", default="", help="the folder with the installed packages")
    judge = commands.add_parser(
        "judge", help="a release's own verdict on argument lists: one JSON list a line on stdin"
    )
    judge.add_argument("version")
    judge.add_argument("--entry", default="serve", choices=["serve", "api_server"])
    judged = commands.add_parser("cases", help="the verdicts that the tests compare with, of all releases or of these")
    judged.add_argument("versions", nargs="*")
    options = parser.parse_args()
    match options.command:
        case "fetch":
            fetch(options.versions)
        case "extract":
            for record in extracted(options.versions):
                sys.stdout.write(json.dumps(record, sort_keys=True) + "\n")
        case "add":
            add(options.versions)
        case "build":
            build(check=options.check)
        case "diff":
            diff(options.old, options.new)
        case "verify":
            verify(options.version, options.python, options.site)
        case "judge":
            archive, _ = sources.fetch(options.version, chosen([options.version])[options.version])
            with sources.unpacked(archive) as root:
                sys.stdout.write(extract.run("oracle", root, options.version, options.entry, sys.stdin.read()))
        case "cases":
            cases.write(chosen(options.versions))


if __name__ == "__main__":
    main()
