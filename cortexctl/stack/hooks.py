"""Converts the file's hooks to values, with the problems in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import PurePath
from urllib.parse import urlsplit

from cortexctl.desired.hook import Hook, Point
from cortexctl.diagnostics import Diagnostic, SourceSpan, error, warning
from cortexctl.instance.spec import SecretRef
from cortexctl.stack.document import Document
from cortexctl.stack.places import Loc
from cortexctl.stack.schema import HookTable, SecretTable, StackFile, StackHookTable
from cortexctl.text.suggest import nearest
from cortexctl.text.units import seconds

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def hooks_of(stack: StackFile, document: Document) -> tuple[tuple[Hook, ...], list[Diagnostic]]:
    """All hooks by name, the stack's before the models'; and the problems with them."""
    tables: list[tuple[Loc, HookTable, tuple[str, ...]]] = [
        (("hooks", name), table, tuple(table.models or ["*"])) for name, table in sorted(stack.hooks.items())
    ]
    tables += [
        (("models", model, "hooks", name), table, (model,))
        for model, with_hooks in sorted(stack.models.items())
        for name, table in sorted(with_hooks.hooks.items())
    ]
    hooks, diagnostics = [], []
    withheld = _withheld(stack)
    for loc, table, models in tables:
        secrets, problems = _secrets(loc, table, models, stack, document)
        diagnostics += [*_check(loc, table, stack, document), *problems]
        hooks.append(_hook(str(loc[-1]), table, models, secrets, withheld))
    return tuple(hooks), diagnostics


def audit_log(stack: StackFile, path: str) -> str:
    """The audit log file, relative to the stack's folder; empty: no log."""
    return (stack.audit.log or default_log(path)) if stack.audit.enabled else ""


def default_log(path: str) -> str:
    """The log's default name, next to the stack."""
    return f"{PurePath(path).stem}.audit.jsonl"


def _hook(
    name: str, table: HookTable, models: tuple[str, ...], secrets: tuple[SecretRef, ...], withheld: tuple[str, ...]
) -> Hook:
    point = Point(table.on)
    return Hook(
        name=name,
        on=point,
        command=tuple(table.command or ()),
        url=table.url if isinstance(table.url, str) else "",
        url_from=table.url.reference("url") if isinstance(table.url, SecretTable) else None,
        timeout=seconds(table.timeout),
        models=models,
        required=point.may_refuse and table.required is not False,
        secrets=secrets,
        withheld=withheld if table.command else (),
    )


def _withheld(stack: StackFile) -> tuple[str, ...]:
    """The environment variables that hold the stack's secrets, of any model: a hook gets only its own secrets."""
    tables = [t for model in stack.models.values() for t in model.secrets.values()]
    hooks = [*stack.hooks.values(), *(h for model in stack.models.values() for h in model.hooks.values())]
    tables += [h.url for h in hooks if isinstance(h.url, SecretTable)]
    names = {t.env for t in tables if t.env} | {f"CORTEXCTL_VAR_{t.var}" for t in tables if t.var}
    return tuple(sorted(names | {f"CORTEXCTL_VAR_{name}" for name, var in stack.vars.items() if var.secret}))


def _secrets(
    loc: Loc, table: HookTable, models: tuple[str, ...], stack: StackFile, document: Document
) -> tuple[tuple[SecretRef, ...], list[Diagnostic]]:
    """The secrets by name, from the models of the hook. One name must mean one secret: a hook of a run has no model."""
    if not table.secrets:
        return (), []
    mine = [m for name, m in stack.models.items() if any(fnmatchcase(name, pattern) for pattern in models)]
    known = {name for model in mine for name in model.secrets}
    references: list[SecretRef] = []
    diagnostics = []
    for index, name in enumerate(table.secrets):
        place = partial(document.place, (*loc, "secrets", index))
        meant = {m.secrets[name].reference(name) for m in mine if name in m.secrets} - {None}
        if not meant:
            close = nearest(name, known)
            advice = (
                f'did you mean "{close}"?'
                if close
                else (f"secrets of these models: {', '.join(sorted(known)) or 'none'}")
            )
            diagnostics.append(error("CX228", f'no model of this hook has a secret "{name}"', place(), help=advice))
        elif len(meant) > 1:
            summary = f'"{name}" is {len(meant)} different secrets in the models of this hook'
            diagnostics.append(
                error("CX228", summary, place(), help="narrow its `models`, or give the hook to each model")
            )
        references += [reference for reference in meant if reference]
    return tuple(references), diagnostics


def _check(loc: Loc, table: HookTable, stack: StackFile, document: Document) -> Iterator[Diagnostic]:
    if (table.command is None) == (table.url is None):
        both = "both command and url" if table.command else "neither command nor url"
        yield error("CX228", f"the hook {loc[-1]} has {both}", document.place(loc, key=True),
                    help="set exactly one of them")  # fmt: skip
    if table.required and not Point(table.on).may_refuse:
        yield error("CX228", f"`required` has no effect on {table.on}: the event has already happened",
                    document.place((*loc, "required")), help="remove `required`")  # fmt: skip
    if not seconds(table.timeout):
        yield error("CX228", "a hook without any time can only fail",
                    document.place((*loc, "timeout")), help='set a time, for example "30s"')  # fmt: skip
    if table.secrets and table.url is not None:
        yield error("CX228", "secrets are for commands: a URL gets none",
                    document.place((*loc, "secrets")), help="remove `secrets`")  # fmt: skip
    if isinstance(table.url, SecretTable) and table.url.reference("url") is None:
        yield error("CX204", "the URL needs one of env, file, var and command", document.place((*loc, "url")))
    if isinstance(table.url, str):
        yield from _check_url(table.url, partial(document.place, (*loc, "url")))
    if isinstance(table, StackHookTable):
        for index, pattern in enumerate(table.models or ()):
            if not any(fnmatchcase(name, pattern) for name in stack.models):
                close = nearest(pattern, stack.models)
                advice = f'did you mean "{close}"?' if close else f"models in the stack: {', '.join(stack.models)}"
                yield error("CX228", f'no model matches "{pattern}"',
                            document.place((*loc, "models", index)), help=advice)  # fmt: skip


def _check_url(url: str, place: Callable[[], SourceSpan | None]) -> Iterator[Diagnostic]:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        yield error("CX228", "the hook's url is not a URL", place(), help="write https://HOST/PATH")
        return
    if not good:
        yield error("CX228", "a hook's url must be an http or https URL", place(), help="write https://HOST/PATH")
    elif parts.scheme == "http" and parts.hostname not in LOOPBACK:
        summary = "the hook's data is sent over the network unencrypted"
        yield warning("CX228", summary, place(), help="use https")
