from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cortexctl.decoding.readers import NotAsExpected
from cortexctl.instance import labels
from cortexctl.instance.codec import SPEC_VERSION, spec_to_label
from cortexctl.instance.labels import generation_name, serving_name
from cortexctl.instance.spec import InPlace
from cortexctl.observed.container_list import (
    parse_containers,
    parse_endpoint,
    parse_images,
    parse_in_place,
    parse_listed,
)
from cortexctl.observed.host import BoundPort, ImageFacts, Listed, ObservedContainer, ObservedHost
from cortexctl.observed.observation import Fact, Observed
from cortexctl.observed.owned import owned_instances, ownership_of, read_owned
from cortexctl.observed.record import HostRecord
from tests.specs import new_spec

SPEC = new_spec(image="image:v0.32.0", model="/models/tiny", served_names=("tiny",), version="0.32.0")

ROW: dict[str, Any] = {
    "Id": "4f9f" * 16,
    "Names": ["/vllm-model-tiny"],
    "Image": "image:v0.32.0",
    "ImageID": "sha256:" + "ab" * 32,
    "Command": "vllm serve /models/tiny",
    "Created": 1763964000,
    "Ports": [{"IP": "127.0.0.1", "PrivatePort": 8000, "PublicPort": 8801, "Type": "tcp"}],
    "Labels": {"cortexctl.stack": "demo"},
    "State": "running",
    "Status": "Up 2 hours (healthy)",
    "HostConfig": {"NetworkMode": "cortex_default"},
    "NetworkSettings": {"Networks": {"cortex_default": {"IPAddress": "172.18.0.2"}}},
    "Mounts": [],
}
"""A row of `GET /containers/json?all=1` as Daemon 20.10 answers it."""


def _row(**changes: Any) -> dict[str, Any]:
    return {**ROW, **changes}


def _only(**changes: Any) -> ObservedContainer:
    (container,) = parse_containers([_row(**changes)])
    return container


LISTED = Listed(
    "vllm serve /models/x", "cortex_default", {"cortex_default": {"IPAddress": "172.18.0.2"}}, ((8000, "", 8801),)
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, LISTED),
        ({"Ports": [{"PrivatePort": 8000, "Type": "tcp"}]}, replace(LISTED, published=())),
        ({"Ports": [{"PrivatePort": 8000, "PublicPort": 8801, "Type": "udp"}]}, replace(LISTED, published=())),
        (
            dict.fromkeys(("Command", "Ports", "HostConfig", "NetworkSettings")),
            Listed("", "", {}),
        ),
    ],
)
def test_the_location_of_a_container_is_read_from_its_row(changes: dict[str, Any], expected: Listed) -> None:
    row = _row(Command="vllm serve /models/x", Ports=[{"PrivatePort": 8000, "PublicPort": 8801, "Type": "tcp"}])
    assert parse_listed([row | changes]) == {ROW["Id"]: expected}


@pytest.mark.parametrize(
    "changes",
    [
        {"Command": 7},
        {"HostConfig": {"NetworkMode": ["host"]}},
        {"Ports": [{"PrivatePort": "8000"}]},
        {"NetworkSettings": {"Networks": {"n": {"Gateway": 1}}}},
    ],
)
def test_a_row_of_another_shape_has_no_location(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAsExpected):
        parse_listed([_row(**changes)])


# rows of the daemon's list


def test_a_row_is_read_into_a_value() -> None:
    assert _only() == ObservedContainer(
        id="4f9f" * 16,
        name="vllm-model-tiny",
        image="image:v0.32.0",
        image_id="sha256:" + "ab" * 32,
        state="running",
        exit_code=None,
        labels={"cortexctl.stack": "demo"},
        ports=(BoundPort("127.0.0.1", 8801),),
        networks=("cortex_default",),
        addresses=("172.18.0.2",),
    )


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["/own", "/web/alias"], "own"),
        (["/web/alias", "/own"], "own"),
        (["/web/alias", "/db/alias"], "4f9f4f9f4f9f"),
        ([], "4f9f4f9f4f9f"),
        (None, "4f9f4f9f4f9f"),
    ],
    ids=["own first", "link first", "links only", "none", "null"],
)
def test_links_are_not_names_of_the_container(names: list[str] | None, name: str) -> None:
    assert _only(Names=names).name == name


@pytest.mark.parametrize(
    ("state", "status", "exit_code"),
    [
        ("exited", "Exited (0) 2 minutes ago", 0),
        ("exited", "Exited (137) 5 weeks ago", 137),
        ("running", "Up 2 minutes", None),
        ("created", "Created", None),
        ("restarting", "Restarting (1) 3 seconds ago", None),
        ("dead", "Dead", None),
        ("exited", None, None),
        ("running", "Up 2 minutes (Exited (3) is part of nothing)", None),
    ],
)
def test_only_an_exited_container_has_an_exit_code(state: str, status: str | None, exit_code: int | None) -> None:
    seen = _only(State=state, Status=status)
    assert seen.state == state
    assert seen.exit_code == exit_code
    assert seen.is_running is (state == "running")


