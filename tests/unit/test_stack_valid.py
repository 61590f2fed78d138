from __future__ import annotations

import dataclasses
import functools
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cortexctl import __version__
from cortexctl.desired.stack import Desired, GatePolicy, Host, Instance, Policy, Smoke
from cortexctl.instance.fingerprint import fingerprint
from cortexctl.instance.spec import Mount, Publish, SecretRef
from cortexctl.plan.guards import check_desired
from cortexctl.stack.json_schema import args_json_schema, json_schema
from cortexctl.stack.load import load_stack
from cortexctl.stack.starter import TEMPLATES, starter
from tests.reading import DOCKER, desired_from, model_text, read, stack_text
from tests.specs import new_spec

REPO = Path(__file__).parent.parent.parent
CACHE = "/root/.cache/huggingface"
SECRETS = {"HF_TOKEN": "hf-value", "CORTEX_API_KEY": "sk-value", "VLLM_API_KEY": "sk-other"}

FULL = """\
stack = "inference"

[hosts.gpu-1]
docker = "unix:///run/docker.sock"
address = "10.0.0.11"
models_dir = "/var/cortex/models/"
hf_cache = "/var/cortex/hf"

[hosts.gpu-2]
models_dir = "models"
network = "other_net"

[models.llama-70b]
image = "registry.example:5000/vllm/vllm-openai:v0.32.0"
source = { repo = "meta-llama/Llama-3.3-70B-Instruct", revision = "6f6073b", tokenizer = "meta-llama/Llama-3.3-70B" }
served_names = ["llama-3.3-70b", "llama"]
hosts = ["gpu-1"]
gpus = [0, 1]
publish = "127.0.0.1:8001"
protect = true
ipc = "host"
shm_size = "8 GiB"
extra_args = ["--uvicorn-log-level", "warning"]
volumes = ["./certs:/certs:ro", "vllm-cache:/root/.cache/vllm", "/srv/lora:/lora:rw"]

[models.llama-70b.args]
tensor_parallel_size = 2
max_model_len = 8192
gpu_memory_utilization = 0.92
enforce_eager = false
cudagraph_capture_sizes = [1, 2, 4]
hf_overrides = { rope = { theta = 1e6 }, list = [1, true, "x"] }

[models.llama-70b.env]
VLLM_LOGGING_LEVEL = "DEBUG"

[models.llama-70b.secrets]
VLLM_API_KEY = { env = "CORTEX_API_KEY" }
HF_TOKEN = { env = "HF_TOKEN" }

[models.llama-70b.gate]
startup_timeout = "30m"
stable_for = "1m30s"
smoke = { prompt = "Hello", max_tokens = 8 }

[models.llama-70b.rollout]
drain = "1m"
on_failure = "halt"
keep = 3

[models.embedder]
image = "vllm/vllm-openai:v0.32.0"
source = { path = "bge/m3/" }
task = "embed"
hosts = ["gpu-*"]
gpus = [2]

[models.embedder.gate]
smoke = { enabled = false }
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "stack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _as_json(folder: Path, text: str) -> Path:
    path = folder / "stack.json"
    path.write_text(json.dumps({"$schema": "x.json", **tomllib.loads(text)}), encoding="utf-8")
    return path


def _only(folder: Path, text: str) -> Instance:
    (instance,) = desired_from(_write(folder, text), SECRETS).instances
    return instance


def _bare(desired: Desired) -> Desired:
    """Without the fields that name the file."""
    return dataclasses.replace(desired, path="", digest="")


def _model(name: str = "tiny", **lines: str) -> str:
    return stack_text(model_text(name, **lines))


# a full stack

PLACELESS = """
[models.embedder.env]
TOKENIZERS_PARALLELISM = "false"

[models.old]
image = "vllm/vllm-openai:v0.22.0"
source = { gguf = "old.gguf", tokenizer = "org/old", hf_config_path = "org/old" }
hosts = ["gpu-1"]
gpus = [7]
after = ["embedder"]

[hooks.before]
on = "pre_apply"
command = ["true"]
secrets = ["HF_TOKEN"]

