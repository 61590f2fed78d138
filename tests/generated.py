"""Generated stacks over two hosts, for the tests of laws."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from cortexctl.desired.stack import Desired, GatePolicy, Host, Instance, Policy, Smoke
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.spec import Mount, Publish, SecretRef, Spec
from tests.specs import new_spec

modest = settings(
    max_examples=18,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

STACK = "demo"
HOSTS = ("east", "west")
SLOTS = (("a", 1), ("a", 2), ("b", 1), ("c.x_y-z", 1))
"""Model and ordinal. Each has ports, GPUs and names of its own, so that no generated stack clashes with itself."""
LOCAL_IMAGES = ("image:v0.32.0", "image:v0.10.0")
REMOTE_IMAGE = "registry.example:5000/vllm:v0.33.0"
RELEASES = {"image:v0.32.0": "0.32.0", "image:v0.10.0": "0.10.0", REMOTE_IMAGE: None}
PLANTED = ("planted-one-7f3a", "planted-two-9c1e")
KEYS = ("KEY_OF_A", "KEY_OF_B")


@dataclass(frozen=True)
class Case:
    """A stack, and the values of its secrets at the time."""

    desired: Desired
    values: dict[str, str]


@functools.cache
def _print_of(name: str, value: str) -> str:
    return fingerprint(STACK, name, value)


_text = st.text(alphabet="aB1é☃ \"'\\{}[]$#=-\n\t", max_size=6)
_scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 0.92, 1e-7, 1e6]) | _text
_json = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abk.", max_size=3), inner, max_size=3),
)
_args = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": st.integers(1, 2),
        "gpu_memory_utilization": st.sampled_from([0.5, 0.9, 0.92]),
        "enforce_eager": st.booleans(),
        "enable_chunked_prefill": st.booleans(),
        "cudagraph_capture_sizes": st.lists(st.integers(1, 8), min_size=1, max_size=3),
        "hf_overrides": st.dictionaries(st.text("abk.", max_size=3), _json, max_size=3),
        "chat_template": _text,
    },
)
_env = st.dictionaries(st.sampled_from(["VLLM_X", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"]), _text, max_size=2)
_mounts = st.sets(
    st.sampled_from(
        [Mount("/var/models", "/models"), Mount("/srv/other", "/other"), Mount("cache", "/cache", read_only=False)]
    )
).map(lambda chosen: tuple(sorted(chosen, key=lambda m: m.target)))


@st.composite
def specs(draw: st.DrawFn, slot: int, values: Mapping[str, str]) -> Spec:
    model, ordinal = SLOTS[slot]
    image = draw(st.sampled_from([*LOCAL_IMAGES, REMOTE_IMAGE]))
    name = f"{model}.{ordinal}"
    keys = draw(st.sampled_from([(), (), (KEYS[0],), (KEYS[1],), KEYS]))
    fixed = [Publish("127.0.0.1", 9000 + slot), Publish("::", 9100 + slot)]
    return new_spec(
        image=image,
        version=RELEASES[image],
        model=draw(st.sampled_from([f"/models/{model}", f"org/{model}"])),
        served_names=draw(st.sampled_from([(name,), (name, f"{name}-alias")])),
        args=draw(_args),
        extra_args=draw(st.sampled_from([(), ("--quux", "a b")])),
        env=draw(_env),
        secrets=tuple(SecretRef(f"S_{key}", "env", key, _print_of(f"S_{key}", values[key])) for key in keys),
        gpus=draw(st.sampled_from([(), (2 * slot,), (2 * slot, 2 * slot + 1)])),
        mounts=draw(_mounts),
        publish=draw(st.sampled_from([None, Publish("127.0.0.1"), *fixed])),
        network=draw(st.sampled_from(["cortex_default", "other_net"])),
        ipc=draw(st.sampled_from(["private", "host"])),
        shm_size=draw(st.sampled_from([2 * 1024**3, 512 * 1024**2])),
        drain=draw(st.sampled_from([0, 30, 60])),
    )


@st.composite
def cases(draw: st.DrawFn, least: int = 0, most: int = 4, *, protect: bool = False) -> Case:
    """A stack over both hosts; a slot of a host is used or not."""
    values = {key: draw(st.sampled_from(PLANTED)) for key in KEYS}
    places = draw(
        st.sets(st.tuples(st.sampled_from(HOSTS), st.integers(0, len(SLOTS) - 1)), min_size=least, max_size=most).map(
            sorted
        )
    )
    instances = tuple(
        Instance(
            host=host,
            model=SLOTS[slot][0],
            ordinal=SLOTS[slot][1],
            spec=draw(specs(slot, values)),
            policy=Policy(
                task=draw(st.sampled_from(["generate", "embed"])),
                gate=draw(st.sampled_from([GatePolicy(), GatePolicy(60, 0, None), GatePolicy(60, 1, Smoke("x", 1))])),
                on_failure=draw(st.sampled_from(["rollback", "halt"])),
                keep=draw(st.integers(0, 3)),
                protect=protect and draw(st.booleans()),
            ),
        )
        for host, slot in places
    )
    hosts = tuple(Host(h, f"unix:///{h}.sock") for h in HOSTS)
    return Case(Desired(STACK, "stack.toml", hosts, instances), values)
