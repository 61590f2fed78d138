"""Several starts in one log, and whether the last one serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortexctl.engines.vllm.diagnosis.diagnose import diagnose
from cortexctl.engines.vllm.diagnosis.lines import last_error_line
from cortexctl.engines.vllm.log.line import read_lines
from cortexctl.engines.vllm.log.starts import serves
from cortexctl.engines.vllm.progress import SERVER_UP, stage
from cortexctl.operations.diagnose import diagnose_log
from cortexctl.operations.results import Diagnosed
from cortexctl.render.diagnosis import diagnosed_json, diagnosed_text
from cortexctl.render.style import Ink
from tests.diagnosis_cases import CASES
from tests.forks import ran
from tests.log_writers import docker_json

LOGO = "(APIServer pid=1) INFO 11-24 00:30:00 [utils.py:299]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.23.0"
OLD_BANNER = "INFO 04-29 00:34:43 [api_server.py:1043] vLLM API server version 0.8.5"
FAILED = "(EngineCore pid=120) ERROR 11-24 00:30:40 [core.py:1136] ValueError: Free memory on device cuda:0 (3.1/79.25 GiB) on startup is less than desired GPU memory utilization (0.9, 71.33 GiB)."
POINTER = (
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
OTHER = "(EngineCore pid=121) ERROR 11-24 00:31:40 [core.py:1136] ValueError: No available memory for the cache blocks."
READY = "(EngineCore pid=121) INFO 11-24 00:31:40 [core.py:216] init engine (profile, create kv cache, warmup model) took 36.18 seconds"
UP = "(APIServer pid=1) INFO:     Application startup complete."
REFUSED = ["usage: vllm serve [model_tag] [options]", "vllm serve: error: unrecognized arguments: --x"]


def pattern_of(log: list[str]) -> str:
    diagnosis = diagnose(log)
    return diagnosis.pattern if diagnosis else ""


@pytest.mark.parametrize("banner", [LOGO, OLD_BANNER])
def test_the_last_start_is_judged(banner: str) -> None:
    failed, served = [banner, FAILED, POINTER], [banner, READY, UP]
    assert pattern_of(failed) == "not-enough-free"
    assert pattern_of([*failed, *served]) == ""
    assert pattern_of([*served, *failed]) == "not-enough-free"
    assert pattern_of([*failed, banner, OTHER, POINTER]) == "no-cache-at-all"
    assert pattern_of([*failed, banner]) == ""


EARLY = [
    "INFO 11-24 00:31:00 [__init__.py:216] Automatically detected platform cuda.",
    "Traceback (most recent call last):",
    '  File "/usr/local/bin/vllm", line 4, in <module>',
    "pynvml.NVMLError_Unknown: Unknown Error",
]


@pytest.mark.parametrize("early", [EARLY, EARLY[1:]])
@pytest.mark.parametrize(
    "first", [[LOGO, FAILED, POINTER], REFUSED, [LOGO, READY, UP, "INFO:     Finished server process [1]"]]
)
def test_a_start_that_fails_before_its_banner_is_the_last_one(first: list[str], early: list[str]) -> None:
    assert pattern_of([*first, *early]) == "gpu-lost-by-container"
    assert not serves(read_lines([*first, *early]))


def test_the_traceback_of_the_api_server_before_its_end_is_no_start() -> None:
    log = [LOGO, FAILED, "(APIServer pid=1) Traceback (most recent call last):", POINTER]
    assert pattern_of(log) == "not-enough-free"
    assert pattern_of([*log, "(APIServer pid=1) Traceback (most recent call last):"]) == "not-enough-free"


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "404 Not Found", "200 OK"])
def test_a_server_that_refused_a_request_serves(status: str) -> None:
    error = "(APIServer pid=1) ERROR 11-24 00:31:40 [serving_chat.py:200] Error in preprocessing prompt inputs"
    access = f'(APIServer pid=1) INFO:     10.0.0.3:51224 - "POST /v1/chat/completions HTTP/1.1" {status}'
    assert serves(read_lines([LOGO, READY, UP, error, access]))
    assert not serves(read_lines([LOGO, READY, UP, error, access.replace(status, "500 Internal Server Error")]))


def test_a_refusal_of_the_parser_is_a_start_of_its_own() -> None:
    assert pattern_of([LOGO, FAILED, *REFUSED]) == "unrecognised-argument"
    assert pattern_of([*REFUSED, LOGO, FAILED]) == "not-enough-free"
    assert pattern_of([*REFUSED, LOGO, READY, UP]) == ""


def test_the_stage_and_the_last_error_are_those_of_the_last_start() -> None:
    log = [LOGO, READY, UP, LOGO]
    assert stage(log) == ""
    assert stage(log[:3]) == SERVER_UP
    assert last_error_line([LOGO, FAILED, LOGO, "KeyError: 'x'"]) == "KeyError: 'x'"
    assert "Free memory" not in last_error_line([LOGO, FAILED, LOGO])


def test_further_api_servers_of_one_start_are_no_starts() -> None:
    further = LOGO.replace("APIServer pid=1", "ApiServer_1 pid=88")
    assert pattern_of([LOGO, FAILED, further]) == "not-enough-free"


def test_each_container_of_a_compose_log_has_its_own_starts() -> None:
    chat = [f"chat-1   | {line}" for line in (LOGO, FAILED, POINTER)]
    embed = [f"embed-1  | {line}" for line in (LOGO, READY, UP)]
    assert pattern_of([*chat, *embed]) == "not-enough-free"
    assert not serves(read_lines([*chat, *embed]))
    again = [f"chat-1   | {line}" for line in (LOGO, READY, UP)]
    assert pattern_of([*chat, *embed, *again]) == ""
    assert serves(read_lines([*chat, *embed, *again]))


def test_an_error_before_the_server_was_up_did_not_keep_it_from_serving() -> None:
    assert pattern_of([LOGO, FAILED, READY, UP]) == ""
    assert pattern_of([LOGO, READY, UP, FAILED]) == "not-enough-free"


# healthy or not

REQUEST = '(APIServer pid=1) INFO:     10.0.0.3:51224 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
STATS = "(APIServer pid=1) INFO 11-24 00:40:00 [loggers.py:259] Engine 000: Avg prompt throughput: 1.2 tokens/s"
BAD_REQUEST = "(APIServer pid=1) ERROR 11-24 00:40:00 [serving_chat.py:252] ValueError: This model's maximum context length is 4096 tokens"


@pytest.mark.parametrize(
    ("after", "healthy"),
    [
        ([], True),
        ([REQUEST], True),
        ([STATS], True),
        ([BAD_REQUEST], False),
        ([BAD_REQUEST, REQUEST], True),
        ([BAD_REQUEST, STATS], True),
        (["(APIServer pid=1) INFO:     Shutting down"], False),
        (["(APIServer pid=1) INFO:     Finished server process [1]"], False),
        ([FAILED], False),
        (["KeyError: 'x'"], False),
        (["Killed"], False),
        (["(APIServer pid=1) WARNING 11-24 00:40:00 [x.py:1] RuntimeError: SIGTERM"], True),
        ([LOGO], False),
        ([LOGO, FAILED], False),
        (REFUSED, False),
    ],
)
def test_a_server_that_is_up_is_healthy_until_an_error_or_its_end(after: list[str], healthy: bool) -> None:
    assert serves(read_lines([LOGO, READY, UP, *after])) is healthy


@pytest.mark.parametrize("log", [[], ["", "text"], [LOGO], [LOGO, READY]])
def test_a_server_that_was_never_up_is_not_healthy(log: list[str]) -> None:
    assert not serves(read_lines(log))


HEALTHY = "  healthy  the last start in this log serves; there is nothing to fix\n"


def diagnosed(tmp_path: Path, *lines: str) -> Diagnosed:
    path = tmp_path / "x.log"
    path.write_text("\n".join(lines))
    return diagnose_log(str(path))


def text_of(seen: Diagnosed) -> str:
    return diagnosed_text(seen, Ink(enabled=False)).partition("\n")[2]


@pytest.mark.parametrize("path", sorted((CASES / "healthy").glob("*.log")), ids=lambda path: path.stem)
def test_a_healthy_log_is_reported_to_be_healthy(path: Path, tmp_path: Path) -> None:
    assert text_of(diagnose_log(str(path))) == HEALTHY
    assert text_of(diagnosed(tmp_path, *map(docker_json, path.read_text().splitlines()))) == HEALTHY


def test_a_log_that_ends_with_a_healthy_start_exits_with_0(tmp_path: Path) -> None:
    log = f"{LOGO}\n{FAILED}\n{POINTER}\n{LOGO}\n{READY}\n{UP}\n"
    done = ran("diagnose", "--log", "-", cwd=tmp_path, stdin=log)
    assert (done.returncode, done.stdout) == (0, "stdin\n" + HEALTHY)


def test_a_healthy_log_is_healthy_in_json_too(tmp_path: Path) -> None:
    shown = diagnosed_json(diagnosed(tmp_path, LOGO, UP))
    assert (shown["health"], shown["cause"], shown["next"]) == ("healthy", None, None)


# processes that wait for each other

CAPTURED = "(EngineCore pid=2025) INFO 08-13 11:26:02 [gpu_model_runner.py:2567] Graph capturing finished in 106 secs, took 0.72 GiB"
WAITS = "(EngineCore pid=2025) INFO 08-13 11:2{}:02 [shm_broadcast.py:802] No available shared memory broadcast block found in 60 seconds. This typically happens when some processes are hanging or doing some time-consuming work."


def test_a_start_that_ends_with_waiting_hangs() -> None:
    waits = [WAITS.format(n) for n in range(6)]
    diagnosis = diagnose([LOGO, CAPTURED, *waits, ""])
    assert diagnosis is not None
    assert diagnosis.pattern == "ranks-wait"
    assert "6 reports" in diagnosis.cause
    assert stage([CAPTURED, *waits]) == "graphs captured"


@pytest.mark.parametrize(
    "log",
    [
        [LOGO, CAPTURED, WAITS.format(1), WAITS.format(2)],
        [LOGO, CAPTURED, *[WAITS.format(n) for n in range(6)], READY],
        [LOGO, UP, *[WAITS.format(n) for n in range(6)]],
    ],
    ids=["two reports", "it went on", "an idle server"],
)
def test_waiting_that_ends_or_is_idle_is_no_hang(log: list[str]) -> None:
    assert diagnose(log) is None


OTHERS = [
    "webui-1   | httpx.ConnectError: [Errno 111] Connection refused http://chat:8000/v1/models",
    "db-1      | 2026-05-01 20:49:35 UTC [1] ERROR:  relation does not exist",
]


def test_other_programs_of_a_compose_project_are_not_judged() -> None:
    healthy = [f"chat-1    | {line}" for line in (LOGO, READY, UP)]
    assert serves(read_lines([*OTHERS, *healthy, *OTHERS]))
    assert pattern_of([*healthy, *OTHERS]) == ""
    assert pattern_of([*OTHERS, *(f"chat-1    | {line}" for line in (LOGO, OTHER)), *OTHERS]) == "no-cache-at-all"
    early = [f"chat-1    | {line}" for line in EARLY]
    assert not serves(read_lines([f"embed-1   | {line}" for line in (LOGO, READY, UP)] + early))
    assert pattern_of(OTHERS) == "hub-not-reached"


def test_a_server_whose_access_log_is_off_serves() -> None:
    log = [
        LOGO,
        READY,
        "(APIServer pid=1) INFO 11-24 00:40:00 [api_server.py:1900] Starting vLLM API server 0 on http://0.0.0.0:8000",
    ]
    assert serves(read_lines(log))


@pytest.mark.parametrize(
    "report",
    [
        "(EngineCore pid=7) INFO 11-24 00:33:00 [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds. This typically happens when",
        "WARNING 11-24 00:33:00 [shm_broadcast.py:268] No available block found in 60 second. ",
        "(VllmWorker rank=0 pid=7) DEBUG 11-24 00:33:00 [shm_broadcast.py:313] No available shared memory broadcast block found in 60 second.",
    ],
)
def test_processes_that_wait_for_each_other_are_a_cause_in_the_form_of_every_release(report: str) -> None:
    between = "(APIServer pid=1) DEBUG 11-24 00:33:05 [utils.py:741] Waiting for 1 local, 0 remote core engine proc(s) to start."
    assert pattern_of([LOGO, *([report, between] * 5)]) == "ranks-wait"
    assert pattern_of([LOGO, report, between]) == ""
    assert pattern_of([LOGO, *([report] * 5), READY]) == ""
