from __future__ import annotations

import json

import pytest

from cortexctl.instance import labels
from cortexctl.instance.codec import (
    SPEC_VERSION,
    UnknownSpecVersion,
    label_records,
    spec_from_dict,
    spec_from_label,
    spec_to_dict,
    spec_to_label,
)
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.image import ImageReference, parse_image, split_image
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import (
    DEFAULT_SHM_SIZE,
    STOP_MARGIN,
    Mount,
    Publish,
    SecretRef,
    Spec,
)
from cortexctl.text.units import seconds, short_seconds, show_bytes, show_seconds, show_short, size_in_bytes
from tests.specs import CONTAINER_FIELDS, REQUIRED, SPEC_FIELDS, change_spec, label_of_version_1, new_spec

MINIMAL = new_spec(image="vllm/vllm-openai:v0.32.0", model="/models/tiny", served_names=("tiny",))

OF_VERSION_1 = new_spec(
    image="registry.example:5000/vllm/vllm-openai:v0.32.0@sha256:" + "ab" * 32,
    model="meta-llama/Llama-3.3-70B-Instruct",
    served_names=("llama-3.3-70b", "größer"),
    version="0.32.0",
    args={
        "tensor_parallel_size": 4,
        "gpu_memory_utilization": 0.92,
        "enforce_eager": False,
        "cudagraph_capture_sizes": [1, 2, 4],
        "hf_overrides": {"rope": {"theta": 1e6, "type": None}, "a": [True, "ü"]},
    },
    extra_args=("--quux", "a b"),
    env={"VLLM_LOGGING_LEVEL": "DEBUG", "HF_HUB_OFFLINE": "1"},
    secrets=(
        SecretRef("HF_TOKEN", "env", "HF_TOKEN", "00112233445566aa"),
        SecretRef("VLLM_API_KEY", "file", "keys/api.key", "ffeeddccbbaa9988"),
    ),
    gpus=(0, 3),
    mounts=(Mount("/var/cortex/models", "/models"), Mount("cache", "/root/.cache/vllm", read_only=False)),
    publish=Publish("127.0.0.1", 8801),
    network="other_net",
    ipc="host",
    shm_size=512 * 1024**2,
    drain=60,
)
FULL = change_spec(OF_VERSION_1, restart="always", memory=64 * 1024**3, cpus=7.5)
"""Every field set to something else than its default."""

LABEL_OF_VERSION_1 = (
    '{"args":{"cudagraph_capture_sizes":[1,2,4],"enforce_eager":false,"gpu_memory_utilization":0.92,'
    '"hf_overrides":{"a":[true,"ü"],"rope":{"theta":1000000.0,"type":null}},"tensor_parallel_size":4},'
    '"drain":60,"env":{"HF_HUB_OFFLINE":"1","VLLM_LOGGING_LEVEL":"DEBUG"},"extra_args":["--quux","a b"],"gpus":[0,3],'
    '"image":"registry.example:5000/vllm/vllm-openai:v0.32.0@sha256:'
    'abababababababababababababababababababababababababababababababab",'
    '"ipc":"host","model":"meta-llama/Llama-3.3-70B-Instruct","mounts":['
    '{"read_only":true,"source":"/var/cortex/models","target":"/models"},'
    '{"read_only":false,"source":"cache","target":"/root/.cache/vllm"}],"network":"other_net",'
    '"publish":{"address":"127.0.0.1","port":8801},"secrets":['
    '{"fingerprint":"00112233445566aa","key":"HF_TOKEN","name":"HF_TOKEN","source":"env"},'
    '{"fingerprint":"ffeeddccbbaa9988","key":"keys/api.key","name":"VLLM_API_KEY","source":"file"}],'
    '"served_names":["llama-3.3-70b","größer"],"shm_size":536870912,"v":1,"vllm_version":"0.32.0"}'
)
"""Labels that a released cortexctl wrote. Running containers have them: never change this text."""

