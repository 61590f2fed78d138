"""Which fields of two specs differ, by the paths that a stack's reader knows."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.registry import ENGINES
from cortexctl.instance.spec import Mount, Publish, SecretRef
from cortexctl.plan.diff import FieldChange, diff, fields_of
from tests.build import (
    IMAGE,
    SPEC,
    make_spec,
)
from tests.fakes.other_engine import OtherEngine
from tests.specs import SPEC_FIELDS, new_spec


@pytest.mark.parametrize(
    ("changed", "path", "before", "after"),
    [
        ({"image": "image:v0.33.0"}, "image", IMAGE, "image:v0.33.0"),
        ({"model": "/models/b"}, "model", "/models/tiny", "/models/b"),
        ({"served_names": ("a", "b")}, "served_names", ["tiny"], ["a", "b"]),
        ({"version": "0.33.0"}, "vllm_version", "0.32.0", "0.33.0"),
        ({"args": {"seed": 0}}, "args.seed", None, 0),
        ({"extra_args": ("--x",)}, "extra_args", None, ["--x"]),
        ({"env": {"A": "1"}}, "env.A", None, "1"),
        ({"gpus": (0, 1)}, "gpus", "none", [0, 1]),
        ({"mounts": (Mount("/a", "/models"),)}, "mounts./models", None, "/a (read-only)"),
        ({"mounts": (Mount("c", "/cache", read_only=False),)}, "mounts./cache", None, "c"),
        ({"publish": Publish("127.0.0.1", 8801)}, "publish", None, "127.0.0.1:8801"),
        ({"publish": Publish("127.0.0.1")}, "publish", None, "127.0.0.1 (any free port)"),
        ({"network": "other"}, "network", "cortex_default", "other"),
        ({"ipc": "host"}, "ipc", "private", "host"),
        ({"shm_size": 1024}, "shm_size", 2 * 1024**3, 1024),
        ({"drain": 60}, "drain", 45, 60),
        ({"restart": "no"}, "restart", "unless-stopped", "no"),
        ({"memory": 1024}, "memory", None, 1024),
        ({"cpus": 1.5}, "cpus", None, 1.5),
    ],
)
def test_a_changed_field_is_named_with_both_values(changed: dict[str, Any], path: str, before: Any, after: Any) -> None:
    assert diff(SPEC, make_spec(**changed)) == (FieldChange(path, before, after),)
    assert diff(make_spec(**changed), SPEC) == (FieldChange(path, after, before),)


def test_every_field_of_a_spec_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that the comparison forgets would never be rolled out."""
    monkeypatch.setitem(ENGINES, "other", OtherEngine())
    samples: dict[str, Any] = {
        "image": "other",
        "port": 9000,
        "engine": "other",
        "model": "/models/b",
        "served_names": ("b",),
        "version": "0.33.0",
        "args": {"seed": 1},
        "extra_args": ("--x",),
        "env": {"A": "1"},
        "secrets": (SecretRef("A", "env", "A", "0" * 16),),
        "gpus": (1,),
        "mounts": (Mount("/a", "/b"),),
        "publish": Publish("127.0.0.1", 1),
        "network": "other",
        "ipc": "host",
        "shm_size": 1,
        "drain": 1,
        "restart": "always",
        "memory": 1,
        "cpus": 1.0,
    }
    assert set(samples) == set(SPEC_FIELDS)
    for name, value in samples.items():
        assert len(diff(SPEC, make_spec(**{name: value}))) == 1, name


def test_equal_specs_do_not_differ_whatever_the_order_of_their_mappings() -> None:
    one = make_spec(args={"seed": 1, "dtype": "half"}, env={"A": "1", "B": "2"})
    other = make_spec(args={"dtype": "half", "seed": 1}, env={"B": "2", "A": "1"})
    assert diff(one, other) == ()


def test_changes_are_sorted_by_path() -> None:
    after = make_spec(shm_size=1, args={"seed": 1, "dtype": "half"}, image="b", env={"Z": "1", "A": "1"})
    paths = [f.path for f in diff(SPEC, after)]
    assert paths == ["args.dtype", "args.seed", "env.A", "env.Z", "image", "shm_size"]


def test_arguments_that_are_added_changed_or_removed_are_distinguished() -> None:
    before = make_spec(args={"seed": 1, "dtype": "half", "same": 1})
    after = make_spec(args={"seed": 2, "enforce_eager": False, "same": 1})
    assert diff(before, after) == (
        FieldChange("args.dtype", "half", None),
        FieldChange("args.enforce_eager", None, False),
        FieldChange("args.seed", 1, 2),
    )


def test_a_changed_json_argument_names_the_key_inside_it() -> None:
    before = make_spec(args={"hf_overrides": {"rope": {"theta": 1, "type": "a"}, "list": [1, 2, 3], "old": True}})
    after = make_spec(
        args={"hf_overrides": {"rope": {"theta": 2, "type": "a"}, "list": [1, 9, 3], "new": "n", "old": False}}
    )
    assert diff(before, after) == (
        FieldChange("args.hf_overrides.list.1", 2, 9),
        FieldChange("args.hf_overrides.new", None, "n"),
        FieldChange("args.hf_overrides.old", True, False),
        FieldChange("args.hf_overrides.rope.theta", 1, 2),
    )


def test_an_added_or_removed_json_argument_is_shown_whole() -> None:
    with_it = make_spec(args={"hf_overrides": {"a": 1}})
    assert diff(SPEC, with_it) == (FieldChange("args.hf_overrides", None, {"a": 1}),)
    assert diff(with_it, SPEC) == (FieldChange("args.hf_overrides", {"a": 1}, None),)


def test_text_and_number_are_different() -> None:
    before, after = make_spec(args={"x": 1, "j": {"k": 1, "l": 0}}), make_spec(args={"x": "1", "j": {"k": "1", "l": 0}})
    assert diff(before, after) == (FieldChange("args.j.k", 1, "1"), FieldChange("args.x", 1, "1"))


def test_a_secret_is_compared_by_origin_and_fingerprint_and_is_sensitive() -> None:
    old = make_spec(secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", "aaaa"),))
    new = make_spec(secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", "bbbb"),))
    moved = make_spec(secrets=(SecretRef("HF_TOKEN", "file", "t.txt", "aaaa"),))
    assert diff(old, new) == (
        FieldChange("secrets.HF_TOKEN", "env:HF_TOKEN aaaa", "env:HF_TOKEN bbbb", sensitive=True),
    )
    assert diff(old, moved) == (
        FieldChange("secrets.HF_TOKEN", "env:HF_TOKEN aaaa", "file:t.txt aaaa", sensitive=True),
    )
    assert diff(SPEC, old) == (FieldChange("secrets.HF_TOKEN", None, "env:HF_TOKEN aaaa", sensitive=True),)


def test_only_secrets_are_sensitive() -> None:
    after = make_spec(args={"seed": 1}, env={"SECRETS": "1"}, image="b")
    assert [f.sensitive for f in diff(SPEC, after)] == [False, False, False]


def test_an_unset_value_is_not_among_the_fields() -> None:
    bare = new_spec(image="i", model="m", served_names=("a",))
    assert set(fields_of(bare)) == {
        "image",
        "engine",
        "port",
        "model",
        "served_names",
        "network",
        "ipc",
        "shm_size",
        "drain",
        "gpus",
        "restart",
    }
