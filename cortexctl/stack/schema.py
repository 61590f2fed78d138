"""The stack file's schema. Its JSON Schema is published as schemas/stack.schema.json, for editors.

Strict: a text is never a number, and an unknown key is an error. `resolve` checks what needs more than one field.
The annotations are objects, not texts (no `from __future__ import annotations`), because `tables` reads them.
"""

import shlex
from typing import Annotated, Any, Literal

from cortexctl.desired.stack import PARALLEL_STARTS
from cortexctl.instance.spec import SecretRef
from cortexctl.stack import value_forms
from cortexctl.stack.schema_hosts import HostTable, Size
from cortexctl.stack.tables import Bounds, Check, Documented, Key, NotEmpty, Table

Name = Annotated[str, Check(value_forms.name_form)]
ServedName = Annotated[str, Check(value_forms.served_name_form)]
Duration = Annotated[str, Check(value_forms.duration_form), Documented(examples=("90s", "20m"))]
ShortDuration = Annotated[str, Check(value_forms.short_duration_form), Documented(examples=("500ms", "2s"))]
Variable = Annotated[str, Check(value_forms.variable_form)]
Acknowledged = dict[Annotated[str, Check(value_forms.rule_form)], Annotated[str, Check(value_forms.reason_form)]]
"""Rule -> the reason."""
Gpus = Annotated[
    list[int] | int,
    Check(value_forms.gpus_form, first=True),
    Documented(
        schema={
            "anyOf": [
                {"const": "none"},
                {"type": "integer", "minimum": 1, "maximum": value_forms.MOST_GPUS},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ]
        }
    ),
]


class SourceTable(Table):
    """Where the model comes from: exactly one of `repo`, `path`, `gguf`."""

    repo: Annotated[str, Check(value_forms.repo_form)] | None = None
    """A Hugging Face repository, ORG/NAME."""
    revision: str | None = None
    """Commit, tag or branch of `repo`. Pin a commit."""
    path: str | None = None
    """Folder below the host's `models_dir`."""
    gguf: Annotated[str, Check(value_forms.gguf_form)] | None = None
    """One GGUF file below the host's `models_dir` (vLLM up to 0.23)."""
    tokenizer: str | None = None
    """The tokenizer: a Hugging Face repository, or a folder below /models."""
    hf_config_path: str | None = None
    """Folder that contains config.json, for a GGUF file."""


class SecretTable(Table):
    """The source of a secret's value: exactly one of `env`, `file`, `var`, `command`. Read only when it is needed."""

    env: Variable | None = None
    """An environment variable of the cortexctl process."""
    file: str | None = None
    """A file, relative to the stack file. Its last newline is not part of the value."""
    var: Variable | None = None
    """A variable of the stack with `secret = true`."""
    command: Annotated[list[str], NotEmpty()] | None = None
    """A program and its arguments, run in the stack's folder without a shell. Its output is the value."""

    def places(self) -> tuple[tuple[Literal["env", "file", "var", "command"], str | None], ...]:
        """(source, key) of every possible source of a secret; the key is None if it is not set."""
        argv = shlex.join(self.command) if self.command else None
        return (("env", self.env), ("file", self.file), ("var", self.var), ("command", argv))

    def reference(self, name: str) -> SecretRef | None:
        """Where the value of the secret `name` is, without a fingerprint. None unless exactly one place is set."""
        places = [SecretRef(name, source, key, "") for source, key in self.places() if key]
        return places[0] if len(places) == 1 else None


class SmokeTable(Table):
    """The first request that a new instance must answer. Its kind depends on `task`."""

    enabled: bool = True
    """Whether the request is sent."""
    prompt: str = "Say ok."
    """Text of the request."""
    max_tokens: Annotated[int, Bounds(at_least=1, at_most=1024)] = 4
    """Largest length of the answer (task "generate")."""
    dimensions: Annotated[int, Bounds(at_least=1)] | None = None
    """Required length of the embedding (task "embed")."""


class GateTable(Table):
    """The checks that a new instance must pass before it serves."""

    startup_timeout: Duration = "20m"
    """Longest time without progress in the log. A start that makes progress may take six times as long in all."""
    stable_for: Duration = "5s"
    """How long the instance must stay ready."""
    smoke: SmokeTable = SmokeTable()
    max_ttft: ShortDuration | None = None
    """Longest time to the first token of a short prompt, as the median of `requests` (task "generate")."""
    min_tokens_per_second: Annotated[float, Bounds(more_than=0)] | None = None
    """Lowest speed of one request, first token included, as the median of `requests` (task "generate")."""
    requests: Annotated[int, Bounds(at_least=1, at_most=100)] = 3
    """Number of requests that are measured for these two bounds, one after the other."""


