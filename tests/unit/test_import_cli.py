"""`cortexctl import`, against a daemon that only answers. A plan adopts the printed model without a change."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cortexctl.cli.main import run
from cortexctl.instance.spec import Mount, Publish
from tests.fakes.daemon_socket import LIST, TalkingDaemon, talking_daemon
from tests.fakes.inspection import IMAGE_ENV, inspection, laid_over
from tests.specs import new_spec

HOSTS = 'stack = "demo"\n\n[hosts.here]\ndocker = "unix://{}"\n'


def stack(tmp_path: Path, more: str = "", socket: str = "/nowhere.sock", name: str = "stack.toml") -> str:
    path = tmp_path / name
    path.write_text(HOSTS.format(socket) + more)
    return str(path)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("", "no Docker daemon at unix:///nowhere.sock"),
        ("[models]\n", "no Docker daemon at unix:///nowhere.sock"),
        ("wrong = 1\n", "unknown key"),
        ("[models.a]\nimage = 1\n", "models.a.image"),
        ("[models.a\n", "not valid TOML"),
        ("[env.e.models]\n", "no Docker daemon"),
    ],
)
def test_a_stack_with_hosts_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, error: str
) -> None:
    assert run(["import", "here", "--stack", stack(tmp_path, more)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert error in err
    assert "import-probe" not in err


def test_models_in_braces_cannot_be_added_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = '{ image = "i:v0.32.0", source = { repo = "a/b" }, gpus = "none" }'
    path = tmp_path / "stack.toml"
    path.write_text(f'stack = "demo"\nmodels = {{ a = {model} }}\nhosts.here.docker = "unix:///nowhere.sock"\n')
    assert run(["import", "here", "--stack", str(path)]) == 1
    assert "write its models as tables" in capsys.readouterr().err


def test_an_unknown_host_is_named_with_those_that_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "there", "--stack", stack(tmp_path)]) == 1
    assert 'there is no host "there"' in capsys.readouterr().err


def test_a_stack_in_json_will_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stack.json"
    path.write_text('{"stack": "demo", "hosts": {"here": {"docker": "unix:///nowhere.sock"}}}')
    assert run(["import", "here", "--stack", str(path)]) == 1
    assert "no Docker daemon" in capsys.readouterr().err


ID, IMAGE_ID = "a" * 64, "sha256:" + "1" * 64
SPEC = new_spec(
    image="vllm/vllm-openai:v0.32.0",
    version="0.32.0",
    model="/models/llama",
    served_names=("llama",),
    mounts=(Mount("/srv/models", "/models"),),
    gpus=(0,),
    publish=Publish("127.0.0.1", 8001),
    network="bridge",
    shm_size=2**26,
    restart="no",
)
BY_HAND = {"CapDrop": None, "SecurityOpt": None, "LogConfig": {"Type": "json-file", "Config": None}}
STACK = 'stack = "demo"\n\n[hosts.here]\ndocker = "{}"\nmodels_dir = "/srv/models"\n'


def answers(changes: Mapping[str, Any] | None = None, name: str = "llm", **row: Any) -> dict[str, Any]:
    """The answers of a daemon with one container that a person started."""
    raw = inspection(SPEC, {}, {"HostConfig": BY_HAND})
    raw = laid_over({**raw, "Id": ID, "Name": f"/{name}", "Image": IMAGE_ID}, changes or {})
    raw["Config"].setdefault("Image", SPEC.container.image)
    raw.setdefault("NetworkSettings", {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}})
    listed = {
        "Id": ID, "Names": [f"/{name}"], "Image": raw["Config"]["Image"], "ImageID": IMAGE_ID, "State": "running",
        "Status": "Up 2 hours", "Labels": {}, "Ports": [], "NetworkSettings": raw["NetworkSettings"], **row,
    }  # fmt: skip
    image = {"RepoTags": [SPEC.container.image], "RepoDigests": [], "Config": {"Env": list(IMAGE_ENV)}}
    return {LIST: [listed], f"/containers/{ID}/json": raw, f"/images/{IMAGE_ID}/json": image, "/images/json": []}


class Session:
    """The command line against one daemon, with one stack file."""

    def __init__(self, tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = tmp_path / "stack.toml"
        self.path.write_text(STACK.format(url))
        self.capsys = capsys

    def run(self, *argv: str) -> tuple[int, str, str]:
        code = run(list(argv))
        out, err = self.capsys.readouterr()
        assert "planted" not in out + err
        assert "Traceback" not in err
        return code, out, err

    def imported(self, *argv: str) -> str:
        code, out, err = self.run("import", "here", "llm", "--stack", str(self.path), *argv)
        assert code == 0, err
        return out

    def plan(self) -> list[tuple[str, list[str]]]:
        code, out, err = self.run("plan", str(self.path), "--format", "json")
        assert code == 0, out + err
        return [(c["action"], [f["path"] for f in c["fields"]]) for c in json.loads(out)["changes"]]


@contextmanager
def session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], documents: Mapping[str, Any]
) -> Iterator[tuple[Session, TalkingDaemon]]:
    with talking_daemon(tmp_path / "daemon.sock", documents) as daemon:
        yield Session(tmp_path, daemon.url, capsys), daemon


def of_host(**settings: Any) -> dict[str, Any]:
    return {"HostConfig": settings}


def of_config(**settings: Any) -> dict[str, Any]:
    return {"Config": settings}


@pytest.mark.parametrize(
    ("changes", "ignored"),
    [
        ({}, ["cap_drop", "log", "network", "security_opt"]),
        (of_host(CapAdd=["SYS_NICE"], Privileged=True), ["cap_add", "privileged"]),
        (of_host(IpcMode="shareable"), ["ipc"]),
        (of_host(IpcMode="container:abc"), ["ipc"]),
        (of_host(RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3}), ["restart"]),
        (
            of_host(CpusetCpus="0-3", CpuShares=512, MemoryReservation=5),
            ["cpu_shares", "cpuset_cpus", "memory_reservation"],
        ),
        (of_host(LogConfig={"Type": "splunk", "Config": {"splunk-token": "planted"}}), ["log"]),
        (
            of_host(PortBindings={"8000/tcp": [{"HostIp": "", "HostPort": "1"}, {"HostIp": "::", "HostPort": "1"}]}),
            ["publish"],
        ),
        (of_host(PortBindings={}, PublishAllPorts=True), ["publish"]),
        (of_host(DeviceRequests=[{"Count": -1, "Capabilities": [["gpu"]]}]), ["gpus"]),
        (of_host(SecurityOpt=["seccomp=unconfined"], CapDrop=["NET_RAW"]), ["cap_drop", "security_opt"]),
        (of_host(NanoCpus=1_500_000_000, Memory=3 * 2**30, MemorySwap=-1), []),
        (of_host(CpuQuota=33_333, CpuPeriod=100_000), []),
        (of_config(StopSignal="SIGINT"), ["stop_signal"]),
        (of_config(StopSignal=""), []),
        (
            of_config(Env=["CUDA_VISIBLE_DEVICES=0", "we-ird[x]=planted", "HF_HUB_OFFLINE=yes"]),
            ["env.CUDA_VISIBLE_DEVICES"],
        ),
        (of_config(Env=["HF_TOKEN=planted", "OPEN=a", "X=hf_planted"]), []),
        (of_config(Cmd=["/models/llama", "--max-model-len", "8k", "--max-num-seqs", "many"]), ["args.max_num_seqs"]),
        (of_config(Cmd=["/models/llama", "--api-key", "planted", "--port", "8000"]), ["extra_args.--api-key"]),
        (
            of_config(Cmd=["/models/llama", "--download-dir", "/d", "--config-format", "x"]),
            ["extra_args.--download-dir"],
        ),
        (of_config(Cmd=["/models/llama", "--revision", "main"]), ["extra_args.--revision"]),
        (of_config(Cmd=["/models/llama", "--hf-overrides", '{"a": null}']), ["args.hf_overrides"]),
        (
            of_config(Cmd=["/models/llama", "--foo-secret=planted", "--foo", "a", "--foo", "b"]),
            ["extra_args.--foo-secret"],
        ),
        (
            of_config(
                Entrypoint=["python3", "-m", "vllm.entrypoints.openai.api_server"], Cmd=["--model", "/models/llama"]
            ),
            ["entrypoint"],
        ),
        (of_config(Entrypoint=["bash", "-c"], Cmd=["vllm serve /models/llama -tp 1"]), []),
        (of_config(Image=IMAGE_ID), []),
        (
            {"Mounts": [{"Type": "bind", "Source": "/srv/models", "Destination": "/models", "RW": True}]},
            ["mounts./models"],
        ),
        (
            {
                "Mounts": [
                    {"Type": "bind", "Source": "/srv/models/llama", "Destination": "/m", "RW": False},
                    {"Type": "tmpfs", "Source": "", "Destination": "/tmp/x[1]", "RW": True},
                    {"Type": "bind", "Source": "/a:b", "Destination": "/c", "RW": True},
                ],
                "Config": {"Cmd": ["/m"]},
            },
            ["model", "mounts./c", "mounts./models", "mounts./tmp/x[[]1]"],
        ),
        (
            {"NetworkSettings": {"Networks": {"host": {}}}, "HostConfig": {"NetworkMode": "host", "PortBindings": {}}},
            ["network", "publish"],
        ),
    ],
)
def test_the_printed_model_is_adopted_without_a_change(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changes: Mapping[str, Any],
    ignored: list[str],
) -> None:
    has = dict(word.partition("=")[::2] for word in changes.get("Config", {}).get("Env", ()))
    with session(tmp_path, capsys, answers(changes)) as (here, _):
        block = here.imported()
        table = next(iter(tomllib.loads(block)["models"].values()))
        assert set(ignored) <= set(table["ignore"]), table["ignore"]
        for secret in table.get("secrets", {}):
            monkeypatch.setenv(secret, has.get(secret, "planted"))
        here.path.write_text(f"{here.path.read_text()}\n{block}")
        assert here.plan() == [("adopt", [])]
        assert here.run("fmt", "--check", str(here.path))[0] == 0
        assert here.run("validate", str(here.path))[0] == 0


def of_several(*containers: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The answers of a daemon with several containers: name, and the changes to its inspection."""
    whole: dict[str, Any] = {LIST: [], "/images/json": []}
    for at, (name, changes) in enumerate(containers):
        id_ = f"{at + 1:x}" * 64
        one = answers({**changes, "Id": id_}, name, Id=id_)
        whole[LIST] += one.pop(LIST)
        whole[f"/containers/{id_}/json"] = one.pop(f"/containers/{ID}/json")
        whole |= one
    return whole


