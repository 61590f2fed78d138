"""Plans to render, for tests: large ones, rich ones, and ones in which every text is hostile."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cortexctl.desired.measured_card import MeasuredCard
from cortexctl.desired.stack import Host, ReachMode
from cortexctl.diagnostics import Diagnostic, SourceSpan, error, warning
from cortexctl.instance.spec import Server
from cortexctl.plan.action import Action
from cortexctl.plan.diff import FieldChange
from cortexctl.plan.model import Change, Plan, PlannedHost
from cortexctl.plan.steps import Step
from cortexctl.text.invocation import Invocation
from tests.record_case import CASES, plan_of_case

NASTY = (
    "|", "a | b | c", "`", "``", "```", "````\n```", "`" * 40, "~~~", "~" * 30, "</details>", "</summary></details>",
    "-->", "--!>", "<!-- x", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](y)", "[x](javascript:y)",
    "![x](http://evil.example/x.png)", "<http://evil.example>", "http://evil.example/a_b", "www.evil.example", "a@b.example",
    "@everyone", "@org/team", "#1", "GH-12", "org/repo#12", "org/repo@0123456789abcdef", "0123456789abcdef0123456789abcdef01234567",
    "!12 ~label %1 $x$ &1 ^1 :tada:", "\\", "\\\\|", "\\`", "\r\n# heading\r\n", "\n\n---\n\n- [ ] x", "\n| a | b |\n|---|---|\n",
    "\u202eevil\u202c", "\u200f\u061c", "👩‍👩‍👧‍👦👍🏽🏴", "e\u0301" * 50, "\0\x07\x1b[31mred\x1b[0m\x7f\x9b", "\ud800", "\u2028\u2029\ufeff\u200b",
    "*a* _b_ **c** ~~d~~", "&lt;b&gt; &#64;x", "{{ 7 * 7 }} {% raw %}", "$`x`$", "a" * 10_000, "`|@#<" * 2_000, "\U000e0041\U000e0042", " ", "  x  ",
    "</style></script><script>", "'\"><b x='", "```diff\n+ x\n```", "::warning::x", "/close", "=====", "> quote", "1. x", "\t",
)  # fmt: skip


@functools.cache
def case(name: str) -> Plan:
    return plan_of_case(CASES / name)


def moved_to(change: Change, host: str, name: str = "") -> Change:
    """The change on another host, and of another model."""
    name = name or change.address.removeprefix(f"{change.host}/")
    return replace(change, host=host, address=f"{host}/{name}", model=name.split("--")[0])


def one(name: str, action: Action) -> Change:
    """The change of a case that does this."""
    return next(c for c in case(name).changes if c.action is action)


def rich_plan() -> Plan:
    """Every action, a change on twelve hosts, every kind of field, diagnostics with and without a place."""
    base = case("readme")
    value = {"rope": {"factor": 4, "type": "yarn"}, "long": "x" * 200}
    wide = one("readme", Action.REPLACE)
    wide = replace(
        wide,
        fields=(
            *wide.fields,
            FieldChange("args.hf_overrides", {"rope": {"factor": 2}}, value),
            FieldChange("env.VLLM_LOGGING_LEVEL", "INFO", None),
            FieldChange("secrets.HF_TOKEN", "env:HF_TOKEN fingerprint-1", "env:HF_TOKEN fingerprint-2", sensitive=True),
        ),
    )
    hosts = [f"gpu-{i}" for i in range(1, 13)]
    changes = [moved_to(wide, h, "llama-70b") for h in hosts]
    changes += [moved_to(one("readme", Action.CREATE), h) for h in hosts[1:3]]
    changes += [
        moved_to(one("remove_not_in_stack", Action.REMOVE), "gpu-3", "old-embedder"),
        moved_to(one("leftover_candidate_removed", Action.REMOVE), "gpu-4", "reranker--g2"),
        moved_to(one("update_in_place", Action.UPDATE), "gpu-4", "reranker"),
        moved_to(one("moved", Action.MOVE), "gpu-4", "whisper"),
        moved_to(one("forget", Action.FORGET), "gpu-5", "legacy"),
        moved_to(one("start_stopped", Action.START), "gpu-6", "vision"),
        moved_to(one("restart_requested", Action.RESTART), "gpu-7", "asr"),
    ]
    changes += [moved_to(one("no_changes", Action.NO_OP), h, "chat") for h in hosts]
    source = one("readme", Action.REPLACE)
    steps = [_step(s, c) for c in changes[:12] for s in base.steps_of(source)]
    steps += [replace(s, id=f"gpu-1/own{i}") for i, s in enumerate(base.steps) if not s.address]
    return replace(
        base,
        stack="inference-prod",
        env="prod",
        stack_path="stacks/prod.toml",
        selection=("--target llama-*",),
        invocation=Invocation(
            "stacks/prod.toml", "prod", ("prod.vars.toml",), ("tag=v0.32.0", "token"), (("--target", "llama-*"),)
        ),
        hosts=(
            _host(hosts[0], "exec", (MeasuredCard("0.26.0", free=10**11),)),
            *(_host(h) for h in hosts[1:]),
            PlannedHost(Host("gpu-13", "ssh://ops@gpu-13"), problem="it does not answer"),
        ),
        changes=tuple(sorted(changes, key=lambda c: c.address)),
        steps=tuple(steps),
        diagnostics=_diagnostics(),
    )


def _step(step: Step, change: Change) -> Step:
    identity = f"{change.host}/{step.id.partition('/')[2]}"
    return replace(step, id=identity, host=change.host, address=change.address, after=())


def _host(name: str, reach: ReachMode = "auto", cards: tuple[MeasuredCard, ...] = ()) -> PlannedHost:
    host = Host(name, f"ssh://ops@{name}.rack.internal", reach=reach, measured_cards=cards)
    return PlannedHost(host, "Docker/27.3.1 (linux)", 3, 1)


def _diagnostics() -> tuple[Diagnostic, ...]:
    line = SourceSpan("stacks/prod.toml", 41, 17, 22, "max_model_len = 32768    # was 16384")
    image = SourceSpan("stacks/prod.toml", 12, 9, 35, 'image = "vllm/vllm-openai:latest"')
    return (
        error("CX401", "gpu-13: the daemon does not answer; skipped: llama-70b", help="is its daemon hung?"),
        warning("CX209", "the image latest moves", image, help="pin a release, for example v0.32.0"),
        warning("CX303", "without effect", line, detail="at 32768 tokens only 3 fit", help="lower max_num_seqs"),
    )


def large_plan(number: int, models: int = 7, *, alike: bool = False) -> Plan:
    """`number` changes of `models` models, on as many hosts as needed. `alike`: the same change of a model on each host."""
    kinds = [
        one("replace_argument", Action.REPLACE),
        one("create", Action.CREATE),
        one("remove_not_in_stack", Action.REMOVE),
        one("update_in_place", Action.UPDATE),
    ]
    changes = []
    for i in range(number):
        kind = kinds[i % models % len(kinds)]
        change = moved_to(kind, f"gpu-{i // models + 1}", f"model-{i % models}")
        if not alike:
            change = replace(change, fields=(*change.fields, FieldChange("env.RANK", None, str(i))))
        changes.append(change)
    hosts = tuple(_host(h) for h in dict.fromkeys(c.host for c in changes))
    base = case("replace_argument")
    return replace(base, hosts=hosts, changes=tuple(sorted(changes, key=lambda c: c.address)), steps=())


def with_every_text(plan: Plan, text: str) -> Plan:
    """The plan with all its texts replaced."""
    return _mapped(plan, lambda _: text)  # type: ignore[no-any-return]


def with_text_at(plan: Plan, position: int, text: str) -> Plan:
    """The plan with the text at a position, counted in reading order, replaced."""
    seen = iter(range(1_000_000))
    return _mapped(plan, lambda old: text if next(seen) == position else old)  # type: ignore[no-any-return]


def texts_of(plan: Plan) -> list[str]:
    texts: list[str] = []
    _mapped(plan, lambda old: texts.append(old) or old)  # type: ignore[func-returns-value]
    return texts


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if type(value) is str:
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(_mapped(v, change) for v in value)
    if isinstance(value, Mapping):
        return {_mapped(k, change): _mapped(v, change) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        texts = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        if isinstance(value, Server):
            del texts["engine"]  # a plan that names an engine that is not known is refused when it is read
        return replace(value, **{name: _mapped(text, change) for name, text in texts.items()})
    return value