def test_a_state_is_compared_in_small_letters() -> None:
    """Podman writes it with a capital."""
    assert _only(State="Running").is_running


@pytest.mark.parametrize("field", ["Labels", "Ports", "NetworkSettings", "Image", "ImageID", "State", "Status"])
@pytest.mark.parametrize("absence", ["null", "left out"])
def test_a_field_that_a_daemon_leaves_out_is_empty(field: str, absence: str) -> None:
    row = _row(**{field: None}) if absence == "null" else {k: v for k, v in ROW.items() if k != field}
    (seen,) = parse_containers([row])
    empty = {
        "Labels": seen.labels == {},
        "Ports": seen.ports == (),
        "NetworkSettings": seen.networks == (),
        "Image": seen.image == "",
        "ImageID": seen.image_id == "",
        "State": seen.state == "",
        "Status": seen.exit_code is None,
    }
    assert empty[field]
    assert seen.name == "vllm-model-tiny"


@pytest.mark.parametrize(
    ("ports", "bound"),
    [
        (
            [
                {"IP": "::", "PrivatePort": 8000, "PublicPort": 8801, "Type": "tcp"},
                {"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 8801, "Type": "tcp"},
            ],
            (BoundPort("0.0.0.0", 8801), BoundPort("::", 8801)),
        ),
        ([{"PrivatePort": 8000, "Type": "tcp"}], ()),
        ([{"PrivatePort": 8000, "PublicPort": 0, "Type": "tcp"}], ()),
        ([{"PrivatePort": 8000, "PublicPort": 8801, "Type": "tcp"}], (BoundPort("", 8801),)),
        (
            [
                {"IP": "10.0.0.1", "PrivatePort": 8000, "PublicPort": 8802, "Type": "tcp"},
                {"IP": "10.0.0.1", "PrivatePort": 9000, "PublicPort": 8801, "Type": "tcp"},
                {"IP": "10.0.0.1", "PrivatePort": 8000, "PublicPort": 8802, "Type": "udp"},
            ],
            (BoundPort("10.0.0.1", 8801), BoundPort("10.0.0.1", 8802)),
        ),
    ],
    ids=["both families", "only exposed", "port 0", "no address", "several, one twice"],
)
def test_only_ports_of_the_host_count(ports: list[dict[str, Any]], bound: tuple[BoundPort, ...]) -> None:
    assert _only(Ports=ports).ports == bound


def test_a_container_on_several_networks_names_them_in_order() -> None:
    assert _only(NetworkSettings={"Networks": {"b": {}, "a": {}}}).networks == ("a", "b")


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = [_row(Id=c * 64, Names=[f"/{n}"]) for c, n in (("1", "b"), ("2", "a"), ("3", "c"))]
    first, *others = [parse_containers(order) for order in itertools.permutations(rows)]
    assert [c.name for c in first] == ["a", "b", "c"]
    assert all(other == first for other in others)


def test_no_row_gives_no_container() -> None:
    assert parse_containers([]) == ()


# whose they are


def _ours(name: str, *, model: str = "tiny", generation: int = 1, ordinal: int = 1, **more: str) -> dict[str, Any]:
    """A row of ours; `more` replaces labels by the name of their constant, in small letters."""
    all_labels = {
        labels.STACK: "demo",
        labels.MODEL: model,
        labels.HOST: "gpu-1",
        labels.ORDINAL: str(ordinal),
        labels.GENERATION: str(generation),
        labels.SPEC: spec_to_label(SPEC),
        labels.PROTECT: "false",
        labels.RUN: "run1",
        **{str(getattr(labels, key.upper())): value for key, value in more.items()},
    }
    return _row(Id=name.encode().hex().ljust(64, "0")[:64], Names=[f"/{name}"], Labels=all_labels)


def _host(*rows: dict[str, Any]) -> ObservedHost:
    return ObservedHost("gpu-1", parse_containers(rows))


def _with_own_labels(host: ObservedHost) -> ObservedHost:
    """The host after its images were read. They have no labels."""
    return Observed((host,)).with_image_labels({("gpu-1", c.image_id): {} for c in host.containers}).hosts[0]


def test_the_container_under_the_serving_name_serves_and_the_others_are_sorted_by_generation() -> None:
    instances = owned_instances(
        _host(
            _ours(generation_name("tiny", 1, 10), generation=10),
            _ours(serving_name("tiny"), generation=3),
            _ours(generation_name("tiny", 1, 2), generation=2),
            _ours(generation_name("tiny", 1, 1), generation=1),
        ),
        "demo",
    )
    (instance,) = instances.values()
    assert list(instances) == ["gpu-1/tiny"]
    assert instance.address == "gpu-1/tiny"
    assert instance.serving is not None
    assert instance.serving.generation == 3
    assert [o.generation for o in instance.others] == [1, 2, 10]
    assert [o.generation for o in instance.all] == [3, 1, 2, 10]


def test_it_is_the_name_and_not_the_generation_that_makes_a_container_serve() -> None:
    rows = _ours(generation_name("tiny", 1, 1)), _ours("renamed-by-hand", generation=7)
    instances = owned_instances(_with_own_labels(_host(*rows)), "demo")
    assert instances["gpu-1/tiny"].serving is None
    assert [o.container.name for o in instances["gpu-1/tiny"].all] == [generation_name("tiny", 1, 1), "renamed-by-hand"]


def test_instances_are_distinguished_by_model_and_ordinal() -> None:
    instances = owned_instances(
        _host(
            _ours(serving_name("b"), model="b"),
            _ours(serving_name("a", 2), model="a", ordinal=2),
            _ours(serving_name("a"), model="a"),
        ),
        "demo",
    )
    assert list(instances) == ["gpu-1/a", "gpu-1/a.2", "gpu-1/b"]
    assert all(i.serving is not None for i in instances.values())


def test_the_serving_name_of_another_ordinal_does_not_serve() -> None:
    instances = owned_instances(_with_own_labels(_host(_ours(serving_name("a", 2), model="a", ordinal=1))), "demo")
    assert instances["gpu-1/a"].serving is None


def test_a_container_of_a_host_with_another_name_is_misplaced() -> None:
    """Two hosts of the stack are one daemon, or a host was renamed: its serving containers must not be removed here."""
    host = _host(_ours(serving_name("tiny")), _ours(serving_name("far"), model="far", host="gpu-9"))
    assert list(owned_instances(host, "demo")) == ["gpu-1/tiny"]
    assert [c.name for c in ownership_of(host, "demo").misplaced] == [serving_name("far")]
    assert ownership_of(host, "other").misplaced == ()


def test_containers_of_others_are_not_ours() -> None:
    mine = _ours(serving_name("tiny"))
    instances = owned_instances(
        _host(
            mine,
            _ours("of-another-stack", stack="other"),
            _row(Id="9" * 64, Names=["/nobodys"], Labels=None),
            _row(Id="8" * 64, Names=["/vllm-model-tiny--g9"], Labels={"com.docker.compose.project": "demo"}),
            _row(Id="7" * 64, Names=["/lock-only"], Labels={labels.STACK: "demo"}),
        ),
        "demo",
    )
    (instance,) = instances.values()
    assert [o.container.name for o in instance.all] == [serving_name("tiny")]


def test_a_host_without_containers_of_ours_has_no_instances() -> None:
    assert owned_instances(_host(_row(Labels={})), "demo") == {}


def test_labels_are_read_into_values() -> None:
    owned = read_owned(_host(_ours("x", generation=4, ordinal=2, protect="true", run="abcd")).containers[0])
    assert (owned.model, owned.ordinal, owned.generation, owned.protect, owned.run) == ("tiny", 2, 4, True, "abcd")
    assert owned.spec == SPEC
    assert owned.problem == ""


@pytest.mark.parametrize("text", ["", "no", "0", "TRUE", "yes"])
def test_only_true_protects(text: str) -> None:
    assert not read_owned(_host(_ours("x", protect=text)).containers[0]).protect


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'{{"v":{SPEC_VERSION + 1}}}', f"spec version {SPEC_VERSION + 1}"),
        ('{"v":1,"colour":"green"}', "unknown fields in a spec: colour"),
        ('{"v":1}', "missing"),
        ("[]", "JSON object"),
        ("nonsense", "Expecting value"),
        ('{"v":1,"image":"i","model":"m","served_names":["a"],"publish":"8801"}', "wrong type"),
    ],
)
def test_a_spec_that_cannot_be_read_is_a_problem_and_no_exception(text: str, problem: str) -> None:
    instances = owned_instances(_host(_ours(serving_name("tiny"), spec=text)), "demo")
    serving = instances["gpu-1/tiny"].serving
    assert serving is not None
    assert serving.spec is None
    assert problem in serving.problem