[hooks.chat]
on = "post_apply"
url = "https://example.com/hook"
"""


def test_a_stack_without_problems_needs_no_places_in_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[str] = []

    def no_places(path: str, _: str) -> list[Any]:
        requested.append(path)
        return []

    monkeypatch.setattr("cortexctl.stack.document.places_in", no_places)
    text = FULL.replace("enforce_eager = false\n", "")
    _, diagnostics = read(_write(tmp_path, text + PLACELESS), SECRETS)
    assert diagnostics == []
    assert requested == []
    read(_write(tmp_path, text.replace('ipc = "host"', 'ipc = "hosts"')), SECRETS)
    assert requested != []


def test_a_full_stack_resolves_to_exactly_these_values(tmp_path: Path) -> None:
    desired = desired_from(_write(tmp_path, FULL), SECRETS)
    llama = Instance(
        host="gpu-1",
        model="llama-70b",
        spec=new_spec(
            image="registry.example:5000/vllm/vllm-openai:v0.32.0",
            version="0.32.0",
            model="meta-llama/Llama-3.3-70B-Instruct",
            served_names=("llama-3.3-70b", "llama"),
            args={
                "tensor_parallel_size": 2,
                "max_model_len": 8192,
                "gpu_memory_utilization": 0.92,
                "enforce_eager": False,
                "cudagraph_capture_sizes": [1, 2, 4],
                "hf_overrides": {"rope": {"theta": 1e6}, "list": [1, True, "x"]},
                "revision": "6f6073b",
                "tokenizer": "meta-llama/Llama-3.3-70B",
            },
            extra_args=("--uvicorn-log-level", "warning"),
            env={"VLLM_LOGGING_LEVEL": "DEBUG"},
            secrets=(
                SecretRef("HF_TOKEN", "env", "HF_TOKEN", fingerprint("inference", "HF_TOKEN", "hf-value")),
                SecretRef(
                    "VLLM_API_KEY", "env", "CORTEX_API_KEY", fingerprint("inference", "VLLM_API_KEY", "sk-value")
                ),
            ),
            gpus=(0, 1),
            mounts=(
                Mount(str(tmp_path / "certs"), "/certs"),
                Mount("/srv/lora", "/lora", read_only=False),
                Mount("/var/cortex/models", "/models"),
                Mount("/var/cortex/hf", CACHE, read_only=False),
                Mount("vllm-cache", "/root/.cache/vllm", read_only=False),
            ),
            publish=Publish("127.0.0.1", 8001),
            network="cortex_default",
            ipc="host",
            shm_size=8 * 1024**3,
            drain=60,
        ),
        ordinal=1,
        policy=Policy(
            task="generate",
            gate=GatePolicy(startup_timeout=1800, stable_for=90, smoke=Smoke("Hello", 8)),
            on_failure="halt",
            keep=3,
            protect=True,
        ),
    )

    def embedder(host: str, network: str, mounts: tuple[Mount, ...]) -> Instance:
        return Instance(
            host=host,
            model="embedder",
            spec=new_spec(
                image="vllm/vllm-openai:v0.32.0",
                version="0.32.0",
                model="/models/bge/m3",
                served_names=("embedder",),
                args={"runner": "pooling"},
                env={"HF_HUB_OFFLINE": "1"},
                gpus=(2,),
                mounts=mounts,
                network=network,
                shm_size=2 * 1024**3,
                drain=30,
            ),
            policy=Policy(
                task="embed",
                gate=GatePolicy(startup_timeout=1200, stable_for=5, smoke=None),
                on_failure="rollback",
                keep=2,
                protect=False,
            ),
            named_by_default=True,
        )

    on_1 = (Mount("/var/cortex/models", "/models"), Mount("/var/cortex/hf", CACHE, read_only=False))
    on_2 = (Mount(str(tmp_path / "models"), "/models"),)
    assert _bare(desired) == Desired(
        stack="inference",
        path="",
        audit_log="stack.audit.jsonl",
        hosts=(Host("gpu-1", "unix:///run/docker.sock", "10.0.0.11"), Host("gpu-2", DOCKER, "127.0.0.1")),
        instances=(embedder("gpu-1", "cortex_default", on_1), embedder("gpu-2", "other_net", on_2), llama),
        folders={
            "gpu-1": {"models_dir": "/var/cortex/models", "hf_cache": "/var/cortex/hf"},
            "gpu-2": {"models_dir": str(tmp_path / "models")},
        },
    )
    assert check_desired(desired) == []


def test_toml_and_the_same_in_json_give_equal_values(tmp_path: Path) -> None:
    toml = desired_from(_write(tmp_path, FULL), SECRETS)
    in_json = desired_from(_as_json(tmp_path, FULL), SECRETS)
    assert _bare(in_json) == _bare(toml)
    assert in_json.digest != toml.digest


def test_the_order_of_tables_does_not_matter(tmp_path: Path) -> None:
    data = tomllib.loads(FULL)
    turned = {k: dict(reversed(v.items())) if isinstance(v, dict) else v for k, v in reversed(data.items())}
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(turned), encoding="utf-8")
    assert _bare(desired_from(path, SECRETS)) == _bare(desired_from(_write(tmp_path, FULL), SECRETS))


def test_different_texts_have_different_digests(tmp_path: Path) -> None:
    one = desired_from(_write(tmp_path, FULL), SECRETS).digest
    same = desired_from(_write(tmp_path, FULL), SECRETS).digest
    other = desired_from(_write(tmp_path, FULL + "\n# a comment\n"), SECRETS).digest
    assert one == same != other


def test_a_valid_stack_has_no_diagnostics(tmp_path: Path) -> None:
    assert read(_write(tmp_path, FULL), SECRETS)[1] == []


def test_without_secrets_the_fingerprints_stay_empty(tmp_path: Path) -> None:
    desired, diagnostics = load_stack(str(_write(tmp_path, FULL)), default_docker=DOCKER, secret_value=None)
    assert diagnostics == []
    assert desired is not None
    assert [s.fingerprint for i in desired.instances for s in i.spec.container.secrets] == ["", ""]


def test_a_secret_of_two_models_is_read_once(tmp_path: Path) -> None:
    """A fingerprint is slow on purpose."""
    reads: list[tuple[str, str]] = []

    def value(source: str, key: str) -> str:
        reads.append((source, key))
        return "hf-value"

    secrets = '{ HF_TOKEN = { env = "HF_TOKEN" } }'
    text = stack_text(model_text("a", secrets=secrets) + model_text("b", secrets=secrets))
    desired, _ = load_stack(str(_write(tmp_path, text)), default_docker=DOCKER, secret_value=value)
    assert desired is not None
    assert reads == [("env", "HF_TOKEN")]
    assert len({i.spec.container.secrets for i in desired.instances}) == 1


def test_every_instance_knows_its_lines(tmp_path: Path) -> None:
    desired = desired_from(_write(tmp_path, FULL), SECRETS)
    (llama,) = (i for i in desired.instances if i.model == "llama-70b")
    lines = FULL.split("\n")
    for key, text in [
        ("", "[models.llama-70b]"),
        ("image", "image = "),
        ("publish", "publish = "),
        ("args.max_model_len", "max_model_len"),
    ]:
        place = llama.place_of(key)
        assert place is not None
        assert lines[place.line - 1].startswith(text), key
    nowhere = llama.place_of("args.seed")
    assert nowhere is not None
    assert nowhere == llama.place_of("")


def test_a_stack_that_needs_another_version_is_refused(tmp_path: Path) -> None:
    desired, diagnostics = read(_write(tmp_path, 'required_version = ">=99"\n' + FULL), SECRETS)
    assert desired is None
    assert [d.rule for d in diagnostics] == ["CX110"]
    assert ">=99" in diagnostics[0].summary
    assert __version__ in diagnostics[0].summary
    assert read(_write(tmp_path, f'required_version = ">={__version__}"\n' + FULL), SECRETS)[1] == []


# defaults


@pytest.mark.parametrize(
    ("lines", "offline"),
    [
        ({"source": '{ path = "tiny" }'}, True),
        ({"source": '{ repo = "org/tiny" }'}, False),
        ({"source": '{ gguf = "t.gguf", tokenizer = "org/t" }', "image": '"image:v0.23.0"'}, True),
        ({"source": '{ path = "tiny" }', "offline": "false"}, False),
        ({"source": '{ repo = "org/tiny" }', "offline": "true"}, True),
    ],
)
def test_a_model_on_the_hosts_disk_is_offline_by_default(tmp_path: Path, lines: dict[str, str], offline: bool) -> None:
    instance = _only(tmp_path, _model(**lines))
    assert instance.spec.container.env == ({"HF_HUB_OFFLINE": "1"} if offline else {})


@pytest.mark.parametrize("task", ["embed", "classify", "score", "reward"])
@pytest.mark.parametrize(
    ("image", "args"),
    [
        ("image:v0.10.0", {"task": "TASK"}),
        ("image:v0.6.5", {"task": "TASK"}),
        ("image:v0.10.1", {"runner": "pooling"}),
        ("image:v0.32.0", {"runner": "pooling"}),
    ],
)
def test_a_pooling_task_is_set_with_the_options_of_the_release(
    tmp_path: Path, task: str, image: str, args: dict[str, str]
) -> None:
    instance = _only(tmp_path, _model(image=f'"{image}"', task=f'"{task}"'))
    assert instance.spec.server.args == {k: v.replace("TASK", task) for k, v in args.items()}
    assert instance.policy.task == task


def test_a_generating_model_gets_no_runner(tmp_path: Path) -> None:
    assert _only(tmp_path, _model(task='"generate"')).spec.server.args == {}


@pytest.mark.parametrize("table", ['{ runner = "draft" }', '{ runner = "auto", convert = "embed" }'])
def test_a_runner_in_the_stack_stays_unchanged(tmp_path: Path, table: str) -> None:
    args = _only(tmp_path, _model(task='"embed"', args=table)).spec.server.args
    assert dict(args) == tomllib.loads(f"a = {table}")["a"]


def test_an_unset_value_is_not_among_the_arguments(tmp_path: Path) -> None:
    """We never pin vLLM's defaults for the user."""
    assert _only(tmp_path, _model(args="{ enforce_eager = false, seed = 0 }")).spec.server.args == {
        "enforce_eager": False,
        "seed": 0,
    }


