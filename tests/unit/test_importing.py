"""The drafts of `import` for containers: tables, notes, and the reasons against an import."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from cortexctl.instance.spec import Mount, Publish, SecretRef
from cortexctl.render.import_block import imported_block, imported_json
from cortexctl.stack.importing.describe import runs_vllm
from tests.imports import MODELS_DIR, ByHand, block_of, command_line, read_back, spec_of
from tests.reading import DOCKER
from tests.specs import new_spec

SPEC = new_spec(
    image="vllm/vllm-openai:v0.32.0",
    version="0.32.0",
    model="/models/llama",
    served_names=("llama",),
    mounts=(Mount(MODELS_DIR, "/models"),),
    gpus=(0,),
    publish=Publish("127.0.0.1", 8001),
    network="bridge",
)
ALL_GPUS = {"DeviceRequests": [{"Count": -1, "DeviceIDs": None, "Capabilities": [["gpu"]]}]}


def changed(**changes: Any) -> ByHand:
    return ByHand(SPEC, changes=changes)


def served(*command: str, **host: Any) -> ByHand:
    return ByHand(SPEC, changes={**command_line(*command), "HostConfig": host})


def test_a_container_and_its_block() -> None:
    by_hand = ByHand(
        new_spec(
            image="vllm/vllm-openai:v0.32.0",
            version="0.32.0",
            model="/models/llama-3.3-70b",
            served_names=("llama-3.3-70b", "default"),
            args={"tensor_parallel_size": 2, "hf_overrides": {"a.b": [1, "x"]}, "enforce_eager": True},
            extra_args=("--foo", "{{ x }}"),
            env={"HF_HUB_OFFLINE": "1", "TEMPLATE": "{% if %}"},
            secrets=(SecretRef("HF_TOKEN", "env", "HF_TOKEN", ""),),
            gpus=(2, 3),
            mounts=(Mount("/data", "/data"), Mount(MODELS_DIR, "/models"), Mount("c", "/cache", read_only=False)),
            publish=Publish("0.0.0.0", 8001),
            network="bridge",
            shm_size=2**30 + 1,
            drain=45,
            restart="always",
            memory=3 * 2**30,
            cpus=1.5,
        ),
        secrets={"HF_TOKEN": "hf_planted"},
    )
    draft = by_hand.draft(is_only_host=False)
    assert draft.needed == ["HF_TOKEN"]
    assert tomllib.loads(block_of(draft))["models"] == {
        "llama-3.3-70b": {
            "hosts": ["here"],
            "image": "vllm/vllm-openai:v0.32.0",
            "source": {"path": "llama-3.3-70b"},
            "served_names": ["llama-3.3-70b", "default"],
            "adopt": "llm",
            "gpus": [2, 3],
            "publish": "0.0.0.0:8001",
            "shm_size": f"{2**30 + 1} B",
            "restart": "always",
            "memory": "3 GiB",
            "cpus": 1.5,
            "volumes": ["c:/cache", "/data:/data:ro"],
            "extra_args": ["--foo", "{{ '{{' }} x }}"],
            "args": {"enforce_eager": True, "hf_overrides": {"a.b": [1, "x"]}, "tensor_parallel_size": 2},
            "env": {"TEMPLATE": "{{ '{%' }} if %}"},
            "secrets": {"HF_TOKEN": {"env": "HF_TOKEN"}},
            "rollout": {"drain": "45s"},
        }
    }
    again = spec_of(draft)
    assert (again.server.extra_args, again.container.env["TEMPLATE"]) == (("--foo", "{{ x }}"), "{% if %}")
    assert "planted" not in block_of(draft) + repr(draft) + repr(by_hand.running)


@pytest.mark.parametrize(
    ("name", "served_as", "model"),
    [
        ("llm", "meta-llama/Llama-3.3-70B-Instruct", "llama-3.3-70b-instruct"),
        ("vllm-model-3", "tiny", "3"),
        ("vllm-model-chat.2", "tiny", "chat.2"),
        ("vllm-model-A--b", "tiny", "tiny"),
        ("llm", "/models/x/", "x"),
        ("llm", "---", "llm"),
        ("llm", "Ünïcode name", "n-code-name"),
        ("llm", "x" * 80, "x" * 63),
        ("llm", "a--b__c", "a-b__c"),
    ],
)
def test_the_models_name(name: str, served_as: str, model: str) -> None:
    by_hand = ByHand(SPEC, name, changes=command_line("/models/llama", "--served-model-name", served_as))
    draft = by_hand.draft()
    assert (draft.name, draft.reasons) == (model, [])
    assert read_back(draft)[0] is not None


def test_a_name_that_is_chosen_or_taken() -> None:
    assert ByHand(SPEC).draft(name="mine").name == "mine"
    assert "choose one with --model" in ByHand(SPEC).draft(name="No").reasons[0]
    assert "choose another name" in ByHand(SPEC).draft(taken=frozenset({"llama"})).reasons[0]


@pytest.mark.parametrize(
    ("host", "command", "gpus", "noted"),
    [
        ({"DeviceRequests": [{"DeviceIDs": ["3", "1"]}]}, [], [1, 3], False),
        ({"DeviceRequests": None}, [], "none", False),
        (ALL_GPUS, [], [0], True),
        (ALL_GPUS, ["-tp", "4"], [0, 1, 2, 3], True),
        ({"DeviceRequests": [{"Count": 2}]}, ["-tp", "2"], [0, 1], True),
        ({"DeviceRequests": None, "Runtime": "nvidia"}, [], "none", False),
    ],
)
def test_gpus(host: dict[str, Any], command: list[str], gpus: Any, *, noted: bool) -> None:
    draft = served("/models/llama", *command, **host).draft()
    assert (draft.table["gpus"], "gpus" in draft.notes, draft.reasons) == (gpus, noted, [])


@pytest.mark.parametrize("variable", ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"])
def test_gpus_that_the_environment_chooses(variable: str) -> None:
    changes = {**command_line("/models/llama", "-tp", "2"), "HostConfig": ALL_GPUS}
    changes["Config"]["Env"] = [f"{variable}=2,3"]
    assert ByHand(SPEC, changes=changes).draft().table["gpus"] == [2, 3]
    changes["HostConfig"] = {"DeviceRequests": None, "Runtime": "nvidia"}
    assert ByHand(SPEC, changes=changes).draft().table["gpus"] == ([2, 3] if variable[0] == "N" else "none")


def test_gpus_without_indices_must_be_given_as_an_option() -> None:
    by_hand = served("/models/llama", DeviceRequests=[{"DeviceIDs": ["GPU-8f1c"]}])
    assert "--gpus 0,1" in by_hand.draft().reasons[0]
    assert by_hand.draft(gpus=(1,)).table["gpus"] == [1]
    assert by_hand.draft(gpus=()).table["gpus"] == "none"


@pytest.mark.parametrize(
    ("model", "mounts", "source"),
    [
        ("org/name", (), {"repo": "org/name"}),
        ("gpt2", (), {"repo": "gpt2"}),
        ("/models/a/b", (Mount(MODELS_DIR, "/models"),), {"path": "a/b"}),
        ("/models/b", (Mount(f"{MODELS_DIR}/a", "/models"),), {"path": "a/b"}),
        ("/model", (Mount(f"{MODELS_DIR}/llama", "/model"),), {"path": "llama"}),
        ("/model/x", (Mount(f"{MODELS_DIR}/llama", "/model"), Mount(f"{MODELS_DIR}/y", "/model/x")), {"path": "y"}),
        ("/models/a.gguf", (Mount(MODELS_DIR, "/models"),), {"gguf": "a.gguf"}),
    ],
)
def test_sources(model: str, mounts: tuple[Mount, ...], source: dict[str, str]) -> None:
    spec = new_spec("i:v0.10.0", model, ("m",), "0.10.0", mounts=mounts, network="bridge")
    assert ByHand(spec).draft().table["source"] == source


@pytest.mark.parametrize(
    ("model", "mounts", "expected"),
    [
        ("/elsewhere", (), "not a mount of the host"),
        ("/models/a", (Mount("/data", "/models"),), 'set models_dir = "/data" in [hosts.here]'),
        ("/model", (Mount("/data/llama", "/model"),), 'set models_dir = "/data" in [hosts.here]'),
        ("s3://bucket/x", (), "neither a folder of the host nor a Hugging Face repository"),
        ("./here", (), "neither a folder of the host"),
    ],
)
def test_sources_that_a_stack_cannot_express(model: str, mounts: tuple[Mount, ...], expected: str) -> None:
    spec = new_spec("i:v0.32.0", model, ("m",), "0.32.0", mounts=mounts, network="bridge")
    (reason,) = ByHand(spec).draft().reasons
    assert expected in reason


def test_a_url_with_a_password_is_not_shown() -> None:
    spec = new_spec("i:v0.32.0", "s3://key:planted@bucket/x", ("m",), "0.32.0", network="bridge")
    (reason,) = ByHand(spec).draft().reasons
    assert "planted" not in reason


@pytest.mark.parametrize(
    ("command", "release", "task", "args"),
    [
        (["--task", "embed"], "v0.9.2", "embed", {}),
        (["--task", "embedding"], "v0.9.2", "embed", {"task": "embedding"}),
        (["--task", "score"], "v0.11.0", "score", {"task": "score"}),
        (["--task", "transcription"], "v0.9.2", "transcription", {"task": "transcription"}),
        (["--runner", "pooling"], "v0.32.0", "embed", {}),
        (["--runner", "pooling", "--convert", "classify"], "v0.32.0", "classify", {"convert": "classify"}),
        (["--runner", "generate"], "v0.32.0", None, {"runner": "generate"}),
    ],
)
def test_tasks(command: list[str], release: str, task: str | None, args: dict[str, str]) -> None:
    spec = new_spec(f"i:{release}", "org/m", ("org/m",), release[1:], network="bridge")
    draft = ByHand(spec, changes=command_line("--model", "org/m", *command)).draft()
    assert (draft.table.get("task"), draft.table.get("args", {})) == (task, args)
    assert dict(spec_of(draft).server.args) == {**args, **({"task": task} if release == "v0.9.2" and not args else {}),
                                         **({"runner": "pooling"} if "--runner" in command and task else {})}  # fmt: skip


@pytest.mark.parametrize(
    ("bindings", "publish"),
    [
        ({"8000/tcp": [{"HostIp": "", "HostPort": "8001"}]}, "0.0.0.0:8001"),
        ({"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]}, "127.0.0.1"),
        ({"8000/tcp": [{"HostIp": "::", "HostPort": "8001"}]}, "[::]:8001"),
        ({"8000/tcp": [{"HostIp": "10.0.0.1", "HostPort": "1"}], "9/udp": [{"HostPort": "2"}]}, "10.0.0.1:1"),
        ({"9000/tcp": [{"HostIp": "", "HostPort": "9000"}]}, None),
        ({"8000/tcp": None}, None),
        ({}, None),
    ],
)
def test_ports(bindings: dict[str, Any], publish: str | None) -> None:
    spec = new_spec("i:v0.32.0", "org/m", ("m",), "0.32.0", network="bridge")
    draft = ByHand(spec, changes={"HostConfig": {"PortBindings": bindings}}).draft()
    assert draft.table.get("publish") == publish


def test_a_server_on_another_port_and_one_on_the_hosts_network() -> None:
    ports = {"PortBindings": {"8000/tcp": [{"HostPort": "1"}], "9000/tcp": [{"HostPort": "2"}]}}
    assert served("/models/llama", "--port", "9000", **ports).draft().table["publish"] == "0.0.0.0:2"
    on_host = {
        **command_line("/models/llama", "--host", "127.0.0.1", "--port=9000"),
        "HostConfig": {"PortBindings": {}},
    }
    on_host["NetworkSettings"] = {"Networks": {"host": {}}}
    assert ByHand(SPEC, changes=on_host).draft().table["publish"] == "127.0.0.1:9000"


@pytest.mark.parametrize(
    ("env", "offline"),
    [
        ({"HF_HUB_OFFLINE": "1"}, None),
        ({}, False),
        ({"HF_HUB_OFFLINE": "0"}, False),
    ],
)
def test_offline_is_written_if_it_is_not_the_default(env: dict[str, str], offline: bool | None) -> None:
    config = {"Config": {"Env": [f"{k}={v}" for k, v in env.items()]}}
    assert ByHand(SPEC, changes=config).draft().table.get("offline") == offline
    repo = new_spec("i:v0.32.0", "org/m", ("m",), "0.32.0", network="bridge")
    assert ByHand(repo, changes=config).draft().table.get("offline") == (True if offline is None else None)


def env_of(**variables: str) -> ByHand:
    return changed(Config={"Env": [f"{k}={v}" for k, v in variables.items()]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "x"),
        ("HUGGING_FACE_HUB_TOKEN", "x"),
        ("OPENAI_API_KEY", "x"),
        ("DB_PASSWORD", "x"),
        ("MY_CREDENTIALS", "x"),
        ("PROXY", "http://user:planted@proxy:3128"),
        ("ANYTHING", "hf_abc"),
        ("ANYTHING", "sk-abc"),
        ("ANYTHING", "0123456789abcdef0123456789abcdef"),
        ("ANYTHING", "id=A1b2C3d4E5f6G7h8I9j0K1l2M3n4"),
    ],
)
def test_a_value_that_may_be_a_secret_becomes_one(name: str, value: str) -> None:
    draft = env_of(**{name: value}).draft()
    assert draft.table["secrets"] == {name: {"env": name}}
    assert "env" not in draft.table
    assert value == "x" or value not in block_of(draft)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VLLM_LOGGING_LEVEL", "DEBUG"),
        ("OMP_NUM_THREADS", "8"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True"),
        ("NCCL_P2P_DISABLE", "1"),
        ("NO_PROXY", "localhost,127.0.0.1,10.0.0.0/8"),
        ("NEWLINES", 'a\nb\t"c"\\\x7f\u202e'),
        ("EMPTY", ""),
        ("JINJA", "{{ vars.x }}\n"),
        ("RETURN", "{# \r\n"),
    ],
)
def test_a_value_that_is_not_a_secret_stays_visible(name: str, value: str) -> None:
    draft = env_of(**{name: value}).draft()
    assert spec_of(draft).container.env == {name: value}
    assert draft.needed == []
    assert "\u202e" not in block_of(draft)


def test_variables_that_a_stack_cannot_set_are_left_out() -> None:
    by_hand = env_of(CUDA_VISIBLE_DEVICES="0", HF_HUB_TOKEN="hf_x", PATH="/usr/local/bin:/usr/bin", HOSTNAME="x")
    draft = changed(Config={"Env": [*(f"{k}={v}" for k, v in by_hand.running.env.items()), "we-ird=1"]}).draft()
    assert "env" not in draft.table
    assert "secrets" not in draft.table


def test_an_image_that_is_only_an_id_is_called_by_a_tag_of_its_own() -> None:
    id_ = "sha256:" + "ab" * 32
    by_id = ByHand(SPEC, changes={"Config": {"Image": id_}}, tags=["vllm/vllm-openai:v0.31.0", "b:2"])
    assert by_id.draft().table["image"] == "vllm/vllm-openai:v0.31.0"
    (reason,) = ByHand(SPEC, changes={"Config": {"Image": id_}}).draft().reasons
    assert "docker tag abababababab" in reason


def test_the_release_is_required_if_the_tag_does_not_contain_it() -> None:
    by_hand = ByHand(SPEC, changes={"Config": {"Image": "vllm/vllm-openai"}})
    assert by_hand.draft(release="0.11.0").table["vllm_version"] == "0.11.0"
    untold = by_hand.draft()
    assert "vllm_version" not in untold.table
    assert "vllm_version" in untold.notes["image"]


def test_a_key_on_the_command_line_becomes_a_secret() -> None:
    draft = served("/models/llama", "--api-key", "planted", "--hf-token=planted").draft()
    assert draft.table["secrets"] == {"HF_TOKEN": {"env": "HF_TOKEN"}, "VLLM_API_KEY": {"env": "VLLM_API_KEY"}}
    assert draft.needed == ["HF_TOKEN", "VLLM_API_KEY"]
    assert "becomes the secret VLLM_API_KEY" in " ".join(draft.comments)
    assert "planted" not in block_of(draft) + repr(draft)


@pytest.mark.parametrize("argv", [("--api-key", ""), ("--api-key=",)])
def test_an_empty_key_on_the_command_line_becomes_no_secret(argv: tuple[str, ...]) -> None:
    draft = served("/models/llama", *argv).draft()
    assert "secrets" not in draft.table
    assert "becomes the secret" not in " ".join(draft.comments)


def test_arguments_that_may_hold_a_secret_or_cannot_be_written_are_left_out() -> None:
    draft = served(
        "/models/llama", "--kv-transfer-config", '{"password": "planted"}', "--hf-overrides", '{"a": null}',
        "--some-secret", "planted", "--url", "http://u:planted@h", "--foo", "bar", "--max-num-seqs", "many",
    ).draft()  # fmt: skip
    assert draft.table["extra_args"] == ["--foo", "bar"]
    assert "args" not in draft.table
    assert "planted" not in block_of(draft)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (command_line("python3", "x.py", entry=()), "cannot be read"),
        (command_line("-c", "sleep 1; vllm serve planted", entry=["sh"]), "cannot be read"),
        (command_line("--config", "/c.yaml"), "the model that it serves"),
        (command_line("org/m", "more"), "belongs to no option"),
        (command_line("vllm", "serve", "org/m"), "its command repeats `vllm serve`"),
        (command_line("org/m", "\u2014max-model-len", "8"), "so vLLM does not read it as --max-model-len"),
        (command_line("vllm", "serve", "org/m", entry=("tini", "--")), "starts vLLM through tini"),
        (command_line("vllm", "serve", "org/m", entry=("/usr/bin/env", "X=1")), "starts vLLM through /usr/bin/env"),
        (
            command_line("vllm", "serve", "org/m", entry=("/opt/nvidia/nvidia_entrypoint.sh",)),
            "starts vLLM through /opt/nvidia/nvidia_entrypoint.sh",
        ),
        ({"HostConfig": {"AutoRemove": True}}, "--rm"),
    ],
)
def test_reasons(changes: dict[str, Any], expected: str) -> None:
    reasons = ByHand(SPEC, changes=changes).draft().reasons
    assert any(expected in reason for reason in reasons), reasons
    assert "planted" not in " ".join(reasons)


def test_all_reasons_are_reported_at_once() -> None:
    changes = {
        **command_line("/elsewhere"),
        "HostConfig": {"AutoRemove": True, "DeviceRequests": [{"DeviceIDs": ["GPU-1"]}]},
    }
    changes["Config"]["Image"] = "sha256:" + "0" * 64
    assert len(ByHand(SPEC, changes=changes).draft(taken=frozenset({"elsewhere"})).reasons) == 5


def test_settings_that_no_stack_has_are_reported() -> None:
    host = {"Ulimits": [{"Name": "memlock", "Soft": -1}], "ExtraHosts": ["a:1.2.3.4"], "ReadonlyRootfs": True}
    config = {
        "User": "1000",
        "Labels": {"com.docker.compose.project": "cortex"},
        "Healthcheck": {"Test": ["CMD", "planted"]},
    }
    networks = {"Networks": {"cortex_default": {"Aliases": ["llm-alias"]}}}
    draft = changed(Config=config, HostConfig=host, NetworkSettings=networks).draft()
    comments = " ".join(draft.comments)
    for setting in (
        "ulimits",
        "extra hosts (a:1.2.3.4)",
        "a read-only root",
        "user (1000)",
        "health check",
        "llm-alias",
    ):
        assert setting in comments
    assert "Compose's project cortex created it" in comments
    assert "On cortex_default its name is llm; from the next apply on it is vllm-model-llama" in comments
    assert "planted" not in comments


def test_the_hosts_own_folders_take_the_place_of_mounts() -> None:
    mounts = (Mount("/other", "/root/.cache/huggingface", read_only=False), Mount(MODELS_DIR, "/models"))
    spec = new_spec("i:v0.32.0", "/models/m", ("m",), "0.32.0", mounts=mounts, network="bridge")
    assert ByHand(spec).draft().table["volumes"] == ["/other:/root/.cache/huggingface"]
    assert "volumes" not in ByHand(spec).draft(hf_cache="/hf").table
    odd = (Mount("/a:b", "/c"), Mount(MODELS_DIR, "/models"))
    spec = new_spec("i:v0.32.0", "/models/m", ("m",), "0.32.0", mounts=odd, network="bridge")
    assert "volumes" not in ByHand(spec).draft().table


def test_the_block_is_laid_out_as_fmt_lays_it_out() -> None:
    from cortexctl.stack.edit.layout import formatted

    draft = served("/models/llama", "--hf-overrides", '{"a": {"b": []}}', "--foo", "b").draft()
    ignored = {"cap_drop": "now none, in a new container ALL", "env.A[1]": "x"}
    text = imported_block(draft.name, {**draft.table, "ignore": list(ignored)}, draft.notes, ignored, draft.comments)
    assert formatted("x.toml", text) == text
    assert tomllib.loads(text)["models"]["llama"]["ignore"] == ["cap_drop", "env.A[1]"]


def test_hostile_names_hide_nothing() -> None:
    text = imported_block('a"\n[x]', {"image": "x\ny"}, {"image": "a\nb"}, {}, ["one\ntwo \u202e"])
    assert tomllib.loads(text) == {"models": {'a"\n[x]': {"image": "x\ny"}}}
    assert text.count("\n") == 4
    assert "\u202e" not in text


def test_the_json_form_is_the_same_model() -> None:
    from cortexctl.stack.load import load_stack

    draft = served("/models/llama", "--foo", "{{ x").draft()
    models = json.loads(imported_json(draft.name, draft.table))
    stack = {"stack": "demo", "hosts": {"here": {"models_dir": MODELS_DIR}}, "models": models}
    desired, _ = load_stack("s.json", default_docker=DOCKER, secret_value=None, text=json.dumps(stack))
    assert desired is not None
    assert desired.instances[0].spec == spec_of(draft)


@pytest.mark.parametrize(
    ("image", "command", "expected"),
    [
        ("vllm/vllm-openai:v0.32.0", ["x"], True),
        ("mine:1", ["vllm", "serve", "m"], True),
        ("postgres:16", ["postgres"], False),
    ],
)
def test_who_runs_vllm(image: str, command: list[str], *, expected: bool) -> None:
    changes = {"Config": {"Image": image, "Entrypoint": None, "Cmd": command}}
    assert runs_vllm(ByHand(SPEC, changes=changes).running) is expected
