"""The stack file's schema. Its JSON Schema is published as schemas/stack.schema.json, for editors.

Strict: no text is taken for a number, no key is passed over. `resolve` judges what needs more than one field.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from cortexctl.stack import value_forms
from cortexctl.stack.argument_schema import args_schema


class Table(BaseModel):
    """A table of the file: strict types, no unknown keys."""

    model_config = ConfigDict(
        strict=True, extra="forbid", use_attribute_docstrings=True, defer_build=True, allow_inf_nan=False
    )


Name = Annotated[str, AfterValidator(value_forms.name_form)]
ServedName = Annotated[str, AfterValidator(value_forms.served_name_form)]
Duration = Annotated[str, AfterValidator(value_forms.duration_form), Field(examples=["90s", "20m"])]
ShortDuration = Annotated[str, AfterValidator(value_forms.short_duration_form), Field(examples=["500ms", "2s"])]
Size = Annotated[str, AfterValidator(value_forms.size_form), Field(examples=["2 GiB"])]
Variable = Annotated[str, AfterValidator(value_forms.variable_form)]
Gpus = Annotated[
    list[int] | int,
    BeforeValidator(value_forms.gpus_form),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "none"},
                {"type": "integer", "minimum": 1, "maximum": value_forms.MOST_GPUS},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ]
        }
    ),
]


class HostGpusTable(Table):
    """The GPUs of a host; all alike."""

    count: Annotated[int, Field(ge=1, le=value_forms.MOST_GPUS)]
    name: str | None = None
    """As nvidia-smi shows it: "L40S"."""
    memory: Size | None = None
    """Of one GPU, as nvidia-smi shows it: "46068 MiB"."""
    compute_capability: Annotated[str, AfterValidator(value_forms.capability_form)] | None = None
    """Such as "8.9"."""


class HostTable(Table):
    """A Docker daemon and what is on its disk."""

    docker: Annotated[str, AfterValidator(value_forms.docker_form)] | None = None
    """How to reach the daemon: "unix:///var/run/docker.sock". Left out: $DOCKER_HOST, else that socket."""
    address: str = "127.0.0.1"
    """Where clients reach the ports that its containers publish. cortexctl itself asks the containers directly."""
    models_dir: str | None = None
    """Folder on the host with model folders; mounted read-only as /models. Relative to the stack file."""
    hf_cache: str | None = None
    """Folder on the host for the Hugging Face cache. Relative to the stack file."""
    network: Annotated[str, AfterValidator(value_forms.network_form)] = "cortex_default"
    """Docker network that the containers join; made when it is missing."""
    gpus: HostGpusTable | None = None
    """What the host has. Needed where a model's `gpus` is a number, to choose them."""


class SourceTable(Table):
    """Where the model comes from: exactly one of `repo`, `path`, `gguf`."""

    repo: Annotated[str, AfterValidator(value_forms.repo_form)] | None = None
    """A Hugging Face repository, ORG/NAME."""
    revision: str | None = None
    """Commit, tag or branch of `repo`; pin a commit."""
    path: str | None = None
    """Folder below the host's `models_dir`."""
    gguf: Annotated[str, AfterValidator(value_forms.gguf_form)] | None = None
    """One GGUF file below the host's `models_dir` (vLLM to 0.23)."""
    tokenizer: str | None = None
    """Hugging Face repository, or folder below /models, of the tokenizer."""
    hf_config_path: str | None = None
    """Folder with config.json, for a GGUF file."""


class SecretTable(Table):
    """Where a secret's value is read from when it is needed: exactly one of `env`, `file`, `var`, `command`."""

    env: Variable | None = None
    """An environment variable of whoever runs cortexctl."""
    file: str | None = None
    """A file, relative to the stack file; its last newline is not part of the value."""
    var: Variable | None = None
    """A variable of the stack that is declared `secret`."""
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """A program and its words, run in the stack's folder without a shell; what it prints is the value."""

    def places(self) -> tuple[tuple[Literal["env", "file", "var", "command"], str | None], ...]:
        """(source, key) of every place that a secret can be in; the key is None where it is not given."""
        words = shlex.join(self.command) if self.command else None
        return (("env", self.env), ("file", self.file), ("var", self.var), ("command", words))


class SmokeTable(Table):
    """The request that a candidate must answer: the one that its `task` is for."""

    enabled: bool = True
    prompt: str = "Say ok."
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = 4
    dimensions: Annotated[int, Field(ge=1)] | None = None
    """How many numbers the embedding must have (task "embed")."""


class GateTable(Table):
    """What an instance must pass before it serves."""

    startup_timeout: Duration = "20m"
    """Longest time that a start may show no progress in its log. One that gets on may take six times as long in all."""
    stable_for: Duration = "5s"
    """How long it must stay ready to have passed."""
    smoke: SmokeTable = SmokeTable()
    max_ttft: ShortDuration | None = None
    """Longest time to the first token of a short prompt: "500ms". The median of `requests` counts (task "generate")."""
    min_tokens_per_second: Annotated[float, Field(gt=0)] | None = None
    """How fast one request must be answered, its first token included. The median of `requests` counts."""
    requests: Annotated[int, Field(ge=1, le=100)] = 3
    """How many requests are measured for these bounds, one after the other."""