def test_a_number_without_a_point_is_good_for_an_argument_with_one(tmp_path: Path) -> None:
    value = _only(tmp_path, _model(args="{ gpu_memory_utilization = 1 }")).spec.server.args["gpu_memory_utilization"]
    assert isinstance(value, float)
    assert value == 1.0


@pytest.mark.parametrize(("text", "expected"), [("8192", 8192), ('"auto"', "auto")])
def test_the_model_length_is_a_number_or_auto(tmp_path: Path, text: str, expected: Any) -> None:
    assert _only(tmp_path, _model(args=f"{{ max_model_len = {text} }}")).spec.server.args["max_model_len"] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", Publish("127.0.0.1")),
        ("127.0.0.1:8801", Publish("127.0.0.1", 8801)),
        ("0.0.0.0:1", Publish("0.0.0.0", 1)),
        ("10.0.0.1:65535", Publish("10.0.0.1", 65535)),
        ("[::1]:8801", Publish("::1", 8801)),
        ("[::1]", Publish("::1")),
    ],
)
def test_publish_is_an_address_with_or_without_a_port(tmp_path: Path, text: str, expected: Publish) -> None:
    assert _only(tmp_path, _model(publish=f'"{text}"')).spec.container.publish == expected


def test_nothing_is_published_by_default(tmp_path: Path) -> None:
    text = stack_text('[models.tiny]\nimage = "image:v0.32.0"\nsource = { path = "tiny" }\ngpus = "none"\n')
    spec = _only(tmp_path, text).spec
    assert spec.container.publish is None
    assert spec.container.gpus == ()
    assert spec.server.served_names == ("tiny",)
    assert spec.container.ipc == "private"


