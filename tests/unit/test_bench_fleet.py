"""The fake fleet of the bench: its answers, and that cortexctl plans nothing for it and finds every server healthy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.fake_fleet.answers import Answer, FakeDaemon, id_of
from bench.fake_fleet.exchange import frame, parse_request, response
from bench.fake_fleet.running import fake_fleet
from bench.inputs import PER_HOST, fleet, one_host
from bench.probes.desired_containers import after_apply, containers_of
from bench.probes.growth import growth_of
from tests.forks import ran

CONTAINER = {"name": "vllm-model-m", "labels": {"cortexctl.stack": "s"}, "image": "image:1", "network": "net"}


def test_a_connection_of_http_1_0_is_closed_and_one_of_http_1_1_stays_open() -> None:
    assert not parse_request(b"GET / HTTP/1.0\r\nHost: docker").keeps_open
    assert parse_request(b"GET / HTTP/1.0\r\nConnection: keep-alive").keeps_open
    assert parse_request(b"GET / HTTP/1.1\r\nHost: docker").keeps_open
    assert not parse_request(b"GET / HTTP/1.1\r\nConnection: close").keeps_open


def test_an_answer_has_the_clients_version_and_its_length() -> None:
    request = parse_request(b"GET /_ping HTTP/1.0\r\n")
    text = response(request, Answer(200, b"OK")).decode()
    assert text.startswith("HTTP/1.0 200 OK\r\n")
    assert text.endswith("Content-Length: 2\r\nConnection: close\r\n\r\nOK")
    assert not response(parse_request(b"HEAD /_ping HTTP/1.1"), Answer(200, b"OK")).endswith(b"OK")


def test_the_list_can_be_filtered_by_label() -> None:
    daemon = FakeDaemon("h", [CONTAINER, {**CONTAINER, "name": "other", "labels": {}}])
    every = json.loads(daemon.answer("GET", "/v1.41/containers/json?all=1").body)
    filtered = json.loads(daemon.answer("GET", '/containers/json?filters={"label":["cortexctl.stack=s"]}').body)
    assert [row["Names"] for row in every] == [["/vllm-model-m"], ["/other"]]
    assert [row["Id"] for row in filtered] == [id_of("h", CONTAINER)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_ping", 200),
        ("GET", "/containers/vllm-model-m/json", 200),
        ("GET", "/containers/nothing/json", 404),
        ("GET", "/volumes/nothing", 404),
        ("POST", "/containers/vllm-model-m/exec", 201),
        ("POST", "/containers/vllm-model-m/stop", 501),
    ],
)
def test_only_a_program_inside_a_container_can_be_started(method: str, path: str, status: int) -> None:
    assert FakeDaemon("h", [CONTAINER]).answer(method, path).status == status


def test_output_of_a_program_is_framed() -> None:
    assert frame(b"+") == b"\x01\0\0\0\0\0\0\x01+"


def test_a_plan_of_the_fake_fleet_is_empty_and_every_server_is_healthy(tmp_path: Path) -> None:
    stack, containers, sockets = tmp_path / "stack.toml", tmp_path / "containers.json", tmp_path / "s"
    sockets.mkdir()
    stack.write_text(fleet(2, str(sockets)))
    containers.write_text(json.dumps(containers_of(after_apply(str(stack)))))
    with fake_fleet(containers, sockets, latency=0) as fake:
        planned = ran("plan", str(stack), "--detailed-exitcode", cwd=tmp_path)
        assert planned.returncode == 0, planned.stderr
        assert fake.take_counts().requests == 2
        status = ran("status", str(stack), cwd=tmp_path)
        assert status.returncode == 0, status.stdout + status.stderr
        assert status.stdout.count("healthy") >= 2 * PER_HOST


def test_the_growth_probe_measures_every_stage(tmp_path: Path) -> None:
    stack = tmp_path / "stack.toml"
    stack.write_text(one_host(2))
    by_host = containers_of(after_apply(str(stack)))
    daemon = FakeDaemon("here", by_host["here"])
    rows = {"here": json.loads(daemon.answer("GET", "/containers/json").body)}
    seconds = growth_of(str(stack), rows)
    assert set(seconds) == {"load", "list", "decide", "create", "render", "plan"}
    assert all(spent > 0 for spent in seconds.values())