@pytest.mark.parametrize("state", ["running", "created", "exited"])
@pytest.mark.parametrize(
    ("env", "secrets"),
    [
        (["HUGGING_FACE_HUB_TOKEN="], {}),
        (["HF_TOKEN=", "API_KEY=", "VLLM_API_KEY="], {}),
        (["HF_TOKEN=planted", "MY_PASSWORD="], {"HF_TOKEN": "HF_TOKEN"}),
        (["HF_HUB_TOKEN=planted", "HF_HUB_TOKEN="], {}),
        (["EMPTY=", "VLLM_LOGGING_LEVEL="], {}),
    ],
)
def test_a_block_can_be_planned_whatever_the_environment_and_the_state(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    env: list[str],
    secrets: dict[str, str],
) -> None:
    """Also if the tag does not name the release, and the image names none: a container that never ran, say."""
    for number, image in enumerate(("vllm/vllm-openai:v0.32.0", "lmcache/vllm-openai:v0.3.12")):
        changes = {"Config": {"Env": env, "Image": image}}
        folder = tmp_path / str(number)
        folder.mkdir()
        with session(folder, capsys, answers(changes, State=state, Status="")) as (here, daemon):
            daemon.answers[f"/images/{IMAGE_ID}/json"]["RepoTags"] = [image]
            block = here.imported()
            table = next(iter(tomllib.loads(block)["models"].values()))
            assert table.get("secrets", {}) == {name: {"env": source} for name, source in secrets.items()}
            for source in secrets.values():
                monkeypatch.setenv(source, "planted")
            here.path.write_text(f"{here.path.read_text()}\n{block}")
            assert here.run("validate", str(here.path))[0] == 0
            assert here.plan() == [("adopt" if state == "running" else "start", [])]


