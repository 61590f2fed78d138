"""The table of causes: every row with its own real sample, and no cause for a healthy log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexctl.engines.base import Diagnosis
from cortexctl.engines.vllm.diagnosis.diagnose import TABLE, diagnose, diagnose_end
from cortexctl.engines.vllm.diagnosis.lines import last_error_line, without_frames
from tests.diagnosis_cases import CASES, lines_of, runs, samples, strip_prefix

CORE = "(EngineCore_DP0 pid=268) ERROR 10-21 00:35:03 [core.py:708] "
NOISE = [
    "INFO 10-21 00:34:40 [__init__.py:216] Automatically detected platform cuda.",
    "(APIServer pid=1) INFO 10-21 00:34:43 [api_server.py:1839] vLLM API server version 0.11.0",
    "(EngineCore_DP0 pid=268) INFO 10-21 00:34:55 [gpu_model_runner.py:2653] Model loading took 3.0 GiB",
]
AFTER = [
    "(EngineCore_DP0 pid=268) Traceback (most recent call last):",
    '(EngineCore_DP0 pid=268)   File "/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/core.py", line 699, in run',
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}",
]


SAMPLES = [pytest.param(case, id=f"{case['pattern']}-{n}") for n, case in enumerate(samples())]


@pytest.mark.parametrize("case", SAMPLES)
def test_a_real_line_gives_its_cause_and_the_edit_that_fixes_it(case: dict[str, Any]) -> None:
    diagnosis = diagnose([*lines_of(case), *AFTER])
    assert diagnosis is not None
    assert (diagnosis.pattern, diagnosis.cause, diagnosis.fix) == (case["pattern"], case["cause"], case["fix"])
    log_lines = {strip_prefix(line) for line in lines_of(case)}
    assert diagnosis.evidence
    assert set(diagnosis.evidence) <= log_lines


def test_every_row_has_a_sample_and_there_are_many() -> None:
    assert len({p.name for p in TABLE}) == len(TABLE) > 100
    assert {case["pattern"] for case in samples()} == {p.name for p in TABLE}


def test_every_sample_names_its_source() -> None:
    for case in samples():
        assert re.search(r"[a-z]", case["from"]), case["pattern"]
    from_vllm = [c for c in samples() if re.search(r"vLLM \d+\.\d+\.\d+", c["from"])]
    assert len(from_vllm) > 100


@pytest.mark.parametrize("case", SAMPLES)
def test_causes_and_fixes_are_complete_phrases(case: dict[str, Any]) -> None:
    for phrase in (case["cause"], case["fix"]):
        assert "\\" not in phrase
        assert "\n" not in phrase
        assert phrase == phrase.strip()
        assert "  " not in phrase
        assert not phrase.endswith((".", ":", ","))
        assert "None" not in phrase.replace("=None", "")


@pytest.mark.parametrize("case", [pytest.param(c, id=c["file"]) for c in runs()])
def test_the_log_of_a_wrong_start_gives_its_cause(case: dict[str, Any]) -> None:
    log = (CASES / "runs" / case["file"]).read_text().split("\n")
    diagnosis = diagnose(log)
    assert diagnosis is not None
    assert (diagnosis.pattern, diagnosis.cause, diagnosis.fix) == (case["pattern"], case["cause"], case["fix"])
    assert list(diagnosis.evidence) == case["evidence"]


@pytest.mark.parametrize(
    ("file", "last"),
    [
        (
            "other-shape.log",
            "RuntimeError: The size of tensor a (128) must match the size of tensor b (64) at non-singleton dimension 1",
        ),
        ("ssl.log", "FileNotFoundError: [Errno 2] No such file or directory"),
        (
            "fp8.log",
            "RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4 argument(s).",
        ),
    ],
)
def test_an_unknown_failure_has_no_cause_and_a_last_error_line(file: str, last: str) -> None:
    log = (CASES / "unknown" / file).read_text().split("\n")
    assert diagnose(log) is None
    assert last_error_line(log).startswith(last)


@pytest.mark.parametrize("path", sorted((CASES / "healthy").glob("*.log")), ids=lambda p: p.stem)
def test_a_healthy_start_has_no_cause(path: Path) -> None:
    log = path.read_text().split("\n")
    assert diagnose(log) is None
    assert diagnose_end(log, None) is None
    for line in log:
        assert diagnose([line]) is None, line


@pytest.mark.parametrize(
    "log",
    [
        [],
        [""],
        NOISE,
        [*NOISE, *AFTER],
        ["RuntimeError: something that nobody has seen before"],
        ['INFO:     10.0.0.3:51224 - "POST /v1/completions HTTP/1.1" 401 Unauthorized'],
        [
            "(APIServer pid=1) ERROR 11-24 06:00:00 [x.py:1] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."
        ],
    ],
    ids=[
        "nothing",
        "an empty line",
        "a good start",
        "no known cause",
        "an unknown cause",
        "an access log",
        "a dead engine",
    ],
)
def test_a_log_without_a_known_cause_gives_none(log: list[str]) -> None:
    assert diagnose(log) is None


@pytest.mark.parametrize("level", ["INFO", "WARNING", "DEBUG"])
@pytest.mark.parametrize("case", [c for c in samples() if "\n" not in c["log"]], ids=lambda c: c["pattern"])
def test_an_info_or_a_warning_is_no_cause(case: dict[str, Any], level: str) -> None:
    message = strip_prefix(case["log"])
    assert diagnose([f"(APIServer pid=1) {level} 11-24 06:00:00 [utils.py:1] {message}"]) is None
    assert diagnose([f"{level} 11-24 06:00:00 utils.py:1] {message}"]) is None


def test_the_source_that_a_traceback_shows_is_no_cause() -> None:
    frame = f'{CORE}    raise ValueError("No available memory for the cache blocks. "'
    assert diagnose([f'{CORE}  File "/vllm/v1/core/kv_cache_utils.py", line 1010, in check', frame]) is None


def test_a_retry_is_no_cause() -> None:
    assert (
        diagnose(
            [
                "'(ReadTimeoutError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Read timed out. (read timeout=10)\"), '(Request ID: 1)')' thrown while requesting HEAD https://huggingface.co/org/big/resolve/main/config.json",
                "Retrying in 1s [Retry 1/5].",
            ]
        )
        is None
    )


@pytest.mark.parametrize("text", ["x", "a.b/c", "1", "'", "ValueError: ", "{", " "])
def test_a_line_of_any_length_is_read_to_its_end(text: str) -> None:
    """A regex that starts again at each character of a long word would not end."""
    assert diagnose([text * (300_000 // len(text))]) is None


def test_the_more_precise_cause_wins_wherever_it_stands() -> None:
    precise = f"{CORE}ValueError: Free memory on device (10.47/79.44 GiB) on startup is less than desired GPU memory utilization (0.96, 76.26 GiB)."
    vague = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 266.00 MiB."
    for log in ([precise, vague], [vague, precise]):
        diagnosis = diagnose(log)
        assert diagnosis is not None
        assert diagnosis.evidence == (strip_prefix(precise),)


def test_of_two_lines_with_the_same_cause_the_last_is_the_evidence() -> None:
    first = "ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (3)."
    last = "ValueError: Total number of attention heads (32) must be divisible by tensor parallel size (5)."
    diagnosis = diagnose([first, last])
    assert diagnosis is not None
    assert diagnosis.evidence == (last,)
    assert "32 attention heads" in diagnosis.cause


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "\x1b[0;36m(EngineCore pid=268)\x1b[0;0m ERROR 11-24 00:35:03 [core.py:1510] ",
        "(VllmWorker rank=1 pid=268) ERROR 11-24 00:35:03 [multiproc_executor.py:527] ",
        "(Worker_TP1_EP1 pid=268) ERROR 11-24 00:35:03 [multiproc_executor.py:527] ",
        "(RayWorkerWrapper pid=5280, ip=10.0.0.12) ",
        "ERROR 12-16 21:40:15 engine.py:135] ",
        "[rank0]: ",
        "vllm-1  | ",
        "2026-11-24T00:35:03.123456789Z ",
    ],
)
def test_the_cause_is_the_same_for_every_prefix_of_a_line(prefix: str) -> None:
    error = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."
    diagnosis = diagnose([prefix + error])
    assert diagnosis is not None
    assert (diagnosis.pattern, diagnosis.evidence) == ("no-cache-at-all", (error,))


# numbers

SHORT = "To serve at least one request with the models's max seq len ({}), ({} GiB KV cache is needed, which is larger than the available KV cache memory ({} GiB). Try increasing `gpu_memory_utilization`"


def test_the_length_is_computed_if_an_old_release_gives_no_estimate() -> None:
    diagnosis = diagnose(["ValueError: " + SHORT.format(16384, "2.00", "1.25")])
    assert diagnosis is not None
    assert diagnosis.fix.startswith("set args.max_model_len = 10240, or")


def test_nothing_is_promised_where_not_even_a_block_fits() -> None:
    diagnosis = diagnose(["ValueError: " + SHORT.format(16384, "200.00", "0.01")])
    assert diagnosis is not None
    assert "max_model_len" not in diagnosis.fix


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(1, 99))
def test_the_proposed_share_is_free_and_less_than_the_requested_one(free: int, more: int, percent: int) -> None:
    total, wanted = (free + more) / 100, percent / 100
    requested = total * wanted
    if requested <= free / 100:
        return
    line = f"ValueError: Free memory on device cuda:0 ({free / 100}/{total} GiB) on startup is less than desired GPU memory utilization ({wanted}, {requested:.2f} GiB)."
    diagnosis = diagnose([line])
    assert diagnosis is not None
    proposed = re.search(r"gpu_memory_utilization = ([\d.]+)", diagnosis.fix)
    if proposed:
        assert float(proposed[1]) * total <= free / 100 + 1e-6
        assert float(proposed[1]) <= wanted
    else:
        assert free / 100 / total < 0.1


@given(st.integers(2, 256), st.integers(2, 64))
def test_the_sizes_that_are_proposed_divide(heads: int, size: int) -> None:
    diagnosis = diagnose(
        [f"ValueError: Total number of attention heads ({heads}) must be divisible by tensor parallel size ({size})."]
    )
    assert diagnosis is not None
    sizes = [int(n) for n in diagnosis.fix.rpartition(": ")[2].split(", ")]
    assert sizes[0] == 1
    assert all(heads % n == 0 for n in sizes)


# exit codes

DEAD = "(APIServer pid=1) ERROR 11-24 13:36:03 [async_llm.py:906] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."


def test_an_engine_that_complained_before_it_died_was_not_killed_from_outside() -> None:
    assert diagnose([*NOISE, CORE + "RuntimeError: something that nobody has seen before", DEAD]) is None
    diagnosis = diagnose([*NOISE, DEAD])
    assert diagnosis is not None
    assert (diagnosis.pattern, diagnosis.evidence) == ("engine-died-silently", (strip_prefix(DEAD),))


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        (125, "engine-refused"),
        (126, "not-executable"),
        (127, "no-entry-point"),
        (132, "illegal-instruction"),
        (135, "bus-error"),
        (137, "killed"),
        (139, "segmentation-fault"),
        (143, "terminated"),
    ],
)
def test_the_exit_code_gives_the_cause_if_the_log_has_none(code: int, pattern: str) -> None:
    diagnosis = diagnose_end(NOISE, code)
    assert diagnosis is not None
    assert (diagnosis.pattern, diagnosis.evidence) == (pattern, ())
    assert diagnosis.fix


@pytest.mark.parametrize("code", [None, 0, 1, 2])
def test_an_exit_code_without_a_meaning_is_no_cause(code: int | None) -> None:
    assert diagnose_end(NOISE, code) is None


def test_a_cause_in_the_log_wins_over_the_exit_code() -> None:
    line = CORE + "ValueError: No available memory for the cache blocks."
    diagnosis = diagnose_end([line], 137)
    assert diagnosis is not None
    assert diagnosis.pattern == "no-cache-at-all"


def test_a_kill_for_memory_by_the_kernel_wins_over_the_log() -> None:
    diagnosis = diagnose_end([CORE + "ValueError: No available memory for the cache blocks."], 137, oom_killed=True)
    assert isinstance(diagnosis, Diagnosis)
    assert diagnosis.pattern == "memory-limit"
    assert "`memory`" in diagnosis.fix


# the last line with an error


@pytest.mark.parametrize("logger", ["(APIServer pid=53) ", CORE])
def test_the_last_error_line_passes_over_help_links(logger: str) -> None:
    log = [
        f"{logger}ValueError: `foo` is not a quantization method",
        f"{logger}    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    ]
    assert last_error_line(log) == "ValueError: `foo` is not a quantization method"


def test_the_last_error_line_passes_over_the_pointer_upwards() -> None:
    log = [
        CORE + "ValueError: No available memory for the cache blocks.",
        "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        "",
    ]
    assert last_error_line(log) == "ValueError: No available memory for the cache blocks."


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ([], ""),
        (["", "  "], ""),
        (["starting", "  still starting", ""], "still starting"),
        (["vllm: error: unrecognized arguments: --x", "bye"], "vllm: error: unrecognized arguments: --x"),
        (["KeyError: 'a'", "ValueError: b", "done"], "ValueError: b"),
        (["bash: line 1: exec: nvidia-smi: cannot execute", "exit"], "bash: line 1: exec: nvidia-smi: cannot execute"),
    ],
)
def test_the_last_error_line_is_the_last_line_with_an_error(log: list[str], line: str) -> None:
    assert last_error_line(log) == line


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("(EngineCore pid=7) ERROR 11-24 06:00:00 [core.py:1] ValueError: x", "ValueError: x"),
        ("(EngineCore_DP0 pid=268) ERROR 10-21 00:35:03 [core.py:708] ValueError: x", "ValueError: x"),
        ("(APIServer pid=1) ValueError: x", "ValueError: x"),
        ("WARNING 10-21 00:35:03 [utils.py:1] careful", "careful"),
        ("INFO 10-21 00:35:03 [v1/engine/core.py:12] hello", "hello"),
        ("ERROR without a time", "ERROR without a time"),
        ("  plain  ", "plain"),
        ("(not a prefix) text", "(not a prefix) text"),
    ],
)
def test_the_prefix_of_the_logger_is_stripped_and_nothing_else(line: str, text: str) -> None:
    assert strip_prefix(line) == text


def test_without_the_frames_of_tracebacks_a_log_keeps_its_messages() -> None:
    messages = [NOISE[1], CORE + "ValueError: x", "(APIServer pid=1) RuntimeError: y"]
    frames = [
        "Traceback (most recent call last):",
        '  File "/usr/lib/python3.12/runpy.py", line 198, in _run_module_as_main',
        "    return _run_code(code, main_globals, None,",
        "",
        CORE + '  File "/vllm/v1/engine/core.py", line 699, in run_engine_core',
    ]
    assert without_frames([messages[0], *frames, messages[1], *frames, messages[2]]) == messages
