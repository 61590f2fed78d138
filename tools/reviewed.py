"""Writes reviewed.json, which the program reads, from reviewed.toml, which people write (`make catalogue`).

The standard library parses the TOML in 4 ms and the JSON in 0.1 ms, at every start that checks arguments.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "cortexctl" / "engines" / "vllm" / "catalogue"
WRITTEN = FOLDER / "reviewed.toml"
GENERATED = FOLDER / "reviewed.json"


def text_of(tables: dict[str, list[dict[str, Any]]]) -> str:
    """As JSON with one line a row, so that a difference shows the rows."""

    def compact(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    parts = (f"{compact(name)}:[\n" + ",\n".join(map(compact, rows)) + "\n]" for name, rows in tables.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Writes the file."""
    GENERATED.write_text(text_of(tomllib.loads(WRITTEN.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
