"""An inference engine that is not vLLM, with its own command line, port, paths and key: a model for a second engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cortexctl.engines.base import (
    MAX_TOKENS,
    NO_FILES,
    PROMPT,
    ArgumentIssue,
    Command,
    CommandDifference,
    Companion,
    Contract,
    Diagnosis,
    End,
    GpuUse,
    SmokeRequest,
    Stage,
)
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import Forecast, Unknown
from cortexctl.engines.vllm.contract import CONTRACT as VLLM
from cortexctl.instance.spec import Server
from cortexctl.model_files.files import ModelFiles

CONTRACT = replace(
    VLLM,
    title="Other",
    port=9009,
    health="/ready",
    models="/names",
    key_variable="OTHER_KEY",
    dead_status=None,
    exit_zero="",
    default_share=0.5,
    smoke={"": SmokeRequest("/say", {"prompt": PROMPT, "max_tokens": MAX_TOKENS}, "said something")},
)


class OtherEngine:
    """Implements `engines.base.Engine`: `other-server MODEL --names A,B --port N [ARGUMENTS]`."""

    contract: Contract = CONTRACT

    def command(self, server: Server, port: int, drain: int) -> Command:
        options = [word for name, value in sorted(server.args.items()) for word in (f"--{name}", str(value))]
        names = ("--names", ",".join(server.served_names))
        return Command(("other-server",), (server.model, *names, "--port", str(port), *options, *server.extra_args))

    def read_command(self, argv: Sequence[str]) -> Server | None:
        return Server("other", argv[1], tuple(argv[3].split(","))) if argv[:1] == ["other-server"] else None

    def port_in(self, argv: Sequence[str]) -> int | None:
        return int(argv[argv.index("--port") + 1]) if "--port" in argv else None

    def normalised(self, server: Server, argv: Sequence[str]) -> Command:
        return Command(tuple(argv[:1]), tuple(argv[1:]))

    def differences(self, server: Server, port: int, argv: Sequence[str]) -> tuple[CommandDifference, ...]:
        wanted = self.command(server, port, server.drain)
        same = [*wanted.program, *wanted.arguments] == [*argv]
        return () if same else (CommandDifference("command", " ".join(wanted.arguments), " ".join(argv[1:])),)

    def canonical(self, server: Server) -> Server:
        return server

    def gpu_use(self, server: Server) -> GpuUse:
        return GpuUse(self.contract.default_share, is_default=True)

    def companions(self, server: Server) -> tuple[Companion, ...]:
        return (Companion(str(server.args["beside"])),) if "beside" in server.args else ()

    def forecast(
        self,
        server: Server,
        env: Mapping[str, str],
        files: ModelFiles,
        gpu: Gpu,
        companions: Mapping[str, ModelFiles] = NO_FILES,
        rates: Sequence[float] = (),
    ) -> Forecast:
        raise Unknown("nobody knows how much it takes")

    def check(self, server: Server, env: Mapping[str, str]) -> Sequence[ArgumentIssue]:
        return [ArgumentIssue(n, "CX301", f"it has no {n}") for n in server.args if n != "depth"]

    def release_of(self, reference: str) -> str | None:
        return None

    def release_in(self, labels: Mapping[str, str], env: Sequence[str]) -> str:
        return ""

    def stage(self, log: Sequence[str]) -> Stage | None:
        return Stage("ready", log[-1], serves=True) if log and "ready" in log[-1] else None

    def read_rate(self, log: Sequence[str], server: Server) -> float | None:
        return None

    def serves(self, log: Sequence[str]) -> bool:
        return bool(log) and "ready" in log[-1]

    def diagnose(self, log: Sequence[str], end: End) -> Diagnosis | None:
        burnt = any("it burns" in line for line in log)
        return Diagnosis("burns", "the server burns", "put it out") if burnt else None

    def last_error(self, log: Sequence[str]) -> str:
        return log[-1] if log else ""

    def messages(self, log: Sequence[str]) -> tuple[str, ...]:
        return tuple(log)
