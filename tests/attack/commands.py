"""The command line in this process: thousands of runs, and what each wrote."""

from __future__ import annotations

import gc
import io
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from cortexctl.cli.main import run
from tests.attack.finds import check_shown

EXIT_CODES = {0, 1, 2, 3, 4, 5}


@dataclass(frozen=True)
class Wrote:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


@contextmanager
def in_one_process() -> Iterator[None]:
    """For many commands in one process: files that a command leaves open are closed at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


def command(*arguments: str, env: Mapping[str, str] | None = None, quotes: bool = False) -> Wrote:
    """Run a command. Fails if its output has a traceback, or characters that control a terminal. `quotes`: the output
    quotes an input that may contain a traceback; one of ours also says that it is a bug.
    """
    out, err = _stream("strict"), _stream("backslashreplace")
    with patch.dict(os.environ, env or {}), redirect_stdout(out), redirect_stderr(err):
        code = run(list(arguments))
    wrote = Wrote(code, _text(out), _text(err))
    check_sane(code, wrote.all, quotes=quotes)
    is_json = arguments[0] == "observe" or "json" in arguments
    if is_json and wrote.out:  # which is for programs
        json.loads(wrote.out)
    check_shown(f"cortexctl {' '.join(a for a in arguments if a.isalpha())}", wrote.err if is_json else wrote.all)
    return wrote


def _stream(errors: str) -> io.TextIOWrapper:
    """A stream like those that Python opens: it may refuse characters of a stack or a host."""
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors)


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    written = stream.buffer
    assert isinstance(written, io.BytesIO)
    return written.getvalue().decode("utf-8")


def check_sane(code: int, text: str, *, quotes: bool = False) -> None:
    """It ended with a sentence and a code of ours."""
    if "Traceback" in text and not quotes:
        raise AssertionError(f"traceback of {_traceback(text)}: {text[-3000:]}")
    if "this is a bug" in text:
        line = next(line for line in text.splitlines() if "this is a bug" in line)
        cause = re.search(r"\w*(?:Error|Exception)\b", line)
        raise AssertionError(f"says that it is a bug ({cause[0] if cause else 'no reason'}): {line}\n{text[-3000:]}")
    assert code in EXIT_CODES, f"exit code {code}: {text[-2000:]}"


def _traceback(text: str) -> str:
    """The exception, and the last place in the package that it came through."""
    lines = text.splitlines()
    places = [
        line for line in lines if line.lstrip().startswith('File "') and "/cortexctl/" in line and "/tests/" not in line
    ]
    errors = [
        line
        for line in lines
        if re.match(r"[\w.]*(Error|Exception|Exhausted)\b", line) and not line.startswith("Error")
    ]
    what = errors[-1] if errors else "something"
    if not places:
        return what.partition(":")[0]
    file = places[-1].rpartition("/cortexctl/")[2].partition('"')[0]
    return f"{what.partition(':')[0]} in {file}:{places[-1].rpartition(' in ')[2].strip()}"