class RolloutTable(Table):
    """How the instances of a model are replaced."""

    strategy: Literal["stop_first", "start_first", "auto"] = "stop_first"
    """Whether the old instance stops first or the new one starts first. "auto": start first where both fit."""
    max_unavailable: Annotated[int, Bounds(at_least=1)] = 1
    """How many instances of the model may be down at the same time, on all hosts together."""
    max_surge: Annotated[int, Bounds(at_least=1)] = 1
    """How many new instances may start beside their old ones at the same time, if the new one starts first."""
    canary: Annotated[int, Bounds(at_least=0)] = 0
    """Number of instances that are replaced first. The others wait until these have passed their gates."""
    wait: Duration = "0s"
    """Pause between two batches of instances."""
    drain: Duration = "30s"
    """Time for running requests to finish after SIGTERM."""
    on_failure: Literal["rollback", "halt"] = "rollback"
    """If the new instance fails: start the old one again, or stop and leave the new one for inspection."""
    keep: Annotated[int, Bounds(at_least=0, at_most=20)] = 2
    """Number of old generations that are retained, stopped, for a rollback."""


class HookTable(Table):
    """A command to run, or a URL to notify, at one point of an apply: exactly one of `command` and `url`."""

    on: Literal["pre_apply", "pre_stop", "post_healthy", "post_apply", "on_failure"]
    """pre_apply and post_apply run once per run, under the lock. The others run per instance: before it is stopped
    (pre_stop), after it passed its gate (post_healthy), after it failed (on_failure)."""
    command: Annotated[list[Annotated[str, NotEmpty()]], NotEmpty()] | None = None
    """A program and its arguments, run in the stack's folder without a shell. The facts are in the variables
    CORTEXCTL_*."""
    url: SecretTable | str | None = None
    """Receives the same facts as JSON in a POST. A secret URL: { env = "NAME" }."""
    timeout: Duration = "30s"
    """Time limit. After it, the hook and all its processes are killed, and the hook has failed."""
    required: bool | None = None
    """Whether a failure of the hook stops the change. Default: true for pre_apply, pre_stop and post_healthy. A
    post_apply or on_failure hook cannot stop anything."""
    secrets: list[Variable] = []
    """Secrets of the models that the command receives as environment variables. It receives no others."""


class StackHookTable(HookTable):
    """A hook of the stack."""

    models: Annotated[list[str], NotEmpty()] | None = None
    """Names or globs of models. A hook that runs once per run then runs only if one of them changes. Default: all."""


class AuditTable(Table):
    """The log of all runs: who, when, what, and the result."""

    enabled: bool = True
    """Whether a log is written."""
    log: str | None = None
    """The file, relative to the stack file. Default: NAME.audit.jsonl next to the stack file."""


class ModelTable(Table):
    """A model and the container that serves it."""

    profile: str | None = None
    """A table of `profiles`. Keys that are missing here are taken from it."""
    enabled: bool = True
    """False: the model is treated as deleted, and its containers are removed."""
    image: Annotated[str, Check(value_forms.image_form)]
    """The container image. Pin a release: "vllm/vllm-openai:v0.32.0"."""
    vllm_version: Annotated[str, Check(value_forms.release_form)] | None = None
    """The vLLM release in the image. Required if the tag does not name it."""
    source: SourceTable
    served_names: Annotated[list[ServedName], NotEmpty()] | None = None
    """Model names for clients. Default: the name of the model in this file."""
    task: Literal["generate", "embed", "classify", "score", "reward", "transcription"] = "generate"
    """The task of the model. It decides the gate's first request."""
    hosts: Annotated[list[str], NotEmpty()] | None = None
    """Names or globs of hosts. Default: the only host of the file."""
    gpus: Gpus
    """Number of GPUs per replica (chosen once, then fixed), or GPU indices on the host, or "none"."""
    publish: Annotated[str, Check(value_forms.publish_form)] | None = None
    """Address of the server on the host: "127.0.0.1" (any free port) or "127.0.0.1:8801". Default: not published."""
    offline: bool | None = None
    """Forbid downloads (HF_HUB_OFFLINE=1). Default: true for `path` and `gguf`, false for `repo`."""
    args: dict[str, Any] = {}
    """vLLM's own parameters, in snake_case, checked against the image's release. vLLM decides what is not set."""
    extra_args: list[str] = []
    """Raw command-line arguments of `vllm serve`, for options that `args` does not have."""
    env: dict[Variable, str] = {}
    """Environment variables of the container."""
    secrets: dict[Variable, SecretTable] = {}
    """Environment variables of the container whose values are secret."""
    volumes: list[Annotated[str, Check(value_forms.volume_form)]] = []
    """More mounts, SOURCE:TARGET[:ro]. SOURCE is a folder on the host or the name of a volume."""
    ipc: Literal["private", "host"] = "private"
    """Docker's IPC mode."""
    shm_size: Size = "2 GiB"
    """Size of /dev/shm."""
    restart: Literal["unless-stopped", "always", "no"] = "unless-stopped"
    """Restart policy after the gate. Changed in place. ("on-failure" is missing: a dead engine exits with code 0.)"""
    memory: Size | None = None
    """Memory limit of the container. Changed in place."""
    cpus: Annotated[float, Bounds(more_than=0)] | None = None
    """CPU limit of the container, in cores. Changed in place."""
    replicas: Annotated[int, Bounds(at_least=1, at_most=64)] = 1
    """Containers per host. They share the GPU indices evenly; a published port counts up from the first."""
    after: list[Name] = []
    """Models whose changes must be complete before this model changes."""
    ignore: list[str] = []
    """Paths (globs) whose differences cause no change: "args.max_num_seqs", "env.*"."""
    ignore_drift: list[str] = []
    """Paths (globs) whose differences `drift` does not report: "restart", "state"."""
    acknowledge: Acknowledged = {}
    """Warnings about this model that you accept, with the reason: { CX209 = "we mirror the tag" }."""
    adopt: str | None = None
    """Name of a running container that no stack manages yet. It is taken over and renamed, without a restart."""
    protect: bool = False
    """Refuse to remove the instances, even after this block is deleted."""
    on_remove: Literal["stop", "forget"] = "stop"
    """If this block is deleted: remove the container, or leave it running and unmanaged."""
    gate: GateTable = GateTable()
    rollout: RolloutTable = RolloutTable()
    hooks: dict[Name, HookTable] = {}
    """Hooks for this model's instances. They run after the hooks of the stack, in the order of their names."""