def test_the_release_comes_from_the_image_if_its_tag_counts_other_releases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = of_config(Image="lmcache/vllm-openai:v0.3.12")
    with session(tmp_path, capsys, answers(changes, State="created", Status="")) as (here, daemon):
        daemon.answers[f"/images/{IMAGE_ID}/json"]["Config"]["Labels"] = {
            "ai.vllm.image.tag": "vllm/vllm-openai:v0.31.0"
        }
        block = here.imported()
        assert 'vllm_version = "0.31.0"' in block
        assert "# as reported by its image" in block


def test_two_containers_with_different_keys_read_two_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever order they are imported; a token that both have stays one variable."""
    of_a = {"Config": {"Env": ["VLLM_API_KEY=planted-a", "HF_TOKEN=planted"]}}
    of_b = {"Config": {"Env": ["VLLM_API_KEY=planted-b", "HF_TOKEN=planted"], "Cmd": ["/models/b"]}}
    port = {"HostConfig": {"PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8002"}]}}}
    gpu = {"HostConfig": {**port["HostConfig"], "DeviceRequests": [{"DeviceIDs": ["1"], "Capabilities": [["gpu"]]}]}}
    with session(tmp_path, capsys, of_several(("a", of_a), ("b", {**of_b, **gpu}))) as (here, _):
        blocks = []
        for name in ("b", "a"):
            code, out, err = here.run("import", "here", name, "--stack", str(here.path))
            assert code == 0, err
            blocks.append(out)
            here.path.write_text(f"{here.path.read_text()}\n{out}")
        assert '{ env = "VLLM_API_KEY_B" }' in blocks[0]
        assert '{ env = "VLLM_API_KEY_LLAMA" }' in blocks[1]
        assert "VLLM_API_KEY_LLAMA (VLLM_API_KEY in the container)" in blocks[1]
        monkeypatch.setenv("HF_TOKEN", "planted")
        monkeypatch.setenv("VLLM_API_KEY_LLAMA", "planted-a")
        monkeypatch.setenv("VLLM_API_KEY_B", "planted-b")
        assert here.plan() == [("adopt", []), ("adopt", [])]


@pytest.mark.parametrize("in_env", ["planted-other", ""])
def test_the_key_on_the_command_line_wins_over_the_one_in_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, in_env: str
) -> None:
    changes = of_config(Env=[f"VLLM_API_KEY={in_env}"], Cmd=["/models/llama", "--api-key", "planted-used"])
    with session(tmp_path, capsys, answers(changes)) as (here, _):
        block = here.imported()
        assert "vLLM uses --api-key, so give the secret the value of --api-key" in block
        assert '"secrets.VLLM_API_KEY",  # its environment has another value, which --api-key overrules' in block
        here.path.write_text(f"{here.path.read_text()}\n{block}")
        monkeypatch.setenv("VLLM_API_KEY", "planted-used")
        assert here.plan() == [("adopt", [])]


def test_options_in_a_config_file_of_the_container(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session(tmp_path, capsys, answers(of_config(Cmd=["--config", "/etc/vllm.yaml", "-tp", "2"]))) as (here, _):
        code, _, err = here.run("import", "here", "llm", "--stack", str(here.path))
        assert (code, err.count("\n  - ") + err.startswith("  - ")) == (1, 1), "one reason, and no second one about it"
        assert "is in the file /etc/vllm.yaml inside the container (--config)" in " ".join(err.split())


def test_a_config_file_besides_a_model_is_no_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = of_config(Cmd=["/models/llama", "--config", "/etc/vllm.yaml"])
    with session(tmp_path, capsys, answers(changes)) as (here, _):
        block = here.imported()
        assert "before its first replacement: docker exec llm cat /etc/vllm.yaml" in block
        here.path.write_text(f"{here.path.read_text()}\n{block}")
        assert here.plan() == [("adopt", [])]


def test_a_secret_with_another_value_takes_a_new_container(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with session(tmp_path, capsys, answers(of_config(Env=["HF_TOKEN=planted"]))) as (here, _):
        block = here.imported()
        assert "to the values in the container: HF_TOKEN" in block
        here.path.write_text(f"{here.path.read_text()}\n{block}")
        monkeypatch.setenv("HF_TOKEN", "another-planted-one")
        assert here.run("plan", str(here.path))[0] == 1, "it would make a new one, and looks its image up"


def test_a_stopped_one_is_started_by_the_apply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session(tmp_path, capsys, answers(State="exited", Status="Exited (0) 1 hour ago")) as (here, _):
        block = here.imported()
        assert "shows one change: start" in block
        here.path.write_text(f"{here.path.read_text()}\n{block}")
        assert here.plan() == [("start", [])]


def test_clashes_with_other_models_are_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = '[models.other]\nimage = "i:v0.32.0"\nsource = {{ repo = "a/b" }}\n{}\n'
    lines = 'gpus = [0]\nserved_names = ["llama"]\npublish = "127.0.0.1:8001"'
    with session(tmp_path, capsys, answers()) as (here, _):
        here.path.write_text(f"{here.path.read_text()}\n{other.format(lines)}")
        code, out, err = here.run("import", "here", "llm", "--stack", str(here.path))
        assert (code, out) == (1, "")
        for reason in ('both serve "llama"', "both publish port 8001", "on GPU 0 of here sums to", "for 3 reasons"):
            assert reason in err


def test_a_container_with_an_owner_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session(tmp_path, capsys, answers()) as (here, daemon):
        here.path.write_text(f"{here.path.read_text()}\n{here.imported()}")
        assert "already adopted" in here.run("import", "here", "llm", "--stack", str(here.path), "--model", "x")[2]
        daemon.answers[LIST][0]["Labels"] = {"cortexctl.stack": "other"}
        assert (
            'is already a container of the stack "other"'
            in here.run("import", "here", "llm", "--stack", str(here.path))[2]
        )


def test_an_image_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = answers()
    del documents[f"/images/{IMAGE_ID}/json"]
    with session(tmp_path, capsys, documents) as (here, _):
        code, _, err = here.run("import", "here", "llm", "--stack", str(here.path))
        assert (code, "its image is not on the host any more" in err) == (1, True)


def test_by_the_beginning_of_its_id_and_gone_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = answers()
    with session(tmp_path, capsys, documents) as (here, daemon):
        code, out, _ = here.run("import", "here", "aaaa", "--stack", str(here.path))
        assert (code, 'adopt = "llm"' in out) == (0, True)
        del daemon.answers[f"/containers/{ID}/json"]
        assert "just removed" in here.run("import", "here", "llm", "--stack", str(here.path))[2]


def test_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session(tmp_path, capsys, answers(of_host(AutoRemove=True), name="evil\x1b[2J")) as (here, daemon):
        code, out, _ = here.run("import", "here", "--stack", str(here.path))
        assert code == 0
        assert "\x1b" not in out
        assert "cannot be adopted as it is:\n  - it was started with --rm" in out
        daemon.answers |= answers()
        lines = here.run("import", "here", "--stack", str(here.path))[1].splitlines()
        assert lines[1].split() == ["llm", "vllm/vllm-openai:v0.32.0", "/models/llama", "running", "as", "llama"]
        assert lines[-1] == f"Next   cortexctl import here llm --stack {here.path}"


def test_json_for_a_stack_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session(tmp_path, capsys, answers()) as (here, daemon):
        here.path = tmp_path / "stack.json"
        data = {"stack": "demo", "hosts": {"here": {"docker": daemon.url, "models_dir": "/srv/models"}}}
        here.path.write_text(json.dumps(data))
        code, out, err = here.run("import", "here", "llm", "--stack", str(here.path))
        assert code == 0, err
        assert "cap_drop: now none, in a new container ALL" in err
        here.path.write_text(json.dumps({**data, "models": json.loads(out)}))
        assert here.plan() == [("adopt", [])]


def test_an_environment_of_the_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with session(tmp_path, capsys, answers()) as (here, _):
        here.path.write_text(here.path.read_text() + '\n[env.e.hosts.here]\nnetwork = "other_net"\n')
        block = here.imported("--env", "e")
        assert f"cortexctl plan {here.path} --env e" in block
        assert "in a new container other_net" in block


def test_a_host_without_containers_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with talking_daemon(tmp_path / "daemon.sock", {}) as daemon:
        path = stack(tmp_path, socket=daemon.url.removeprefix("unix://"))
        assert run(["import", "here", "--stack", path]) == 0
        assert capsys.readouterr().out == "here: no container runs vLLM outside a stack.\n"
        assert run(["import", "here", "llm", "--stack", path]) == 1
        assert "has no container llm" in capsys.readouterr().err
