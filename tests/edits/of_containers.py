"""Edits of where containers run and of what they are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from cortexctl.instance import labels
from cortexctl.plan.action import Action
from tests.edits.edit import Edit, Touched, each, edit_of, removal_action, replaced
from tests.edits.text import (
    ENVIRON,
    GONE,
    PLACES_OF,
    Text,
)


@edit_of("models.hosts")
def _the_hosts(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    some = st.lists(st.sampled_from(sorted(text.values["hosts"])), min_size=1, unique=True)
    before, after = (text.but("models", model, "hosts", to=draw(some)) for _ in range(2))
    old, new = set(before.addresses(model)), set(after.addresses(model))
    return before, after, each(old - new, removal_action(before, model)) | each(new - old, Action.CREATE)


@edit_of("hosts", "models.hosts")
def _the_same_hosts_by_other_patterns(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """And a host more, for those that run on all of them."""
    before = text.but("models", model, "hosts", to=(known := sorted(text.values["hosts"])))
    after = before.but("models", model, "hosts", to=draw(st.permutations([*known, *known, known[0][:-1] + "?"])))
    after = after.but("hosts", "spare", to={"docker": "unix:///run/spare.sock", "models_dir": "/m"})
    return before, after, each(after.on("spare"), Action.CREATE)


@edit_of("models.gpus")
def _one_gpu(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Only of the replica that has it."""
    replicas = draw(st.integers(1, 3))
    before = text.but("models", model, "replicas", to=replicas)
    for key, value in (("tensor_parallel_size", 2), ("pipeline_parallel_size", GONE)):
        before = before.but("models", model, "args", key, to=value)
    before = before.but("models", model, "gpus", to=[500 + n for n in range(2 * replicas)])
    which = draw(st.integers(0, 2 * replicas - 1))
    has_it = [a for a in before.addresses(model) if a.endswith(labels.address("", model, which // 2 + 1))]
    return before, before.but("models", model, "gpus", which, to=600), replaced(has_it, "gpus")


@edit_of("models.gpus")
def _the_number_of_gpus(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Others that have theirs by number keep what they have."""
    for number, other in enumerate(sorted(text.values["models"])):
        if other != model and draw(st.booleans()):
            text = text.but("models", other, "gpus", to=number + 1)
            text = text.but("models", other, "args", "tensor_parallel_size", to=number + 1)
    text = text.but("models", model, "args", "tensor_parallel_size", to=2)
    fewer = text.but("models", model, "gpus", to=2)
    more = text.but("models", model, "gpus", to=4).but("models", model, "args", "data_parallel_size", to=2)
    before, after = draw(st.permutations([fewer, more]))
    return before, after, replaced(text.addresses(model), "args.data_parallel_size", "gpus")


@edit_of("models.gpus")
def _indices_or_as_many(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """It keeps those that it has."""
    each, replicas = draw(st.sampled_from([(1, 1), (2, 1), (2, 3)]))
    text = text.but("models", model, "replicas", to=replicas)
    text = text.but("models", model, "args", "tensor_parallel_size", to=each)
    indices = text.but("models", model, "gpus", to=[700 + n for n in range(each * replicas)])
    return indices, text.but("models", model, "gpus", to=each), {}


@edit_of("models.gpus")
def _gpus_or_none(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    replicas = text.values["models"][model]["replicas"]
    none = text.but("models", model, "gpus", to="none").but("models", model, "args", "tensor_parallel_size", to=GONE)
    some = none.but("models", model, "gpus", to=[700 + n for n in range(replicas)])
    before, after = draw(st.permutations([none, some]))
    return before, after, replaced(text.addresses(model), "gpus")


@edit_of("models.publish")
def _the_port(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    kinds = [GONE, "127.0.0.1", "127.0.0.1:9901", "127.0.0.1:9951", "[::1]:9901", "[::1]", "127.0.0.2"]
    old, new = draw(st.permutations(kinds))[:2]
    before = text.but("models", model, "publish", to=old)
    return before, before.but("models", model, "publish", to=new), replaced(text.addresses(model), "publish")


@edit_of("models.env")
def _a_variable_of_the_container(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    old, new = draw(st.permutations([GONE, "", "1", "1 ", "a\nb", "{{ vars.tag }}"]))[:2]
    before = text.but("models", model, "env", "VLLM_EDITED", to=old)
    after = before.but("models", model, "env", "VLLM_EDITED", to=new)
    return before, after, replaced(text.addresses(model), "env.VLLM_EDITED")


@edit_of("models.secrets.env", "models.secrets.file", "models.secrets.var", "models.secrets.command")
def _where_a_secret_comes_from(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    kinds = [GONE, {"env": "KEY_ONE"}, {"env": "KEY_TWO"}, {"file": "/run/secrets/key"}, {"var": "token"}]
    kinds.append({"command": ["pass", "show", "key"]})
    old, new = draw(st.permutations(kinds))[:2]
    before = text.but("models", model, "secrets", "EDITED", to=old)
    after = before.but("models", model, "secrets", "EDITED", to=new)
    return before, after, replaced(text.addresses(model), "secrets.EDITED")


@edit_of("vars.secret", kinds=sorted(ENVIRON))
def _what_a_secret_holds(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """No edit of the text at all."""
    before = text.but("models", model, "secrets", "EDITED", to=PLACES_OF[kind])
    touched: Touched = {}
    for name, table in before.values["models"].items():
        of_it = [f"secrets.{s}" for s, where in table["secrets"].items() if where == PLACES_OF[kind]]
        touched |= replaced(before.addresses(name), *of_it)
    return before, replace(before, secrets={**ENVIRON, kind: "another value"}), touched


@edit_of("models.volumes")
def _a_volume(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    kinds = [["c:/e"], ["c:/e:ro"], ["/srv/e:/e"], GONE]
    old, new = draw(st.permutations(kinds))[:2]
    before = text.but("models", model, "volumes", to=old)
    return before, before.but("models", model, "volumes", to=new), replaced(text.addresses(model), "mounts./e")


@edit_of(
    "models.ipc",
    "models.shm_size",
    "models.rollout.drain",
    kinds=[
        (("ipc",), "private", "host", ["ipc"]),
        (("ipc",), GONE, "private", []),
        (("shm_size",), "2 GiB", "3 GiB", ["shm_size"]),
        (("shm_size",), "2048 MiB", GONE, []),
        (("rollout", "drain"), GONE, "31s", ["drain"]),
        (("rollout", "drain"), "90s", "1m30s", []),
    ],
)
def _shared_memory_or_draining(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    path, old, new, fields = kind
    before = text.but("models", model, *path, to=old)
    return before, before.but("models", model, *path, to=new), replaced(text.addresses(model), *fields)


@edit_of(
    "models.restart",
    "models.memory",
    "models.cpus",
    kinds=[
        ("restart", GONE, "always", Action.UPDATE),
        ("restart", "no", GONE, Action.UPDATE),
        ("restart", "unless-stopped", GONE, Action.NO_OP),
        ("memory", GONE, "4 GiB", Action.UPDATE),
        ("memory", "4 GiB", "5 GiB", Action.UPDATE),
        ("memory", "4 GiB", "4096 MiB", Action.NO_OP),
        ("memory", "4 GiB", GONE, Action.REPLACE),
        ("cpus", GONE, 1.5, Action.UPDATE),
        ("cpus", 2, 2.5, Action.UPDATE),
        ("cpus", 2, 2.0, Action.NO_OP),
        ("cpus", 2, GONE, Action.REPLACE),
    ],
)
def _what_is_changed_in_place(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    key, old, new, action = kind
    before = text.but("models", model, key, to=old)
    touched = {} if action is Action.NO_OP else each(text.addresses(model), action, key)
    return before, before.but("models", model, key, to=new), touched


@edit_of("models.replicas")
def _more_or_fewer_replicas(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Without GPUs, which would be distributed again."""
    old, new = draw(st.permutations([1, 2, 3, 5]))[:2]
    none = text.but("models", model, "gpus", to="none").but("models", model, "args", "tensor_parallel_size", to=GONE)
    before, after = (none.but("models", model, "replicas", to=n) for n in (old, new))
    was, now = set(before.addresses(model)), set(after.addresses(model))
    return before, after, each(was - now, removal_action(before, model)) | each(now - was, Action.CREATE)


@edit_of("models.replicas")
def _replicas_that_share_gpus(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """Four GPUs for 2 or for 4: those that stay have others then."""
    shared = text.but("models", model, "gpus", to=[800, 801, 802, 803])
    shared = shared.but("models", model, "args", "tensor_parallel_size", to=GONE)
    old, new = draw(st.permutations([2, 4]))
    before, after = (shared.but("models", model, "replicas", to=n) for n in (old, new))
    was, now = set(before.addresses(model)), set(after.addresses(model))
    touched = replaced(was & now, "gpus")
    return before, after, touched | each(was - now, removal_action(before, model)) | each(now - was, Action.CREATE)


@edit_of("models.enabled")
def _enabled(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    on, off = text.but("models", model, "enabled", to=True), text.but("models", model, "enabled", to=False)
    if draw(st.booleans()):
        return on, off, each(on.addresses(model), removal_action(on, model))
    return off, on, each(on.addresses(model), Action.CREATE)


@edit_of("models")
def _a_model(draw: st.DrawFn, text: Text, model: str, kind: Any) -> Edit:
    """A block more, or less: the last one, which no other comes after."""
    last = max(text.values["models"])
    new = "zz"
    block = text.values["models"][last] | {"gpus": "none", "after": [], "publish": "127.0.0.1", "served_names": [new]}
    block = block | {"args": {k: v for k, v in block["args"].items() if k != "tensor_parallel_size"}}
    more = text.but("models", new, to=block)
    if draw(st.booleans()):
        return text, more, each(more.addresses(new), Action.CREATE)
    return more, text, each(more.addresses(new), removal_action(more, new))
