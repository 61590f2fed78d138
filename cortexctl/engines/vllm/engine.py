"""vLLM behind the protocol of all engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cortexctl.engines.base import (
    NO_FILES,
    ArgumentIssue,
    Command,
    CommandDifference,
    Companion,
    Contract,
    Diagnosis,
    End,
    GpuUse,
    Stage,
)
from cortexctl.engines.gpu_table import Gpu
from cortexctl.engines.launch_forecast import Forecast
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.command.effective import effective
from cortexctl.engines.vllm.contract import CONTRACT
from cortexctl.engines.vllm.version import release_from_image, release_in_image
from cortexctl.instance.spec import Server
from cortexctl.model_files.files import ModelFiles

LAST_PORT = 65535


class Vllm:
    """Implements `engines.base.Engine`."""

    contract: Contract = CONTRACT

    def command(self, server: Server, port: int, drain: int) -> Command:
        server = replace(server, drain=drain)
        return Command(tuple(entrypoint(server)), tuple(arguments(server, port)))

    def read_command(self, argv: Sequence[str]) -> Server | None:
        from cortexctl.engines.vllm.command.read_command import command_line

        line = command_line(argv)
        if line is None:
            return None
        extra = (word for option in line.extra for word in option.argv)
        unread = (word for _, written in sorted(line.unread.items()) for word in written)
        return Server("vllm", line.model, line.served_names, None, line.args, (*unread, *extra))

    def port_in(self, argv: Sequence[str]) -> int | None:
        for word, following in zip(argv, [*argv[1:], ""], strict=False):
            text = following if word == "--port" else word.removeprefix("--port=") if word.startswith("--port=") else ""
            if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= LAST_PORT:
                return int(text)
        return None

    def normalised(self, server: Server, argv: Sequence[str]) -> Command:
        from cortexctl.engines.vllm.command.compared import normalised

        return normalised(server, argv)

    def differences(self, server: Server, port: int, argv: Sequence[str]) -> tuple[CommandDifference, ...]:
        from cortexctl.engines.vllm.command.compared import command_differences

        return tuple(command_differences(self.command(server, port, server.drain), argv))

    def canonical(self, server: Server) -> Server:
        known = effective(server)
        return replace(server, args=known.args, extra_args=known.argv)

    def gpu_use(self, server: Server) -> GpuUse:
        share_argument = server.args.get(self.contract.share_setting)
        share = self.contract.default_share if share_argument is None else float(share_argument)
        may_be_fixed = "kv_cache_memory_bytes" in server.args or bool(server.extra_args)
        size = effective(server).args.get("kv_cache_memory_bytes") if may_be_fixed else None
        return GpuUse(share, size if isinstance(size, int) else None, is_default=share_argument is None)

    def companions(self, server: Server) -> tuple[Companion, ...]:
        if "speculative_config" not in server.args and not server.extra_args:
            return ()
        from cortexctl.engines.vllm.memory.speculation import read_speculation

        draft = read_speculation(effective(server).args, server.model)
        return (Companion(draft.model, draft.revision),) if draft.model else ()

    def forecast(
        self,
        server: Server,
        env: Mapping[str, str],
        files: ModelFiles,
        gpu: Gpu,
        companions: Mapping[str, ModelFiles] = NO_FILES,
        rates: Sequence[float] = (),
    ) -> Forecast:
        from cortexctl.engines.vllm.memory.prediction import forecast

        return forecast(server, env, files, gpu, companions, rates)

    def release_of(self, reference: str) -> str | None:
        return release_from_image(reference)

    def release_in(self, labels: Mapping[str, str], env: Sequence[str]) -> str:
        return release_in_image(labels, env)

    def check(self, server: Server, env: Mapping[str, str]) -> tuple[ArgumentIssue, ...]:
        from cortexctl.engines.vllm.command.check_server import check_server

        return tuple(check_server(server, env))

    def stage(self, log: Sequence[str]) -> Stage | None:
        from cortexctl.engines.vllm.progress import SERVER_UP, latest

        text, sign = latest(log)
        return Stage(text, sign, serves=text == SERVER_UP) if text else None

    def read_rate(self, log: Sequence[str], server: Server) -> float | None:
        if not any("eights took" in line for line in log):  # a start's log is read many times
            return None
        from cortexctl.engines.vllm.command.effective import effective
        from cortexctl.engines.vllm.memory.startlog import read_start_log
        from cortexctl.engines.vllm.start_time import read_rate

        return read_rate(read_start_log(log), effective(server).args)

    def serves(self, log: Sequence[str]) -> bool:
        from cortexctl.engines.vllm.log.line import read_lines
        from cortexctl.engines.vllm.log.starts import serves

        return serves(read_lines(log))

    def diagnose(self, log: Sequence[str], end: End) -> Diagnosis | None:
        from cortexctl.engines.vllm.diagnosis.diagnose import diagnose_end

        return diagnose_end(log, end.exit_code, oom_killed=end.oom_killed)

    def last_error(self, log: Sequence[str]) -> str:
        from cortexctl.engines.vllm.diagnosis.lines import last_error_line

        return last_error_line(log)

    def messages(self, log: Sequence[str]) -> tuple[str, ...]:
        from cortexctl.engines.vllm.diagnosis.lines import without_frames

        return tuple(without_frames(log))