LABEL_OF_VERSION_2 = (
    '{"container":{"env":{"HF_HUB_OFFLINE":"1","VLLM_LOGGING_LEVEL":"DEBUG"},"gpus":[0,3],'
    '"image":"registry.example:5000/vllm/vllm-openai:v0.32.0@sha256:'
    'abababababababababababababababababababababababababababababababab","ipc":"host","mounts":['
    '{"read_only":true,"source":"/var/cortex/models","target":"/models"},'
    '{"read_only":false,"source":"cache","target":"/root/.cache/vllm"}],"network":"other_net","port":8000,'
    '"publish":{"address":"127.0.0.1","port":8801},"secrets":['
    '{"fingerprint":"00112233445566aa","key":"HF_TOKEN","name":"HF_TOKEN","source":"env"},'
    '{"fingerprint":"ffeeddccbbaa9988","key":"keys/api.key","name":"VLLM_API_KEY","source":"file"}],'
    '"shm_size":536870912},"server":{"args":{"cudagraph_capture_sizes":[1,2,4],"enforce_eager":false,'
    '"gpu_memory_utilization":0.92,"hf_overrides":{"a":[true,"ü"],"rope":{"theta":1000000.0,"type":null}},'
    '"tensor_parallel_size":4},"drain":60,"engine":"vllm","extra_args":["--quux","a b"],'
    '"model":"meta-llama/Llama-3.3-70B-Instruct","served_names":["llama-3.3-70b","größer"],"version":"0.32.0"},"v":2}'
)
"""The same as version 2 writes it: never change it."""


# durations and sizes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("1h30m", 5400),
        ("2h", 7200),
        ("1h1m1s", 3661),
        ("0s", 0),
        ("1h5s", 3605),
        ("  5s ", 5),
        ("120m", 7200),
    ],
)
def test_a_duration_is_read_as_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("500ms", 0.5), ("2s", 2.0), ("1s500ms", 1.5), ("1m1ms", 60.001), ("1500ms", 1.5), ("1m", 60.0), ("0ms", 0.0)],
)
def test_a_short_duration_is_read_to_the_millisecond(text: str, expected: float) -> None:
    assert short_seconds(text) == expected


@pytest.mark.parametrize("text", ["0.5s", "500 ms", "ms", "5ms1s", "500Ms", "", "500us"])
def test_an_invalid_short_duration_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as refusal:
        short_seconds(text)
    assert f'"{text}"' in str(refusal.value)


def test_a_fraction_of_a_second_is_refused_if_seconds_are_counted() -> None:
    assert seconds("2000ms") == 2
    with pytest.raises(ValueError, match='"1s500ms" must be whole seconds here'):
        seconds("1s500ms")


@pytest.mark.parametrize(
    ("total", "text"),
    [(0.0004, "0ms"), (0.0284, "28ms"), (0.9996, "1.00s"), (1.5, "1.50s"), (59.9, "59.90s"), (75.2, "1m15s")],
)
def test_a_short_time_is_shown_with_its_part_of_a_second(total: float, text: str) -> None:
    assert show_short(total) == text


@pytest.mark.parametrize(
    "text", ["", " ", "10", "s", "1.5h", "-5s", "30m1h", "5 s", "1d", "5S", "1h 30m", "5sec", "5s\n5s"]
)
def test_an_invalid_duration_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as refusal:
        seconds(text)
    assert f'"{text}"' in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 GiB", 2 * 1024**3),
        ("512MiB", 512 * 1024**2),
        ("2GB", 2 * 10**9),
        ("64 KiB", 65536),
        ("1 TiB", 1024**4),
        ("1.5 GiB", 3 * 2**29),
        ("100", 100),
        ("100 B", 100),
        ("1 gib", 1024**3),
        ("5 kb", 5000),
        ("7 MB", 7 * 10**6),
        ("1TB", 10**12),
        (" 1 GiB ", 1024**3),
    ],
)
def test_a_size_is_read_as_bytes(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "-1 GiB", "2 gigs", "2G", "1,5 GiB", "1e9", "2 GiB 3", "1. GiB", "inf"])
def test_an_invalid_size_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size") as refusal:
        size_in_bytes(text)
    assert f'"{text}"' in str(refusal.value)


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (42, "42s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (60, "1m"),
        (61, "1m01s"),
        (250, "4m10s"),
        (3599, "59m59s"),
        (3600, "1h"),
        (3720, "1h02m"),
        (90000, "25h"),
    ],
)
def test_seconds_are_shown_as_people_say_them(total: float, text: str) -> None:
    assert show_seconds(total) == text


@pytest.mark.parametrize("total", [0, 1, 59, 60, 61, 600, 3599])
def test_shown_seconds_read_back_as_the_same_below_an_hour(total: int) -> None:
    assert seconds(show_seconds(total)) == total