def test_a_container_without_a_spec_has_a_problem() -> None:
    row = _ours(serving_name("tiny"))
    lost = {k: v for k, v in row["Labels"].items() if k != labels.SPEC}
    serving = owned_instances(_host({**row, "Labels": lost}), "demo")["gpu-1/tiny"].serving
    assert serving is not None
    assert serving.spec is None
    assert serving.problem


# the observation of all hosts


def test_a_host_with_a_problem_was_not_reached() -> None:
    assert ObservedHost("a").is_reachable
    assert not ObservedHost("a", problem="nothing answers").is_reachable


def test_a_host_is_found_by_its_name() -> None:
    seen = Observed((ObservedHost("a"), ObservedHost("b", daemon="e")))
    assert seen.host("b").daemon == "e"
    with pytest.raises(StopIteration):
        seen.host("c")


def test_a_later_reading_replaces_all_earlier_facts_of_its_hosts() -> None:
    old, new = InPlace("no"), InPlace("always")
    both = Observed(
        (ObservedHost("a"), ObservedHost("b")),
        in_place={("a", "1"): old, ("a", "2"): old, ("b", "1"): old},
        records={"a": HostRecord("a"), "b": HostRecord("b")},
        unknown=frozenset({(Fact.IMAGE, ("a", "i")), (Fact.IMAGE, ("b", "i"))}),
    )
    newer = Observed((ObservedHost("a", daemon="e"),), in_place={("a", "1"): new})
    renewed = both.renewed(newer)
    assert [h.daemon for h in renewed.hosts] == ["e", ""]
    assert renewed.in_place == {("a", "1"): new, ("b", "1"): old}
    assert renewed.records == {"b": HostRecord("b")}
    assert renewed.unknown == {(Fact.IMAGE, ("b", "i"))}


