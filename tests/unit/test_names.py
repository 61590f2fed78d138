"""An instance has exactly one address and one container name, and no two instances share one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.instance.labels import serving_name
from cortexctl.plan.action import Action
from tests.applying import stack
from tests.fakes.world import World
from tests.reading import model_text, read, stack_text

_parts = st.lists(st.sampled_from(["a", "b", "2", "3", "g1", "undone"]), min_size=1, max_size=3).map(".".join)
_models = st.dictionaries(_parts, st.integers(1, 3), min_size=1, max_size=4)


def quoted(name: str, **lines: str) -> str:
    return model_text(name, **lines).replace(f"[models.{name}]", f'[models."{name}"]')


@settings(deadline=None, max_examples=60, derandomize=True)
@given(_models)
def test_a_valid_stack_has_a_name_and_an_address_for_each_instance(models: dict[str, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.toml"
        path.write_text(stack_text("".join(quoted(name, replicas=str(n)) for name, n in models.items())))
        desired, diagnostics = read(path)
    expected = [(m, n) for m, replicas in models.items() for n in range(1, replicas + 1)]
    clashes = len({serving_name(m, n) for m, n in expected}) < len(expected)
    assert ("CX229" in {d.rule for d in diagnostics}) == clashes
    if not clashes:
        assert desired is not None
        assert sorted((i.model, i.ordinal) for i in desired.instances) == sorted(expected)
        assert len(desired.by_host()["here"]) == len(expected)


def test_a_running_replica_is_not_mistaken_for_a_new_model_of_that_name(tmp_path: Path) -> None:
    world = World("demo", "here")
    assert world.apply(world.plan(stack(tmp_path, model_text("chat", replicas="2")))).exit_code == 0
    both = stack(tmp_path, model_text("chat"), quoted("chat.2"))
    refused = [d for d in world.plan(both).diagnostics if d.is_error]
    assert [(d.rule, d.summary) for d in refused] == [
        ("CX414", 'here/chat.2 would be both the model "chat.2" and replica 2 of the model "chat"')
    ]
    assert refused[0].span is not None
    assert world.apply(world.plan(stack(tmp_path, model_text("chat")))).exit_code == 0
    plan = world.plan(both)
    assert [(c.address, c.action) for c in plan.effective] == [("here/chat.2", Action.CREATE)]
    assert world.apply(plan).exit_code == 0
    assert world.plan(both).effective == ()