@pytest.mark.parametrize("total", [3600, 3660, 7200, 86400])
def test_shown_seconds_read_back_as_the_same_in_whole_minutes_beyond_an_hour(total: int) -> None:
    assert seconds(show_seconds(total)) == total


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (2 * 1024**3, "2 GiB"),
        (512 * 1024**2, "512 MiB"),
        (3 * 2**29, "1.5 GiB"),
        (5 * 2**40, "5 TiB"),
    ],
)
def test_bytes_are_shown_in_the_largest_unit_that_fits(number: int, text: str) -> None:
    assert show_bytes(number) == text


@pytest.mark.parametrize("number", [0, 1, 1023, 1024, 65536, 512 * 1024**2, 2 * 1024**3, 3 * 2**29, 5 * 2**40])
def test_shown_bytes_read_back_as_the_same(number: int) -> None:
    assert size_in_bytes(show_bytes(number)) == number


# image references

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vllm", ImageReference("vllm", None, None)),
        ("vllm:v0.32.0", ImageReference("vllm", "v0.32.0", None)),
        ("vllm/vllm-openai:v0.32.0", ImageReference("vllm/vllm-openai", "v0.32.0", None)),
        ("registry:5000/vllm", ImageReference("registry:5000/vllm", None, None)),
        ("registry:5000/a/vllm:v1", ImageReference("registry:5000/a/vllm", "v1", None)),
        (f"vllm@{DIGEST}", ImageReference("vllm", None, DIGEST)),
        (f"registry:5000/vllm@{DIGEST}", ImageReference("registry:5000/vllm", None, DIGEST)),
        (f"registry:5000/vllm:v1@{DIGEST}", ImageReference("registry:5000/vllm", "v1", DIGEST)),
    ],
)
def test_an_image_reference_is_split_into_name_tag_and_digest(text: str, expected: ImageReference) -> None:
    assert parse_image(text) == expected


@pytest.mark.parametrize(
    ("text", "pinned", "local"),
    [
        ("vllm/vllm-openai:v1", "vllm/vllm-openai:v1@sha256:d", "vllm/vllm-openai:v1"),
        ("docker.io/library/tiny", "docker.io/library/tiny@sha256:d", "tiny:latest"),
        ("reg:5000/vllm", "reg:5000/vllm@sha256:d", "reg:5000/vllm:latest"),
        ("reg:5000/vllm:v1@sha256:old", "reg:5000/vllm:v1@sha256:d", "reg:5000/vllm@sha256:old"),
    ],
)
def test_an_image_is_pinned_by_digest_and_found_by_its_local_name(text: str, pinned: str, local: str) -> None:
    image = split_image(text)
    assert image.pinned("sha256:d") == pinned
    assert image.local_name() == local


@pytest.mark.parametrize(
    "text", ["", " ", "vllm/", "registry:5000/", ":v1", f"@{DIGEST}", "a b", " vllm", "vllm ", "a/:v1"]
)
def test_an_invalid_image_reference_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not an image reference") as refusal:
        parse_image(text)
    assert f'"{text}"' in str(refusal.value)


# names and addresses


@pytest.mark.parametrize(
    ("ordinal", "serving", "candidate", "address"),
    [
        (1, "vllm-model-tiny", "vllm-model-tiny--g3", "gpu-1/tiny"),
        (2, "vllm-model-tiny.2", "vllm-model-tiny.2--g3", "gpu-1/tiny.2"),
    ],
)
def test_the_first_replica_has_no_number(ordinal: int, serving: str, candidate: str, address: str) -> None:
    assert labels.serving_name("tiny", ordinal) == serving
    assert labels.generation_name("tiny", ordinal, 3) == candidate
    assert labels.address("gpu-1", "tiny", ordinal) == address


@pytest.mark.parametrize("model", ["tiny", "llama-3.3-70b", "a_b", "x--y"])
@pytest.mark.parametrize("ordinal", [1, 12])
def test_a_candidate_and_a_serving_container_are_distinguished_by_name(model: str, ordinal: int) -> None:
    assert labels.is_generation_name(labels.generation_name(model, ordinal, 12))
    assert not labels.is_generation_name(labels.serving_name(model, ordinal))


@pytest.mark.parametrize("name", ["vllm-model-tiny-g3", "vllm-model-tiny--g", "vllm-model-tiny--g3x", "--g3-vllm"])
def test_only_two_dashes_and_a_number_at_the_end_make_a_generation(name: str) -> None:
    assert not labels.is_generation_name(name)


