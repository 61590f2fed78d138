"""Format a stack file."""

from __future__ import annotations

from cortexctl.diagnostics import error
from cortexctl.files.atomic import write_atomic
from cortexctl.files.reading import NotRead, read_regular
from cortexctl.operations.fit_search import StackPatch
from cortexctl.operations.read_stack import BadStack
from cortexctl.stack.document import UnreadableDocument
from cortexctl.stack.edit.layout import formatted


def format_file(path: str, *, write: bool) -> StackPatch:
    """`write`: change the file. Raises BadStack, and UsageError if it cannot be written."""
    try:
        data = read_regular(path, inside=True)
    except NotRead as cause:
        raise BadStack(path, [error("CX101", str(cause), help=cause.advice)]) from None
    patch = _patch(path, path, data)
    if write and patch.before != patch.after:
        write_atomic(path, patch.after)
    return patch


def format_stdin(data: bytes) -> StackPatch:
    """TOML or JSON: no TOML begins with a brace. Raises BadStack."""
    is_json = data.decode(errors="replace").removeprefix("\ufeff").lstrip().startswith("{")
    return _patch("-", "stdin.json" if is_json else "stdin.toml", data)


def _patch(path: str, name: str, data: bytes) -> StackPatch:
    """With the file's byte order mark and its line ends, because they may have to change."""
    try:
        before = data.decode()
        return StackPatch(path, before, formatted(name, before))
    except UnicodeDecodeError:
        problem = error("CX101", f"{path} is not UTF-8 text", help="a stack file is TOML or JSON")
    except UnreadableDocument as cause:
        problem = cause.diagnostic
    raise BadStack(path, [problem])