# other answers of the daemon


def test_an_image_is_found_by_each_of_its_tags_and_digests() -> None:
    digest = "vllm/vllm-openai@sha256:" + "d" * 64
    rows: list[dict[str, Any]] = [
        {"Id": "sha256:1", "RepoTags": ["image:v1", "image:latest"], "RepoDigests": [digest]},
        {"Id": "sha256:2", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]},
        {"Id": "sha256:3", "RepoTags": None, "RepoDigests": None},
    ]
    images = parse_images(rows)
    assert set(images) == {"image:v1", "image:latest", digest}
    assert images["image:latest"] == ImageFacts("image:latest", "local", id="sha256:1")


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ({"RestartPolicy": {"Name": "unless-stopped"}, "Memory": 0, "NanoCpus": 0}, InPlace("unless-stopped")),
        ({"RestartPolicy": {"Name": ""}, "Memory": 1024}, InPlace("no", 1024)),
        ({"RestartPolicy": None, "NanoCpus": 1_500_000_000}, InPlace("no", None, 1.5)),
        ({"CpuQuota": 250_000, "CpuPeriod": 100_000}, InPlace("no", None, 2.5)),
        ({"CpuQuota": 50_000, "CpuPeriod": 0}, InPlace("no", None, 0.5)),
        ({"CpuQuota": -1}, InPlace("no")),
        ({}, InPlace("no")),
    ],
)
def test_policy_and_limits_are_read_from_an_inspection(config: dict[str, Any], limits: InPlace) -> None:
    assert parse_in_place({"HostConfig": config}) == limits


def _inspected(*argv: str, networks: dict[str, Any] | None = None, **ports: Any) -> dict[str, Any]:
    network = {
        "Networks": networks or {"n": {"IPAddress": "172.18.0.2"}},
        "Ports": {f"{n[1:]}/tcp": b for n, b in ports.items()},
    }
    return {"Config": {"Entrypoint": ["vllm", "serve"], "Cmd": list(argv)}, "NetworkSettings": network}


@pytest.mark.parametrize(
    ("inspected", "endpoint"),
    [
        (_inspected(p8000=[{"HostIp": "127.0.0.1", "HostPort": "1"}]), "http://127.0.0.1:1"),
        (_inspected(p8000=[{"HostIp": "0.0.0.0", "HostPort": "1"}]), "http://10.0.0.1:1"),
        (_inspected(p8000=[{"HostIp": "::1", "HostPort": "1"}]), "http://[::1]:1"),
        (_inspected(p8000=None), "http://172.18.0.2:8000"),
        (_inspected(p9000=[{"HostIp": "", "HostPort": "1"}]), "http://172.18.0.2:8000"),
        (_inspected("--port", "9000", p9000=[{"HostIp": "", "HostPort": "1"}]), "http://10.0.0.1:1"),
        (_inspected("m", "--port=9000"), "http://172.18.0.2:9000"),
        (_inspected("--port"), "http://172.18.0.2:8000"),
        (_inspected("--port", "x"), "http://172.18.0.2:8000"),
        (_inspected("--port", "9000", networks={"host": {"IPAddress": ""}}), "http://10.0.0.1:9000"),
        (_inspected(networks={"none": {"IPAddress": ""}}), ""),
        ({}, ""),
    ],
)
def test_the_endpoint_of_a_server(inspected: dict[str, Any], endpoint: str) -> None:
    assert parse_endpoint(inspected, "10.0.0.1") == endpoint