def test_a_model_without_hosts_runs_on_the_only_one(tmp_path: Path) -> None:
    assert _only(tmp_path, _model()).host == "here"


@pytest.mark.parametrize(
    ("hosts", "chosen"),
    [
        ('["gpu-*"]', ["gpu-1", "gpu-2"]),
        ('["*"]', ["cpu-1", "gpu-1", "gpu-2"]),
        ('["gpu-2", "gpu-1"]', ["gpu-1", "gpu-2"]),
        ('["gpu-1", "gpu-*", "gpu-1"]', ["gpu-1", "gpu-2"]),
        ('["?pu-1"]', ["cpu-1", "gpu-1"]),
        ('["[gx]pu-1"]', ["gpu-1"]),
    ],
)
def test_hosts_are_names_or_globs_and_each_is_taken_once(tmp_path: Path, hosts: str, chosen: list[str]) -> None:
    tables = "".join(f'[hosts.{h}]\nmodels_dir = "/models"\n' for h in ("gpu-2", "gpu-1", "cpu-1"))
    text = stack_text(model_text(hosts=hosts), hosts=tables)
    desired = desired_from(_write(tmp_path, text))
    assert [i.host for i in desired.instances] == chosen
    assert [h.name for h in desired.hosts] == ["cpu-1", "gpu-1", "gpu-2"]


def test_relative_paths_are_meant_from_the_stacks_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deploy" / "prod"
    folder.mkdir(parents=True)
    text = stack_text(
        model_text(volumes='["../data:/data", "./x/../y:/y:ro"]'),
        hosts='[hosts.here]\nmodels_dir = "../../models"\nhf_cache = "hf"\n',
    )
    assert _only(folder, text).spec.container.mounts == (
        Mount(str(tmp_path / "deploy" / "data"), "/data", read_only=False),
        Mount(str(tmp_path / "models"), "/models"),
        Mount(str(folder / "hf"), CACHE, read_only=False),
        Mount(str(folder / "y"), "/y"),
    )


