"""The settings that two containers cannot share, and their spelling."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cortexctl.instance.spec import Publish, Spec
from cortexctl.plan.conflicts import what_both_need
from tests.specs import change_spec, new_spec

SPEC = new_spec("image:v0.32.0", "/models/m", ("m",))
_publish = st.none() | st.builds(
    Publish, st.sampled_from(["127.0.0.1", "0.0.0.0", "::"]), st.none() | st.sampled_from([8001, 8002])
)
_specs = st.builds(
    lambda publish, gpus, share: change_spec(
        SPEC, publish=publish, gpus=tuple(sorted(gpus)), args={"gpu_memory_utilization": share}
    ),
    _publish,
    st.sets(st.integers(0, 3)),
    st.sampled_from([0.3, 0.5, 0.9]),
)


@given(_specs, _specs)
def test_it_is_never_an_empty_text(one: Spec, other: Spec) -> None:
    both_need = what_both_need(one, other)
    if both_need is not None:
        what, _, numbers = str(both_need).partition(" ")
        assert what in {"port", "GPU"}
        assert all(n.isdigit() for n in numbers.split(", "))
        assert what_both_need(other, one) == both_need


def test_a_port_and_gpus_by_number() -> None:
    one = change_spec(SPEC, publish=Publish("127.0.0.1", 8001), gpus=(0, 2, 3))
    assert str(what_both_need(one, one)) == "port 8001"
    assert str(what_both_need(change_spec(one, publish=None), one)) == "GPU 0, 2, 3"
    assert what_both_need(change_spec(one, publish=None, gpus=(1,)), one) is None
