"""Edits of how a model is rolled out, gated, kept and removed, which change no container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.edits.edit import Edit, edit_of
from tests.edits.text import (
    GONE,
    Text,
)

if TYPE_CHECKING:
    from hypothesis import strategies as st


@edit_of(
    "models.gate.startup_timeout",
    "models.gate.stable_for",
    "models.gate.smoke.enabled",
    "models.gate.smoke.prompt",
    "models.gate.smoke.max_tokens",
    "models.gate.requests",
    "models.rollout.strategy",
    "models.rollout.on_failure",
    "models.rollout.keep",
    "models.protect",
    "models.on_remove",
    "models.after",
    "models.ignore",
    "models.ignore_drift",
    "models.rollout.max_unavailable",
    "models.rollout.max_surge",
    "models.rollout.canary",
    "models.rollout.wait",
    "models.hooks.on",
    "models.hooks.command",
    "models.hooks.url.env",
    "models.hooks.url.file",
    "models.hooks.url.var",
    "models.hooks.url.command",
    "models.hooks.required",
    "models.hooks.secrets",
    "models.hooks.timeout",
    kinds=[
        (("gate", "startup_timeout"), "7m"),
        (("gate", "stable_for"), "7s"),
        (("gate", "smoke"), {"enabled": False, "prompt": "x", "max_tokens": 1024}),
        (("gate", "smoke", "prompt"), "é"),
        (("gate", "smoke", "max_tokens"), 7),
        (("gate", "requests"), 7),
        (("rollout", "strategy"), "stop_first"),
        (("rollout", "on_failure"), "halt"),
        (("rollout", "keep"), 7),
        (("protect",), True),
        (("protect",), False),
        (("on_remove",), "forget"),
        (("after",), []),
        (("ignore",), ["args.*", "image"]),
        (("ignore_drift",), ["*"]),
        (("rollout", "strategy"), "auto"),
        (("rollout", "strategy"), "start_first"),
        (("rollout", "max_unavailable"), 7),
        (("rollout", "max_surge"), 7),
        (("rollout", "canary"), 1),
        (("rollout", "wait"), "7m"),
        (("hooks",), {"tell": {"on": "post_healthy", "command": ["true"], "required": False, "timeout": "7s"}}),
        (("hooks",), {"tell": {"on": "pre_stop", "url": {"env": "KEY_ONE"}}}),
        (("hooks",), {"tell": {"on": "pre_stop", "url": {"file": "/run/secrets/key"}}}),
        (("hooks",), {"tell": {"on": "on_failure", "url": {"command": ["pass", "show", "key"]}}}),
    ],
)
def _what_is_not_of_the_container(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, new = kind
    return text, text.but("models", model, *path, to=new), {}


@edit_of(
    "models.gate.max_ttft",
    "models.gate.min_tokens_per_second",
    "models.gate.smoke.dimensions",
    kinds=[
        ("generate", ("gate", "max_ttft"), "1s500ms"),
        ("generate", ("gate", "min_tokens_per_second"), 7.5),
        ("embed", ("gate", "smoke", "dimensions"), 7),
    ],
)
def _what_the_gate_measures(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    task, path, new = kind
    before = text.but("models", model, "task", to=task)
    return before, before.but("models", model, *path, to=new), {}


@edit_of(
    "rollout.max_failures",
    "rollout.parallel_starts",
    "guards.max_destroy",
    "acknowledge",
    "audit.enabled",
    "audit.log",
    "hooks.on",
    "hooks.command",
    "hooks.models",
    "hooks.required",
    "hooks.secrets",
    "hooks.timeout",
    "hooks.url.env",
    "hooks.url.file",
    "hooks.url.var",
    "hooks.url.command",
    kinds=[
        (("rollout",), {"max_failures": 7}),
        (("rollout",), {"parallel_starts": 7}),
        (("guards",), {"max_destroy": 7}),
        (("acknowledge",), {"CX218": "the weights never move"}),
        (("audit",), {"enabled": False}),
        (("audit",), {"log": "elsewhere.jsonl"}),
        (("hooks",), {"tell": {"on": "pre_apply", "command": ["true"], "required": True, "timeout": "7s"}}),
        (("hooks",), {"tell": {"on": "post_healthy", "models": ["*"], "command": ["true"], "secrets": []}}),
        (("hooks",), {"tell": {"on": "post_apply", "url": {"env": "KEY_ONE"}}}),
        (("hooks",), {"tell": {"on": "post_apply", "url": {"file": "/run/secrets/key"}}}),
        (("hooks",), {"tell": {"on": "on_failure", "url": {"command": ["pass", "show", "key"]}}}),
        (("hooks",), {"tell": {"on": "post_apply", "url": {"var": "token"}}}),
    ],
)
def _how_an_apply_goes(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, new = kind
    before = text.but("vars", "token", to={"secret": True})
    return before, before.but(*path, to=new), {}


@edit_of("hooks.secrets", "models.hooks.secrets", "models.hooks.url.var", kinds=["of all", "of the model"])
def _what_a_hook_is_given(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "secrets", to={"KEY": {"env": "KEY_ONE"}})
    before = before.but("vars", "token", to={"secret": True})
    hook = {"on": "post_healthy", "command": ["true"], "secrets": ["KEY"]}
    if kind == "of all":
        return before, before.but("hooks", to={"tell": {**hook, "models": [model]}}), {}
    has_release = {"on": "pre_stop", "url": {"var": "token"}}
    return before, before.but("models", model, "hooks", to={"give": hook, "tell": has_release}), {}


@edit_of("models.acknowledge")
def _an_accepted_warning(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    return text, text.but("models", model, "acknowledge", to={"CX218": "the weights never move"}), {}


@edit_of("models.adopt")
def _the_name_of_one_to_adopt(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Of a model that has a container of its own already."""
    before = text.but("models", model, "replicas", to=1).but("models", model, "gpus", to="none")
    return before, before.but("models", model, "adopt", to="postgres"), {}


@edit_of(
    "models.ignore",
    kinds=[
        ("args.max_num_seqs", ("args", "max_num_seqs"), 99),
        ("args.*", ("args", "max_num_seqs"), 99),
        ("env", ("env", "VLLM_EDITED"), "x"),
        ("mounts./e", ("volumes",), ["c:/e"]),
        ("memory", ("memory",), "77 GiB"),
        ("restart", ("restart",), "always"),
        ("served_names", ("served_names",), ["another"]),
    ],
)
def _what_is_ignored(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    ignored, path, new = kind
    before = text.but("models", model, "ignore", to=[ignored]).but("models", model, "volumes", to=GONE)
    return before, before.but("models", model, *path, to=new), {}
