"""Daemons, collectors and loggers that write something before or around the line of another program."""

from __future__ import annotations

import json
from collections.abc import Callable

Writer = Callable[[str], str]

PREFIXES = (
    "vllm-1  | ",
    "chat.1.x8f2k1@node1    | ",
    "[chat] | ",
    "0|vllm  | ",
    "2026-05-01 20:49:35.616 | ",
    "2026-05-01T20:49:35.616123456Z ",
    "2026-05-01T20:49:35.616+02:00 ",
    "2026-05-01 20:49:35,616 ",
    "2026-05-01 20:49:35 +0000 UTC ",
    "2026/05/01 20:49:35 ",
    "[2026-05-01 20:49:35] ",
    "[01/May/2026:20:49:35 +0000] ",
    "20:49:35.616 ",
    "[20:49:35] ",
    "1777668575.616 ",
    "Fri May  1 20:49:35 UTC 2026 ",
    "May  1 20:49:35 gpu-1 docker[123]: ",
    "May 01 20:49:35 gpu-1 vllm: ",
    "<13>May  1 20:49:35 gpu-1 3f2a9c[991]: ",
    "2026-05-01T20:49:35+0200 gpu-1 docker[123]: ",
    "Fri 2026-05-01 20:49:35 UTC gpu-1 vllm.service[123]: ",
    "[ 1234.567890] gpu-1 docker[123]: ",
    "1777668575.616123 gpu-1 conmon[7]: ",
    "<165>1 2026-05-01T20:49:35.616Z gpu-1 vllm 123 - - ",
    '1 2026-05-01T20:49:35.616Z gpu-1 vllm - ID7 [x@1 a="b"] ',
    "[pod/chat-7d9f/vllm] ",
    "[chat-7d9f-x2k vllm] ",
    "2026-05-01T20:49:35.616123456Z stdout F ",
    "2026-05-01T20:49:35.616123456+02:00 stderr F ",
    "2026-05-01T20:49:35+00:00 ecs/vllm/0f3a ",
    "@400000005f1a2b3c4d5e6f70 ",
    "(APIServer pid=1) ",
    "(EngineCore_DP0 pid=68) ",
    "(Worker pid=41) (Worker_TP0 pid=41) ",
    "(VllmWorker rank=1 pid=268) ",
    "(RayWorkerWrapper pid=5280, ip=10.0.0.12) ",
    "\x1b[0;36m(EngineCore pid=268)\x1b[0;0m ",
    "#033[36m(EngineCore pid=268)#033[0m ",
    "[rank0]: ",
    "[1,0]<stderr>:",
    "ERROR 05-01 18:49:35 [core.py:1136] ",
    "ERROR 12-16 21:40:15 engine.py:135] ",
    "2026-05-01 20:49:35,319 - ERROR - core.py:708 - ",
    "2026-05-01 20:49:35,319 - vllm.engine - ERROR - ",
    "2026-05-01 20:49:35.319 | ERROR    | vllm.engine:run:12 - ",
    "[2026-05-01 20:49:35,319] [ERROR] [core.py:12:run] ",
    "2026-05-01T20:49:35.616Z ERROR vllm::engine: ",
    "ERROR:vllm.engine:",
    "ERROR:    ",
    "[ERROR|core.py:123] 2026-05-01 20:49:35,123 >> ",
    "E0501 20:49:35.123456 15450 core.py:53] ",
    "[rank0]:[E501 20:49:35.616000000 ProcessGroupNCCL.cpp:616] ",
    "[rank0]:[E0501 20:49:35.616000000 ProcessGroupNCCL.cpp:616] ",
    "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.02s/it]\x1b[0m(EngineCore pid=7) ",
)
"""None of them makes a warning of a line."""