def test_every_label_has_the_same_prefix() -> None:
    names = [
        labels.STACK,
        labels.ENV,
        labels.MODEL,
        labels.HOST,
        labels.ORDINAL,
        labels.GENERATION,
        labels.SPEC,
        labels.PROTECT,
        labels.RUN,
        labels.VERSION,
    ]
    assert len(set(names)) == len(names)
    assert all(n.startswith("cortexctl.") for n in names)


# the spec and its values


def test_docker_waits_longer_than_vllm_drains() -> None:
    assert FULL.stop_timeout == 60 + STOP_MARGIN
    assert MINIMAL.stop_timeout > MINIMAL.server.drain


@pytest.mark.parametrize(("source", "is_volume"), [("/var/x", False), ("cache", True), ("my.cache_2", True)])
def test_a_mount_without_a_slash_in_front_is_a_volume(source: str, is_volume: bool) -> None:
    assert Mount(source, "/x").is_volume is is_volume


def test_a_publish_without_a_port_shows_that_any_free_port_is_used() -> None:
    assert str(Publish("127.0.0.1", 8801)) == "127.0.0.1:8801"
    assert str(Publish("127.0.0.1")) == "127.0.0.1 (any free port)"


def test_a_secret_names_its_origin() -> None:
    assert FULL.container.secrets[1].origin == "file:keys/api.key"


def test_a_launch_does_not_show_its_secrets() -> None:
    launch = Launch("n", "i", ("vllm",), ("serve",), MINIMAL, {}, secrets={"HF_TOKEN": "hf-planted"})
    assert "hf-planted" not in repr(launch)


# the codec


@pytest.mark.parametrize("spec", [MINIMAL, FULL], ids=["minimal", "full"])
def test_a_spec_reads_back_from_its_label_as_the_same(spec: Spec) -> None:
    assert spec_from_label(spec_to_label(spec)) == spec


@pytest.mark.parametrize("spec", [MINIMAL, FULL], ids=["minimal", "full"])
def test_a_spec_reads_back_from_its_dict_as_the_same(spec: Spec) -> None:
    assert spec_from_dict(spec_to_dict(spec)) == spec


@pytest.mark.parametrize("field", SPEC_FIELDS)
def test_every_field_is_in_the_label_when_it_is_set(field: str) -> None:
    """A field that the codec forgets would be a change that no plan ever shows."""
    part = "container" if field in CONTAINER_FIELDS else "server"
    assert field in spec_to_dict(FULL)[part]
    lost = spec_to_dict(FULL)
    del lost[part][field]
    if field in REQUIRED:
        with pytest.raises(ValueError, match=f"fields missing in a spec: {part}.{field}$"):
            spec_from_dict(lost)
    else:
        assert spec_from_dict(lost) != FULL


def test_defaults_are_left_out() -> None:
    assert spec_to_dict(MINIMAL) == {
        "v": SPEC_VERSION,
        "container": {"image": "vllm/vllm-openai:v0.32.0", "port": 8000},
        "server": {"engine": "vllm", "model": "/models/tiny", "served_names": ["tiny"]},
    }
    explicit = change_spec(MINIMAL, shm_size=DEFAULT_SHM_SIZE, drain=30, ipc="private", args={}, gpus=())
    assert spec_to_label(explicit) == spec_to_label(MINIMAL)


def test_equal_specs_give_equal_text_whatever_the_order_of_their_mappings() -> None:
    turned = change_spec(
        FULL,
        args={k: FULL.server.args[k] for k in reversed(list(FULL.server.args))}
        | {"hf_overrides": {"a": [True, "ü"], "rope": {"type": None, "theta": 1e6}}},
        env=dict(reversed(list(FULL.container.env.items()))),
    )
    assert list(turned.server.args) != list(FULL.server.args)
    assert turned == FULL
    assert spec_to_label(turned) == spec_to_label(FULL)