class VarTable(Table):
    """A variable, used as `{{ vars.NAME }}` in the strings of the file."""

    type: Literal["string", "int", "float", "bool", "list"] | None = None
    """Default: the type of `default`, else string."""
    default: Any = None
    """Without it, a value is required (--var NAME=VALUE, --var-file, or $CORTEXCTL_VAR_NAME)."""
    secret: bool = False
    """The value can be used only by secrets = { var = "NAME" }, and is never shown."""
    description: str = ""
    """A note for readers."""


class MovedTable(Table):
    """A renamed model. Its containers are renamed, not replaced."""

    from_: Annotated[Name, Key("from")]
    """The old name."""
    to: Name
    """The new name."""


class StackRolloutTable(Table):
    """Limits of an apply of the whole stack."""

    max_failures: Annotated[int, Bounds(at_least=1)] = 1
    """After this number of failures no new change starts. Running changes finish."""
    parallel_starts: Annotated[int, Bounds(at_least=1)] = PARALLEL_STARTS
    """Number of models that start at the same time on one host. They share its drive, memory and cores."""


class GuardsTable(Table):
    """Limits of a plan. A plan beyond one is refused, and nothing changes."""

    max_destroy: Annotated[int, Bounds(at_least=0)] | None = None
    """Most instances that one plan removes, a destroy included; --max-destroy N raises it once. Default: no limit."""


class DriftTable(Table):
    """Findings that `cortexctl drift` does not report."""

    ignore: list[Annotated[str, Check(value_forms.drift_pattern_form)]] = []
    """Globs over HOST/MODEL and HOST/CONTAINER, alone or for one kind: "gpu-1/prometheus*", "unmanaged:*"."""


class StackFile(Table):
    """A cortexctl stack: which models run on which Docker hosts."""

    schema_: Annotated[str | None, Key("$schema")] = None
    """The JSON Schema, for editors of the JSON form."""
    stack: Name
    """Name of the stack. It is in the labels of every container, so a new name orphans them."""
    required_version: Annotated[str, Check(value_forms.version_range_form)] | None = None
    """Allowed versions of cortexctl: ">=0.1,<1"."""
    not_secret: list[Annotated[str, NotEmpty()]] = []
    """Paths of values that look like secrets but are not: "models.chat.env.SORT_KEY", "hooks.check.command"."""
    acknowledge: Acknowledged = {}
    """Warnings that you accept in the whole stack, with the reason. They are counted, and not shown again."""
    vars: dict[Variable, VarTable] = {}
    """Variables of the stack."""
    moved: list[MovedTable] = []
    """Renamed models. Keep an entry until the next replacement of the model, because labels cannot change."""
    profiles: dict[Name, dict[str, Any]] = {}
    """Partial model tables. A model builds on one with `profile`."""
    env: dict[Name, dict[str, Any]] = {}
    """One overlay per environment, chosen with --env. Tables are merged; everything else is replaced."""
    drift: DriftTable = DriftTable()
    rollout: StackRolloutTable = StackRolloutTable()
    guards: GuardsTable = GuardsTable()
    hooks: dict[Name, StackHookTable] = {}
    """Commands and URLs that are called at set points of an apply, in the order of their names."""
    audit: AuditTable = AuditTable()
    hosts: Annotated[dict[Name, HostTable], NotEmpty()]
    models: Annotated[dict[Name, ModelTable], NotEmpty()]