WARNINGS = (
    "WARNING 05-01 18:49:35 [core.py:1136] ",
    "INFO 05-01 18:49:35 [core.py:1136] ",
    "WARNING 12-16 21:40:15 engine.py:135] ",
    "2025-11-11 06:41:27,319 - WARNING - autotuner.py:485 - flashinfer.jit: ",
    "2025-11-11 06:41:27,319 - vllm.engine - WARNING - ",
    "2025-11-11 06:41:27.319 | WARNING  | flashinfer.jit:run:12 - ",
    "2025-11-11 06:41:27,319 WARNING worker.py:1 -- ",
    "[2025-11-11 06:41:27,319] [WARNING] [x.py:12:run] ",
    "[2025-11-11 06:41:27] WARNING x.py:12: ",
    "[2025-11-11 06:41:27 WARNING x.py:12] ",
    "2025-11-11T06:41:27.319Z  WARN hf_xet::download: ",
    "2025-11-11T06:41:27.319Z\twarn\t",
    "WARNING:root:",
    "WARNING:  ",
    "[WARNING] ",
    "[warn] ",
    "[WARNING|configuration_utils.py:123] 2025-01-01 00:00:00,123 >> ",
    "[transformers] ",
    "W0101 12:57:29.212000 15450 torch/_library/triton.py:53] ",
    "[W1123 12:57:29.212000000 socket.cpp:616] ",
    "[rank0]:W1123 12:57:29.212000 15450 torch/x.py:53] ",
    "[rank0]:[W1123 12:57:29.212000000 ProcessGroupNCCL.cpp:616] ",
    "[W socket.cpp:601] ",
    "WARNING x.py:12: ",
    "/usr/lib/python3.12/x.py:12: UserWarning: ",
    "[AutoTuner]: Tuning fp8_gemm:  86%|####| 18/21 [00:00<00:00, 2.7profile/s]2026-07-06 23:18:23,723 - WARNING - x.py:1 - flashinfer.jit: ",
)


def prefixed(prefix: str) -> Writer:
    return lambda line: prefix + line


def docker_json(line: str) -> str:
    """As the json-file driver stores it."""
    return json.dumps(
        {"log": line + "\n", "stream": "stderr", "time": "2026-05-01T20:49:35.616123456Z"}, ensure_ascii=False
    )


def fluent_bit(line: str) -> str:
    return json.dumps({"stream": "stdout", "logtag": "F", "message": line, "kubernetes": {"pod_name": "chat-0"}})


def google_cloud(line: str) -> str:
    return json.dumps({"insertId": "x", "textPayload": line, "severity": "INFO", "resource": {"type": "k8s_container"}})


def journald(line: str) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": "1777668575616123", "PRIORITY": "6", "MESSAGE": line})


def journald_bytes(line: str) -> str:
    """As journald exports a message with colours."""
    return json.dumps({"PRIORITY": "6", "MESSAGE": list(("\x1b[31m" + line).encode())})


def loki(line: str) -> str:
    return json.dumps({"labels": {"pod": "chat-0"}, "line": line, "timestamp": "2026-05-01T20:49:35Z"})


def json_logger(line: str) -> str:
    """As a structured logger writes an error."""
    return json.dumps({"asctime": "2026-05-01 20:49:35,616", "name": "vllm", "levelname": "ERROR", "message": line})


def logfmt(line: str) -> str:
    return f'time="2026-05-01T20:49:35Z" level=error msg={json.dumps(line, ensure_ascii=False)}'


RECORDS: tuple[Writer, ...] = (
    *(docker_json, fluent_bit, google_cloud, journald, journald_bytes, loki, json_logger, logfmt),
)
WRITERS: tuple[Writer, ...] = (*map(prefixed, PREFIXES), *RECORDS)


def json_warning(line: str) -> str:
    return json.dumps({"asctime": "2026-05-01 20:49:35,616", "name": "root", "levelname": "WARNING", "message": line})


def xet_warning(line: str) -> str:
    """The log of hf_xet: https://github.com/huggingface/huggingface_hub/issues/3158."""
    return json.dumps(
        {"timestamp": "2025-06-12T04:06:15Z", "level": "WARN", "fields": {"message": line}, "filename": "x.rs"}
    )


def logfmt_warning(line: str) -> str:
    return f"ts=2026-05-01T20:49:35Z level=warn caller=x.go:12 msg={json.dumps(line)}"


WARNERS: tuple[Writer, ...] = (*map(prefixed, WARNINGS), json_warning, xet_warning, logfmt_warning)