def test_the_folder_from_which_cortexctl_runs_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = stack_text(model_text(), hosts='[hosts.here]\nmodels_dir = "models"\n')
    path = _write(tmp_path, text)
    from_afar = desired_from(path)
    monkeypatch.chdir(tmp_path)
    assert desired_from(Path("stack.toml")).instances == from_afar.instances


def test_the_release_in_the_stack_overrides_the_tag(tmp_path: Path) -> None:
    assert _only(tmp_path, _model(image='"image:v0.32.0"', vllm_version='"v0.30.0"')).spec.server.version == "0.30.0"
    assert _only(tmp_path, _model(image='"mine:build-7"', vllm_version='"0.31.0"')).spec.server.version == "0.31.0"


def test_a_gguf_file_is_named_below_models_with_its_config_and_tokenizer(tmp_path: Path) -> None:
    source = '{ gguf = "a/./t.gguf", tokenizer = "org/t", hf_config_path = "/models/t-config" }'
    spec = _only(tmp_path, _model(source=source, image='"image:v0.23.0"')).spec
    assert spec.server.model == "/models/a/t.gguf"
    assert spec.server.args == {"tokenizer": "org/t", "hf_config_path": "/models/t-config"}


# stacks that are shipped


def test_there_are_shipped_stacks() -> None:
    assert sorted((REPO / "stacks").glob("*.toml"))
    assert TEMPLATES


@pytest.mark.parametrize("path", sorted((REPO / "stacks").glob("*.toml")), ids=lambda p: p.name)
def test_a_shipped_stack_loads_without_diagnostics(path: Path) -> None:
    desired, diagnostics = load_stack(str(path), default_docker=DOCKER, secret_value=None)
    assert diagnostics == []
    assert desired is not None
    assert desired.instances
    assert check_desired(desired) == []


@pytest.mark.parametrize("path", sorted((REPO / "stacks").glob("*.toml")), ids=lambda p: p.name)
def test_a_shipped_stack_names_its_schema_in_the_first_line(path: Path) -> None:
    assert path.read_text(encoding="utf-8").split("\n")[0] == "#:schema ../schemas/stack.schema.json"


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_a_starter_stack_loads_without_diagnostics(tmp_path: Path, template: str) -> None:
    desired, diagnostics = read(_write(tmp_path, starter(template, "My Models 2")), SECRETS)
    assert diagnostics == []
    assert desired is not None
    assert desired.stack == "my-models-2"
    assert desired.instances


@pytest.mark.parametrize("folder", ["prod", "", "---", "Ünïcode", "a" * 50, "9 lives"])
def test_a_starter_stack_is_valid_whatever_its_folder_is_called(tmp_path: Path, folder: str) -> None:
    assert read(_write(tmp_path, starter("cpu", folder)), SECRETS)[1] == []


def test_an_unknown_template_is_refused() -> None:
    with pytest.raises(KeyError):
        starter("tpu", "x")


# the published schema


