"""What another vLLM release makes of a stack: before the patch, the patch, and what is left after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from cortexctl.cli.options import Choice
from cortexctl.cli.wiring import read_stack
from cortexctl.diagnostics import Diagnostic, Kind
from cortexctl.engines.vllm.catalogue.changes import between
from cortexctl.engines.vllm.command.reserved import OWNED
from cortexctl.engines.vllm.version import parse_release
from cortexctl.errors import UsageError
from cortexctl.files.reading import NotRead, read_text
from cortexctl.render.diagnostic import diagnostics_text
from cortexctl.render.style import Ink
from cortexctl.render.text_diff import patch_text
from cortexctl.stack.load import Releases

SILENT = {"log_config_file"}
"""Their default is the parser's own sign for "not given"."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """`before` and `after` the patch: what the release says. `defaults`: (option, was, will be) of what the stack
    leaves to vLLM. `unseen`: the stack's environments that were not looked at.
    """

    stack: str
    to: str
    now: dict[str, str]
    before: list[Diagnostic]
    text: str
    patch: str
    by_hand: list[str]
    after: list[Diagnostic]
    defaults: list[tuple[str, Any, Any]]
    unseen: list[str]

    @property
    def is_left(self) -> bool:
        return any(d.is_error for d in self.after)


def look_ahead(stack: str, choice: Choice, to: str) -> Ahead:
    """Raises UsageError for a stack that cannot be read."""
    from cortexctl.stack.document import UnreadableDocument
    from cortexctl.stack.edit.upgrade import upgraded
    from cortexctl.stack.load import environments

    releases = Releases(instead=to)
    today, _ = read_stack(stack, choice, with_secrets=False)
    _, before = read_stack(stack, choice, with_secrets=False, releases=releases)
    now = {i.model: i.spec.vllm_version or "" for i in today.instances} if today else {}
    try:
        text = read_text(stack)
    except NotRead as cause:
        sentence = f"{stack} cannot be read: No such file or directory" if cause.missing else str(cause)
        raise UsageError(sentence, next_step="cortexctl init" if cause.missing else "") from None
    known = environments(stack)
    if choice.env and choice.env not in known:
        raise UsageError(f'{stack} has no environment "{choice.env}"; there are: {", ".join(known) or "none"}')
    try:
        made = upgraded(stack, text, choice.env, to, now)
    except UnreadableDocument as cause:
        raise UsageError(f"{stack}: {cause}", next_step=f"cortexctl validate {stack}") from None
    _, after = read_stack(stack, choice, with_secrets=False, text=made.text, releases=releases)
    set_ = {name for i in today.instances for name in i.spec.args} if today else set()
    return Ahead(
        stack,
        to,
        now,
        [d for d in before if _is_about_vllm(d)],
        made.text,
        patch_text(stack, text, made.text, context=0),
        made.by_hand,
        [d for d in after if _is_about_vllm(d)],
        list(_defaults(min(filter(None, now.values()), default="", key=parse_release), to, set_)),
        [name for name in known if name != choice.env],
    )


def upgrade_text(found: Ahead, ink: Ink, *, written: bool) -> str:
    parts = [ink(_headline(found), "bold") + "\n"]
    parts += [diagnostics_text(found.before, ink)] if found.before else []
    if found.patch:
        said = "Written:" if written else "A patch (--write makes these changes):"
        parts.append(ink(said, "bold") + "\n" + found.patch)
    if found.by_hand:
        parts.append(ink("By hand:", "bold") + "\n" + "".join(f"  {line}\n" for line in found.by_hand))
    if found.defaults:
        lines = (f"  {name}   {was!s} -> {now!s}\n" for name, was, now in found.defaults)
        parts.append(ink("Defaults that change, where the stack sets nothing:", "bold") + "\n" + "".join(lines))
    parts.append(_end(found, ink))
    if found.unseen:
        parts.append(f"Not looked at: the environments {', '.join(found.unseen)}; --env NAME looks at one.\n")
    return "\n".join(parts)


def upgrade_facts(found: Ahead) -> dict[str, Any]:
    return {
        "stack": found.stack,
        "from": found.now,
        "to": found.to,
        "diagnostics": [_facts(d) for d in found.before],
        "patch": found.patch,
        "by_hand": found.by_hand,
        "left": [_facts(d) for d in found.after],
        "defaults": [{"option": n, "before": w, "after": a} for n, w, a in found.defaults],
        "environments_not_looked_at": found.unseen,
    }


def _headline(found: Ahead) -> str:
    by_release: dict[str, list[str]] = {}
    for model, release in found.now.items():
        by_release.setdefault(release or "an unknown release", []).append(model)
    was = "; ".join(f"{', '.join(sorted(models))} from {release}" for release, models in sorted(by_release.items()))
    return f"{found.stack} to vLLM {found.to}" + (f"   {was}" if was else "")


def _end(found: Ahead, ink: Ink) -> str:
    errors = sum(d.is_error for d in found.after)
    if errors:
        said = f"{errors} {'problem is' if errors == 1 else 'problems are'} left to fix by hand."
        return ink(said, "red") + "\n" + (diagnostics_text(found.after, ink) if found.patch else "")
    if found.patch:
        return f"With the patch vLLM {found.to} takes it.\n"
    return f"vLLM {found.to} takes it as it is.\n"


def _facts(d: Diagnostic) -> dict[str, Any]:
    return {
        "rule": d.rule,
        "severity": d.severity.value,
        "summary": d.summary,
        "help": d.help,
        "range": asdict(d.span) if d.span else None,
    }


def _is_about_vllm(d: Diagnostic) -> bool:
    return d.is_error or d.kind in {Kind.ENGINE, Kind.MEMORY}


def _defaults(was: str, to: str, set_: set[str]) -> Iterator[tuple[str, Any, Any]]:
    if not was or was == to:
        return
    for change in between(was, to).changed:
        if "default" in change.facts and change.name not in set_ | SILENT | OWNED.keys():
            before, after = change.facts["default"]
            if {} not in (before, after):
                yield change.name, _shown(before), _shown(after)


def _shown(default: Any) -> Any:
    return "not set, or decided at start-up" if default is None else default