class RolloutTable(Table):
    """How a replacement is carried out."""

    strategy: Literal["stop_first", "start_first", "auto"] = "stop_first"
    """Which goes first: the old instance stops, or the new one starts; "auto": start first where both can run."""
    max_unavailable: Annotated[int, Field(ge=1)] = 1
    """How many of the model's instances, on all hosts together, may be down for a replacement at a time."""
    max_surge: Annotated[int, Field(ge=1)] = 1
    """How many of them may start beside their old ones at a time, where the new one starts first."""
    canary: Annotated[int, Field(ge=0)] = 0
    """So many instances go first; the others wait until those have passed their gates."""
    wait: Duration = "0s"
    """Pause between two batches of instances."""
    drain: Duration = "30s"
    """How long running requests may take to finish after SIGTERM."""
    on_failure: Literal["rollback", "halt"] = "rollback"
    keep: Annotated[int, Field(ge=0, le=20)] = 2
    """How many old generations are kept, stopped, for a rollback."""


class HookTable(Table):
    """A command that is run, or a URL that is told, at a set point of an apply: exactly one of `command` and `url`."""

    on: Literal["pre_apply", "pre_stop", "post_healthy", "post_apply", "on_failure"]
    """Once a run, under the lock: pre_apply, post_apply. Per instance: before it is stopped, after it passed its gate,
    after it failed."""
    command: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    """A program and its words, run in the stack's folder without a shell. It learns the facts from CORTEXCTL_*."""
    url: SecretTable | str | None = None
    """Gets a POST of the same facts as JSON. A URL that is a secret itself: { env = "NAME" }."""
    timeout: Duration = "30s"
    """Longest time it may take; then it, and all that it started, is killed, and it has failed."""
    required: bool | None = None
    """Whether its failure stops what it was called for. Left out: true where it can (pre_apply, pre_stop,
    post_healthy); a post_apply or on_failure hook never changes what happened."""
    secrets: list[Variable] = []
    """Names of the models' secrets that the command gets as environment variables. It gets no others."""


class StackHookTable(HookTable):
    """A hook of the stack."""

    models: Annotated[list[str], Field(min_length=1)] | None = None
    """Names or globs of the models that it is for; once a run: if one of them changes. Left out: all."""


class AuditTable(Table):
    """Where every apply is written down: who, when, what, and how it ended."""

    enabled: bool = True
    log: str | None = None
    """A file, relative to the stack file. Left out: beside the stack file, NAME.audit.jsonl."""


class ModelTable(Table):
    """A model and the container that serves it."""

    profile: str | None = None
    """A table of `profiles` that lies under this one: what is not set here is taken from it."""
    enabled: bool = True
    """False: as if the model were not in the stack; its containers are removed."""
    image: Annotated[str, AfterValidator(value_forms.image_form)]
    """Pin a release: "vllm/vllm-openai:v0.32.0"."""
    vllm_version: Annotated[str, AfterValidator(value_forms.release_form)] | None = None
    """The vLLM release in the image, where its tag does not tell."""
    source: SourceTable
    served_names: Annotated[list[ServedName], Field(min_length=1)] | None = None
    """Names by which clients ask for it. Left out: the model's name in this file."""
    task: Literal["generate", "embed", "classify", "score", "reward", "transcription"] = "generate"
    """What it is for, and what the gate asks of it."""
    hosts: Annotated[list[str], Field(min_length=1)] | None = None
    """Names or globs of hosts. Left out: the only host of the file."""
    gpus: Gpus
    """How many GPUs each replica gets (chosen for it, and kept), or their indices on the host, or "none"."""
    publish: Annotated[str, AfterValidator(value_forms.publish_form)] | None = None
    """Where the server's port appears on the host: "127.0.0.1" (any free port) or "127.0.0.1:8801"."""
    offline: bool | None = None
    """Forbid downloads (HF_HUB_OFFLINE=1). Left out: true for `path` and `gguf`, false for `repo`."""
    args: dict[str, Any] = {}
    """vLLM's own parameters, in snake_case, checked against the image's release. What is not set is left to vLLM."""
    extra_args: list[str] = []
    """Raw words for `vllm serve`, for what `args` does not know."""
    env: dict[Variable, str] = {}
    secrets: dict[Variable, SecretTable] = {}
    """Environment variables whose values must not be in a file like this one."""
    volumes: list[Annotated[str, AfterValidator(value_forms.volume_form)]] = []
    """SOURCE:TARGET[:ro]; SOURCE is a folder of the host or the name of a volume."""
    ipc: Literal["private", "host"] = "private"
    shm_size: Size = "2 GiB"
    restart: Literal["unless-stopped", "always", "no"] = "unless-stopped"
    """Restart policy once the gate is passed. Changed in place. (A dead engine exits with 0: no "on-failure".)"""
    memory: Size | None = None
    """Limit of the container's memory. Changed in place."""
    cpus: Annotated[float, Field(gt=0)] | None = None
    """Limit of the container's CPU time, in cores. Changed in place."""
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    """Containers per host. GPU indices are dealt out evenly, and a published port counts up from the first."""
    after: list[Name] = []
    """Models that must be done before this one is touched."""
    ignore: list[str] = []
    """Paths (globs) whose differences never make a change, as in "args.max_num_seqs" or "env.*"."""
    ignore_drift: list[str] = []
    """Paths (globs) whose differences `drift` does not report, as in "restart" or "state"."""
    adopt: str | None = None
    """The name of a running container that is no stack's yet: it is taken as it is, and renamed. See `import`."""
    protect: bool = False
    """Refuse to remove it, also after this block is deleted."""
    on_remove: Literal["stop", "forget"] = "stop"
    """What happens when this block is deleted: the container goes, or it is left running and no longer looked after."""
    gate: GateTable = GateTable()
    rollout: RolloutTable = RolloutTable()
    hooks: dict[Name, HookTable] = {}
    """Hooks for this model's instances. They run after the stack's own, each in the order of their names."""