def test_a_label_is_one_compact_line_of_json() -> None:
    text = spec_to_label(FULL)
    assert "\n" not in text
    assert json.loads(text)["v"] == SPEC_VERSION
    assert text == json.dumps(json.loads(text), separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def test_a_label_of_spec_version_1_is_read_as_the_same_spec() -> None:
    assert spec_from_label(LABEL_OF_VERSION_1) == OF_VERSION_1
    assert label_of_version_1(OF_VERSION_1) == LABEL_OF_VERSION_1
    assert label_records(LABEL_OF_VERSION_1, OF_VERSION_1)
    assert not label_records(LABEL_OF_VERSION_1, FULL)
    assert not label_records("", OF_VERSION_1)


def test_a_label_of_spec_version_2_is_written_and_read_the_same() -> None:
    assert spec_to_label(OF_VERSION_1) == LABEL_OF_VERSION_2
    assert spec_from_label(LABEL_OF_VERSION_2) == OF_VERSION_1


def test_a_minimal_label_of_spec_version_1_gets_the_defaults() -> None:
    text = '{"image":"vllm/vllm-openai:v0.32.0","model":"/models/tiny","served_names":["tiny"],"v":1}'
    assert spec_from_label(text) == MINIMAL


def test_a_label_of_a_newer_cortexctl_is_refused_as_such() -> None:
    newer = spec_to_dict(MINIMAL) | {"v": SPEC_VERSION + 1}
    with pytest.raises(UnknownSpecVersion, match=f"spec version {SPEC_VERSION + 1}.* knows up to {SPEC_VERSION}"):
        spec_from_label(json.dumps(newer))


def test_a_newer_label_is_refused_for_its_version_even_with_fields_that_we_do_not_know() -> None:
    newer = spec_to_dict(MINIMAL) | {"v": SPEC_VERSION + 1, "colour": "green"}
    with pytest.raises(UnknownSpecVersion):
        spec_from_dict(newer)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="unknown fields in a spec: colour, shape"):
        spec_from_dict(spec_to_dict(MINIMAL) | {"shape": "round", "colour": "green"})
    inside = spec_to_dict(MINIMAL)
    inside["container"]["shape"] = inside["server"]["colour"] = 1
    with pytest.raises(ValueError, match=r"unknown fields in a spec: container\.shape, server\.colour"):
        spec_from_dict(inside)


@pytest.mark.parametrize("field", ["container", "server", "engine", "version", "port", "colour"])
def test_version_1_takes_no_field_that_it_did_not_have(field: str) -> None:
    data = {"v": 1, "image": "i", "model": "m", "served_names": ["m"], field: {}}
    with pytest.raises(ValueError, match=f"unknown fields in a spec: {field}"):
        spec_from_dict(data)


@pytest.mark.parametrize("part", ["container", "server"])
def test_a_spec_of_version_2_without_one_of_its_parts_is_refused(part: str) -> None:
    without = {k: v for k, v in spec_to_dict(MINIMAL).items() if k != part}
    with pytest.raises(ValueError, match="spec version 2 has a container and a server"):
        spec_from_dict(without)
    with pytest.raises(ValueError, match=f"fields of the wrong type in a spec: {part}"):
        spec_from_dict(without | {part: ["x"]})


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "7", '"text"', "null", "{}", '{"v":"1"}', '{"v":null}', '{"v":1.0}']
)
def test_an_invalid_spec_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        spec_from_label(text)


def test_reading_a_spec_does_not_change_what_it_was_read_from() -> None:
    data = spec_to_dict(FULL)
    before = json.dumps(data)
    spec_from_dict(data)
    assert json.dumps(data) == before


# fingerprints of secrets


def test_a_fingerprint_never_changes() -> None:
    """Labels of running containers have it: a different one would replace every container with a secret."""
    assert fingerprint("demo", "HF_TOKEN", "hf-planted") == "dfce0023d39bb7df"


@pytest.mark.parametrize(
    ("stack", "name", "value"),
    [("other", "HF_TOKEN", "hf-planted"), ("demo", "VLLM_API_KEY", "hf-planted"), ("demo", "HF_TOKEN", "hf-planted2")],
    ids=["stack", "name", "value"],
)
def test_a_fingerprint_differs_by(stack: str, name: str, value: str) -> None:
    assert fingerprint(stack, name, value) != fingerprint("demo", "HF_TOKEN", "hf-planted")


@pytest.mark.parametrize("value", ["", "a", "hf-planted", "0123456789abcdef", "ünïcode ☃", "x" * 5000])
def test_a_fingerprint_is_16_hex_digits_and_does_not_contain_its_value(value: str) -> None:
    digits = fingerprint("demo", "HF_TOKEN", value)
    assert len(digits) == 16
    assert int(digits, 16) >= 0
    assert len(value) < 2 or value not in digits
