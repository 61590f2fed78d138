"""Edits of hosts, variables, profiles, environments and of the file itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.edits.edit import Edit, Touched, each, edit_of, removal_action, replaced
from tests.edits.text import (
    GONE,
    Text,
    image_of_tag,
)

MEASURED = {
    "driver": "580.159.04",
    "free": "45 GiB",
    "outside_torch": "230 MiB",
    "workspace": "32 MiB",
    "graph": "297 KiB",
    "multiprocessors": 142,
    "l2": "96 MiB",
}


@edit_of(
    "hosts.models_dir",
    "hosts.hf_cache",
    "hosts.network",
    "hosts.docker",
    "hosts.address",
    "hosts.reach",
    "hosts.gpus.count",
    "hosts.gpus.name",
    "hosts.gpus.memory",
    "hosts.gpus.compute_capability",
    "hosts.gpus.measured.driver",
    "hosts.gpus.measured.free",
    "hosts.gpus.measured.outside_torch",
    "hosts.gpus.measured.workspace",
    "hosts.gpus.measured.graph",
    "hosts.gpus.measured.multiprocessors",
    "hosts.gpus.measured.l2",
    kinds=[
        ("models_dir", "/elsewhere", ["mounts./models"]),
        ("models_dir", None, []),
        ("hf_cache", "/elsewhere", ["mounts./root/.cache/huggingface"]),
        ("network", "elsewhere", ["network"]),
        ("docker", "unix:///run/elsewhere.sock", []),
        ("address", "10.9.9.9", []),
        ("reach", "exec", []),
        ("gpus", {"count": 1000, "name": "L40S", "memory": "46068 MiB", "compute_capability": "8.9"}, []),
        ("gpus", {"count": 1000, "measured": {"0.32.0": MEASURED}}, []),
    ],
)
def _a_host(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Everything on it, and nothing on the others."""
    host = draw(st.sampled_from(sorted(text.values["hosts"])))
    key, new, fields = kind
    new = new or text.at("hosts", host, "models_dir") + "/./"
    return text, text.but("hosts", host, key, to=new), replaced(text.on(host), *fields)


@edit_of("hosts.tls.ca", "hosts.tls.cert", "hosts.tls.key")
def _the_tls_files_of_a_host(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """The way to a host changes no container on it."""
    host = draw(st.sampled_from(sorted(text.values["hosts"])))
    before = text.but("hosts", host, "docker", to="tcp://elsewhere:2376")
    return before, before.but("hosts", host, "tls", to={"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}), {}


@edit_of("hosts.retired")
def _a_host_retires(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Everything on it is removed, and nothing on the others. The globs of models leave it out."""
    before = text.but("hosts", "spare", to={"docker": "unix:///run/spare.sock", "models_dir": "/m"})
    for each_model in before.values["models"]:
        before = before.but("models", each_model, "hosts", to=["*"])
    touched: Touched = {}
    for each_model in before.values["models"]:
        there = set(before.addresses(each_model)) & set(before.on("spare"))
        touched |= each(there, removal_action(before, each_model))
    return before, before.but("hosts", "spare", "retired", to=True), touched


@edit_of("vars.default", kinds=[("tag", "v0.33.0"), ("length", 77)])
def _the_default_of_a_variable(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Everything that uses it, and nothing else."""
    before = text.but("models", model, "image", to=image_of_tag("{{ vars.tag }}"))
    before = before.but("models", model, "args", "max_model_len", to="{{ vars.length }}")
    name, new = kind
    touched: Touched = {}
    for other, table in before.values["models"].items():
        if name == "length":
            uses = ["args.max_model_len"] if table["args"].get("max_model_len") == "{{ vars.length }}" else []
        elif "vars.tag" in table["image"]:
            uses = ["image"] if "vllm_version" in table else ["image", "vllm_version"]
        else:
            uses = []
        touched |= replaced(before.addresses(other), *uses)
    assert touched or not before.addresses(model)
    return before, before.but("vars", name, "default", to=new), touched


@edit_of(
    "vars.type",
    "vars.description",
    "$schema",
    "required_version",
    "not_secret",
    "drift.ignore",
    kinds=[
        (("vars", "tag", "type"), "string"),
        (("vars", "length", "type"), "int"),
        (("vars", "tag", "description"), "what to run"),
        (("vars", "unused"), {"default": [1]}),
        (("$schema",), "stack.schema.json"),
        (("required_version",), ">=0.0.1"),
        (("not_secret",), ["models.a.image"]),
        (("drift", "ignore"), ["*"]),
        (("profiles", "unused"), {"ipc": "host"}),
        (("env", "other"), {"models": {"a": {"ipc": "host"}}}),
    ],
)
def _what_is_about_the_file(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, new = kind
    return text, text.but(*path, to=new), {}


@edit_of(
    "profiles",
    kinds=[
        (("args", "max_num_batched_tokens"), "args.max_num_batched_tokens"),
        (("args", "dtype"), "args.dtype"),
        (("env", "P"), "env.P"),
        (("gate", "stable_for"), ""),
    ],
)
def _a_profile(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Every model that builds on it and does not say otherwise itself."""
    before = text.but("models", model, "profile", to="small")
    own = draw(st.booleans())
    if own:
        before = before.but("models", model, "args", "max_num_batched_tokens", to=256)
    path, field_ = kind
    new = {"max_num_batched_tokens": 2048, "dtype": "half", "P": "x", "stable_for": "9s"}[path[-1]]
    touched: Touched = {}
    for name, table in before.values["models"].items():
        has_its_own = path[-1] in table.get(path[0], {})
        if table.get("profile") == "small" and not has_its_own and field_:
            touched |= replaced(before.addresses(name), field_)
    return before, before.but("profiles", "small", *path, to=new), touched


@edit_of(
    "models.profile",
    kinds=[
        ("large", ["args.max_num_batched_tokens", "args.seed", "env.P"]),
        (GONE, ["args.max_num_batched_tokens", "env.P"]),
    ],
)
def _another_profile(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    before = text.but("models", model, "profile", to="small")
    new, fields = kind
    return before, before.but("models", model, "profile", to=new), replaced(text.addresses(model), *fields)


@edit_of(
    "env",
    kinds=[
        (("env", "OVERLAID"), "edited", ["env.OVERLAID"]),
        (("args", "block_size"), 16, ["args.block_size"]),
        (("ipc",), "host", ["ipc"]),
        (("rollout", "keep"), 9, []),
    ],
)
def _an_environment(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Only where it is chosen."""
    path, new, fields = kind
    before = text.but("models", model, "ipc", to="private").but("models", model, "ignore", to=[])
    before = before.but("env", "lab", "models", model, "env", "OVERLAID", to="lab")
    after = before.but("env", "lab", "models", model, *path, to=new)
    return before, after, replaced(text.addresses(model), *fields) if text.env else {}


@edit_of("env")
def _what_an_environment_replaces(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Edited below the overlay, it changes where the overlay is not chosen, and only there."""
    before = text.but("models", model, "args", "seed", to=1).but("env", "lab", "models", model, "args", "seed", to=2)
    after = before.but("models", model, "args", "seed", to=3)
    return before, after, {} if text.env else replaced(text.addresses(model), "args.seed")


@edit_of()
def _the_order_of_everything(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    def turned(value: Any) -> Any:
        return {k: turned(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value

    return text, replace(text, values=turned(text.values)), {}