class VarTable(Table):
    """A variable: `{{ vars.NAME }}` in the file's strings."""

    type: Literal["string", "int", "float", "bool", "list"] | None = None
    """Left out: that of the default, else text."""
    default: Any = None
    """Left out: a value must be given (--var NAME=VALUE, --var-file, or $CORTEXCTL_VAR_NAME)."""
    secret: bool = False
    """Its value is used by secrets = { var = "NAME" } only, and never shown."""
    description: str = ""


class MovedTable(Table):
    """A model that got another name: its containers are renamed, not replaced."""

    from_: Annotated[Name, Field(alias="from")]
    to: Name


class StackRolloutTable(Table):
    """How an apply of the whole stack goes."""

    max_failures: Annotated[int, Field(ge=1)] = 1
    """So many changes may fail; then nothing new is begun. What has begun comes to its end."""


class DriftTable(Table):
    """What `cortexctl drift` passes over."""

    ignore: list[Annotated[str, AfterValidator(value_forms.drift_pattern_form)]] = []
    """Globs over HOST/MODEL and HOST/CONTAINER, alone or for one kind: "gpu-1/prometheus*", "unmanaged:*"."""


class StackFile(Table):
    """A cortexctl stack: which models run on which Docker hosts."""

    schema_: Annotated[str | None, Field(alias="$schema")] = None
    """For editors of the JSON form."""
    stack: Name
    """The stack's name. It is in the labels of every container: renaming it orphans them."""
    required_version: Annotated[str, AfterValidator(value_forms.version_range_form)] | None = None
    """Versions of cortexctl that may be used, as in ">=0.1,<1"."""
    not_secret: list[Annotated[str, Field(min_length=1)]] = []
    """Values that look like secrets and are none, by their paths: "models.chat.env.SORT_KEY", "hooks.check.command"."""
    vars: dict[Variable, VarTable] = {}
    moved: list[MovedTable] = []
    """Models that were renamed. An entry must stay until the model's next replacement: labels cannot change."""
    profiles: Annotated[dict[Name, dict[str, Any]], Field(exclude=True)] = {}
    """Parts of a model's table that models build on with `profile`."""
    env: Annotated[dict[Name, dict[str, Any]], Field(exclude=True)] = {}
    """One overlay per environment, chosen with --env: tables merge, everything else is replaced."""
    drift: DriftTable = DriftTable()
    rollout: StackRolloutTable = StackRolloutTable()
    hooks: dict[Name, StackHookTable] = {}
    """What is run or told at set points of an apply, in the order of their names."""
    audit: AuditTable = AuditTable()
    hosts: Annotated[dict[Name, HostTable], Field(min_length=1)]
    models: Annotated[dict[Name, ModelTable], Field(min_length=1)]


def _or_variable(schema: Any) -> Any:
    """Every value that is no text may also be one variable, which takes its value with its type."""
    if isinstance(schema, list):
        return [_or_variable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _or_variable(value) for key, value in schema.items()}
    kind = inner.get("type")
    if not isinstance(kind, str) or kind not in {"integer", "number", "boolean", "array"}:
        return inner
    described = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
    return {**described, "anyOf": [inner, {"type": "string", "pattern": r"^\s*\{\{\s*vars\.\w+\s*\}\}\s*$"}]}


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(version: str | None = None) -> dict[str, Any]:
    """JSON Schema of the stack file. Its `args` are those of a vLLM release, or all that any release knows."""
    schema = StackFile.model_json_schema(by_alias=True)
    table = schema["$defs"]["ModelTable"]["properties"]["args"]
    schema["$defs"]["Args"] = args_schema(version)
    schema["$defs"]["ModelTable"]["properties"]["args"] = {
        "description": table["description"],
        "default": {},
        "$ref": "#/$defs/Args",
    }
    return {"$schema": DIALECT, **_or_variable(schema)}


def args_json_schema(version: str | None = None) -> dict[str, Any]:
    """JSON Schema of `args` alone, which that of the stack refers to as #/$defs/Args."""
    return {"$schema": DIALECT, **_or_variable(args_schema(version))}