def _valid() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every stack of the tests and of the repository that loads and has no variables."""
    yield "full", tomllib.loads(FULL)
    for path in sorted((REPO / "stacks").glob("*.toml")):
        yield path.name, tomllib.loads(path.read_text(encoding="utf-8"))
    for template in sorted(TEMPLATES):
        yield template, tomllib.loads(starter(template, "demo"))
    for path in sorted((REPO / "tests" / "cases" / "plan").glob("*/*.toml")):
        text = path.read_text(encoding="utf-8")
        if "{{ vars." not in text:
            yield f"{path.parent.name}/{path.name}", tomllib.loads(text)


VALID = dict(_valid())


@functools.cache
def _checker() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", sorted(VALID))
def test_the_schema_takes_every_stack_that_loads(name: str) -> None:
    assert [e.message for e in _checker().iter_errors(VALID[name])] == []


def test_the_published_schema_is_the_current_one() -> None:
    published = REPO / "schemas" / "stack.schema.json"
    if not published.exists():
        pytest.skip("the schema is not published yet")
    assert json.loads(published.read_text(encoding="utf-8")) == json_schema()


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("hosts", "gpu-1"),
        ("models", "llama-70b"),
        ("models", "llama-70b", "source"),
        ("models", "llama-70b", "args"),
        ("models", "llama-70b", "secrets", "HF_TOKEN"),
        ("models", "llama-70b", "gate"),
        ("models", "llama-70b", "gate", "smoke"),
        ("models", "llama-70b", "rollout"),
    ],
    ids=lambda p: ".".join(p) or "top",
)
def test_the_schema_refuses_an_unknown_key_as_the_loader_does(tmp_path: Path, place: tuple[str, ...]) -> None:
    data = tomllib.loads(FULL)
    table = data
    for step in place:
        table = table[step]
    table["quux"] = 1
    assert not _checker().is_valid(data)
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    desired, diagnostics = read(path, SECRETS)
    assert desired is None
    assert [d.rule for d in diagnostics] == ["CX102"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("stack",), 7),
        (("hosts",), {}),
        (("models",), {}),
        (("models", "embedder", "gpus"), "all"),
        (("models", "embedder", "gpus"), []),
        (("models", "embedder", "gpus"), [-1]),
        (("models", "embedder", "task"), "chat"),
        (("models", "embedder", "served_names"), []),
        (("models", "llama-70b", "args", "dtype"), "int8"),
        (("models", "llama-70b", "args", "tensor_parallel_size"), "2"),
        (("models", "llama-70b", "rollout", "on_failure"), "retry"),
    ],
)
def test_the_schema_refuses_the_stacks_that_the_loader_refuses(
    tmp_path: Path, place: tuple[str, ...], value: Any
) -> None:
    data = tomllib.loads(FULL)
    table = data
    for step in place[:-1]:
        table = table[step]
    table[place[-1]] = value
    assert not _checker().is_valid(data)
    path = tmp_path / "stack.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read(path, SECRETS)[0] is None


@pytest.mark.parametrize(
    ("version", "there", "gone"),
    [
        ("0.9.2", "cuda_graph_sizes", "cudagraph_capture_sizes"),
        ("0.33.0", "cudagraph_capture_sizes", "cuda_graph_sizes"),
    ],
)
def test_the_schema_of_a_releases_args_has_the_options_of_that_release(version: str, there: str, gone: str) -> None:
    schema = args_json_schema(version)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert there in schema["properties"]
    assert gone not in schema["properties"]
    checker = jsonschema.Draft202012Validator(schema)
    checker.validate({there: [1, 2]})
    assert not checker.is_valid({"max_num_seqs": "many"})


def test_hosts_with_equal_settings_share_one_spec_of_a_model(tmp_path: Path) -> None:
    """A fleet's hosts are mostly alike: its models are not worked out again for each."""
    same = "".join(f'[hosts.same-{n}]\nmodels_dir = "/models"\n' for n in range(3))
    hosts = f'{same}[hosts.net]\nmodels_dir = "/models"\nnetwork = "other"\n[hosts.dir]\nmodels_dir = "/srv/models"\n'
    every = {"hosts": '["*"]', "replicas": "2", "publish": '"127.0.0.1:9000"'}
    stack = tmp_path / "stack.toml"
    stack.write_text(stack_text(model_text("chat", **every), hosts=hosts))
    instances = desired_from(stack).instances
    specs = {(i.host, i.ordinal): i.spec for i in instances}
    assert len({id(spec) for spec in specs.values()}) == 6
    assert all(specs["same-0", ordinal] is specs[f"same-{n}", ordinal] for n in (1, 2) for ordinal in (1, 2))
    assert specs["net", 1].container.network == "other"
    assert specs["dir", 1].container.mounts == (Mount("/srv/models", "/models"),)
    assert [specs["dir", ordinal].container.publish for ordinal in (1, 2)] == [
        Publish("127.0.0.1", 9000),
        Publish("127.0.0.1", 9001),
    ]


def test_only_models_that_wait_in_a_circle_are_reported(tmp_path: Path) -> None:
    """One model waits for the circle, one is waited for by it, and one for a model that does not exist."""
    after = {"a": '["b", "first"]', "b": '["c"]', "c": '["a"]', "later": '["a"]', "self": '["self"]', "lost": '["x"]'}
    models = "".join(model_text(name, after=after.get(name, "[]")) for name in (*after, "first"))
    stack = tmp_path / "stack.toml"
    stack.write_text(stack_text(models))
    _, diagnostics = read(stack)
    assert [d.summary for d in diagnostics if d.rule == "CX215"] == [
        '"a" and "b" wait for each other',
        '"b" and "c" wait for each other',
        '"self" and "self" wait for each other',
        '"lost" must start after "x", but there is no such model',
    ]
