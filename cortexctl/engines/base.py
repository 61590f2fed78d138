"""What cortexctl needs to know about an inference engine: one protocol, with its values. Pure.

An engine is a program in a container that answers the OpenAI API. Everything specific to one engine is behind this
protocol: its command line, its memory, its log, and the paths, variables and statuses of its contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import Any, Literal, Protocol

from cortexctl.dataclass import dataclass
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import Forecast
from cortexctl.instance.spec import Server
from cortexctl.model_files.files import ModelFiles

NO_FILES: Mapping[str, ModelFiles] = MappingProxyType({})
HIDDEN = "(hidden)"
"""Replaces a value that may be a secret: it is set, but not shown."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a container is started: `program` is its entry point, `arguments` follow it."""

    program: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CommandDifference:
    """One setting of a command line that differs from the expected one, as text that may be shown; None: not set.

    `path` is the setting's path in a stack: "args.max_model_len", "served_names", "drain".
    """

    path: str
    expected: str | None
    actual: str | None


@dataclass(frozen=True, slots=True)
class Stage:
    """The stage of a starting server. `sign`: the line of the log that shows it, without its clock: another sign is
    progress. `serves`: whether the server reports that it is up.
    """

    text: str
    sign: str
    serves: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`cause` in one sentence, `fix` as an edit of the stack, `evidence` the log lines that prove it.

    `pattern` names the row of the engine's table, for machines.
    """

    pattern: str
    cause: str
    fix: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """How a container ended. `exit_code`: None while it runs."""

    exit_code: int | None = None
    oom_killed: bool = False


@dataclass(frozen=True, slots=True)
class ArgumentIssue:
    """An argument that the release refuses (`fatal`), or takes without effect. `path` points into a nested table.
    `about`: the argument itself (its name, or a key in its table), the form of its value, a value of the right form, or
    a name that no release knows. `where`: the setting of a stack that has the argument.
    """

    argument: str
    rule: str
    summary: str
    help: str = ""
    fatal: bool = True
    path: tuple[str, ...] = ()
    about: Literal["argument", "form", "value", "unknown"] = "argument"
    where: Literal["args", "env", "extra_args"] = "args"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a release on a whole command line. `verdict`: ok, the kind of the first error, at which the parser
    ends with exit code 2 (`refused` has all of them), or unknown, because a part of the line is elsewhere (`unclear`
    has the reasons). `at_start`: arguments that the parser accepts and that start-up refuses or ignores. `values`:
    settings that are not the default, by the parser's name for them.
    """

    release: str
    verdict: str
    refused: tuple[str, ...] = ()
    at_start: tuple[ArgumentIssue, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool | None:
        """Whether the parser accepts the line; None if that is unknown."""
        return None if self.verdict == "unknown" else self.verdict == "ok"

    @property
    def starts(self) -> bool | None:
        """Whether the parser accepts it and start-up does not refuse it; None if that is unknown."""
        return False if any(f.fatal for f in self.at_start) else self.accepted


@dataclass(frozen=True, slots=True)
class GpuUse:
    """What a server uses of each of its GPUs: a share of the memory, unless its cache has a fixed size in bytes."""

    share: float
    cache_bytes: int | None = None
    is_default: bool = False
    """Whether the share is the engine's own default."""


@dataclass(frozen=True, slots=True, order=True)
class Companion:
    """A model that a server loads beside its own, such as a draft. `model`: a path in the container or a repository, as
    in `Server.model`; `revision`: of the repository, if one is set.
    """

    model: str
    revision: str = ""


PROMPT, MAX_TOKENS = "{prompt}", "{max_tokens}"
"""In the body of a smoke request: placeholders for values of the gate's policy."""


@dataclass(frozen=True, slots=True)
class SmokeRequest:
    """A first request that proves that a model answers. `body` is sent together with the model's name; PROMPT and
    MAX_TOKENS in it are replaced. A path in the answer consists of keys and positions: `expected` must exist, and the
    value at `shown` (its length, if `counts`) is inserted into `text`. `has_dimensions`: that length is compared with
    gate.smoke.dimensions. `is_audio`: the body is a form, with one second of audio. `otherwise`: the request to send if
    this one is declined.
    """

    path: str
    body: Mapping[str, Any]
    text: str
    expected: tuple[str | int, ...] = ()
    shown: tuple[str | int, ...] = ()
    counts: bool = False
    has_dimensions: bool = False
    is_audio: bool = False
    otherwise: Otherwise | None = None


@dataclass(frozen=True, slots=True)
class Otherwise:
    """Another request, for a server that declines with this status, or with a message that matches `pattern`. `note` is
    added to the text of its answer.
    """

    request: SmokeRequest
    status: int | None = None
    pattern: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Contract:
    """How to query a running server, and what its answers mean. Paths begin with a slash.

    `health`, `models`, `version`, `completions`: paths. `key_variable`: the variable that holds the API key.
    `dead_status`: the answer of the health path if the engine has died and its HTTP server has not; None: there is no
    such answer. `exit_zero`: the meaning of exit code 0, as text after a comma. `release_setting`: the setting of a
    stack that names the release; `release_labels` and `release_variables`: where an image names it. `share_setting`:
    the argument for a share of a GPU's memory; `default_share`: the share if the stack sets none; `length_setting`: the
    argument for the tokens of a request; `cache_setting`: for the bytes of the cache. `refusals`: the rule of a refusal
    for want of memory -> its meaning, and the argument to check. `hub_cache`: the folder of the Hugging Face client's
    cache. `compile_cache`: that of compiled graphs, unless `compile_cache_variable` names another. `smoke`: by task; ""
    for any other. `speed`: fields of a measured completion that only this engine has.
    """

    title: str
    port: int
    health: str
    models: str
    version: str
    completions: str
    key_variable: str
    dead_status: int | None
    exit_zero: str
    release_setting: str
    release_labels: tuple[str, ...]
    release_variables: tuple[str, ...]
    share_setting: str
    default_share: float
    length_setting: str
    cache_setting: str
    refusals: Mapping[str, tuple[str, str]]
    hub_cache: str
    compile_cache: str = ""
    compile_cache_variable: str = ""
    smoke: Mapping[str, SmokeRequest] = field(default_factory=dict)
    speed: Mapping[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """One inference engine. Every method is a pure function of its arguments."""

    contract: Contract

    def command(self, server: Server, port: int, drain: int) -> Command:
        """The command that starts the server on `port`. `drain`: seconds to finish running requests."""
        ...

    def read_command(self, argv: Sequence[str]) -> Server | None:
        """The server that any command line starts; None if it starts no server of this engine."""
        ...

    def port_in(self, argv: Sequence[str]) -> int | None:
        """The port in a command line; None if it has none."""
        ...

    def normalised(self, server: Server, argv: Sequence[str]) -> Command:
        """A command line in the form of `command`, without values that may be secrets: it shows the open values of
        `server`, and values known to be harmless.
        """
        ...

    def differences(self, server: Server, port: int, argv: Sequence[str]) -> tuple[CommandDifference, ...]:
        """The settings of a command line that differ from those of `server`. Another order or spelling is not a
        difference.
        """
        ...

    def canonical(self, server: Server) -> Server:
        """The form in which two servers are compared: every argument by name, in its one spelling."""
        ...

    def gpu_use(self, server: Server) -> GpuUse: ...

    def companions(self, server: Server) -> tuple[Companion, ...]:
        """The further models whose weights the server loads from files of their own."""
        ...

    def forecast(
        self,
        server: Server,
        env: Mapping[str, str],
        files: ModelFiles,
        gpu: Gpu,
        companions: Mapping[str, ModelFiles] = NO_FILES,
        rates: Sequence[float] = (),
    ) -> Forecast:
        """The memory and time of a launch on GPUs of this kind. `companions`: the files of each, by its `model`.
        `rates`: GiB/s at which past starts on the host read their weights. Raises Unknown, with the reason.
        """
        ...

    def check(self, server: Server, env: Mapping[str, str]) -> Sequence[ArgumentIssue]:
        """What the release of the server refuses, or takes without effect: arguments, variables, raw arguments."""
        ...

    def release_of(self, reference: str) -> str | None:
        """The release that an image's reference names."""
        ...

    def release_in(self, labels: Mapping[str, str], env: Sequence[str]) -> str:
        """The release that an image names in its labels or its environment (NAME=VALUE); empty where it names none."""
        ...

    def stage(self, log: Sequence[str]) -> Stage | None:
        """The latest stage that the log of a start shows."""
        ...

    def read_rate(self, log: Sequence[str], server: Server) -> float | None:
        """GiB/s at which a start read its weights, without a download; None if the log does not show it yet."""
        ...

    def serves(self, log: Sequence[str]) -> bool:
        """Whether the log ends with a server that is up: neither an error nor an end follows its start."""
        ...

    def diagnose(self, log: Sequence[str], end: End) -> Diagnosis | None:
        """The cause of an end, or of the errors in the log; None: no known cause."""
        ...

    def last_error(self, log: Sequence[str]) -> str:
        """The last line of the log that reports an error; empty if there is none."""
        ...

    def messages(self, log: Sequence[str]) -> tuple[str, ...]:
        """The lines of the log that a person reads, without the insides of tracebacks."""
        ...
