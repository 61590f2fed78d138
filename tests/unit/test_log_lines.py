"""The lines of a log: what precedes a message, records with a message in them, the insides of tracebacks."""

from __future__ import annotations

import json

import pytest

from cortexctl.engines.log_bounds import LONGEST_LINE, MOST_LINES
from cortexctl.engines.vllm.diagnosis.diagnose import diagnose
from cortexctl.engines.vllm.diagnosis.lines import last_error_line
from cortexctl.engines.vllm.log.line import Line, read_line, read_lines
from cortexctl.engines.vllm.log.tracebacks import frames
from tests.diagnosis_cases import strip_prefix
from tests.log_writers import PREFIXES, WARNERS

ERROR = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."


def test_what_precedes_a_message_is_its_level_its_process_and_its_container() -> None:
    (line,) = read_line(
        f"chat-1  | (APIServer pid=1) (EngineCore_DP0 pid=68) ERROR 02-06 16:34:06 [core.py:936] {ERROR}"
    )
    assert line == Line(ERROR, "error", "EngineCore_DP0", "chat-1")


def test_the_innermost_level_counts() -> None:
    outer = json.dumps({"level": "error", "msg": "(EngineCore pid=7) WARNING 05-01 18:49:34 [x.py:1] careful"})
    assert [line.level for line in read_line(outer)] == ["warning"]


@pytest.mark.parametrize("severity", ["INFO", "6", "info", 6])
def test_a_level_that_a_collector_derives_from_the_stream_is_none(severity: object) -> None:
    (line,) = read_line(json.dumps({"severity": severity, "message": ERROR}))
    assert line == Line(ERROR)


@pytest.mark.parametrize(
    "text",
    [
        "Error while deserializing header: header too large",
        "vllm serve: error: unrecognized arguments: --x",
        "warnings are off",
        "(not a prefix) text",
        "org/name is not a local folder and is not a valid model identifier",
        "/usr/local/bin/vllm: No such file or directory",
        "[Errno 28] No space left on device",
        '{"error": {"message": "no record"}}',
        '{"message": 7}',
        "{not JSON}",
        "key=value and more",
        "12 34 56",
        "torch.cuda.OutOfMemoryError: CUDA out of memory.",
        "GPU 0 has a total capacity of 94.97 GiB",
    ],
)
@pytest.mark.parametrize("prefix", ["", *PREFIXES[::3]])
def test_nothing_of_a_message_is_removed(text: str, prefix: str) -> None:
    assert strip_prefix(prefix + text) == text


def test_a_record_with_several_lines_is_several_messages() -> None:
    record = {
        "levelname": "ERROR",
        "message": "it failed",
        "exc_info": f"Traceback (most recent call last):\n  x\n{ERROR}",
    }
    assert [line.text for line in read_line(json.dumps(record))] == [
        "it failed",
        "Traceback (most recent call last):",
        "  x",
        ERROR,
    ]


def test_records_within_records_are_read_to_a_bound() -> None:
    text = ERROR
    for _ in range(3):
        text = json.dumps({"log": text})
    assert read_line(text)[0].text == ERROR
    for _ in range(10):
        text = json.dumps({"log": text})
    (line,) = read_line(text)
    assert line.text != ERROR


@pytest.mark.parametrize(
    "record",
    [
        '{"log": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"log": "' + "x" * 80_000 + '"}',
        '{"log": ' + "9" * 6_000 + "}",
        "time=x msg=" + '"\\' * 8_000,
    ],
    ids=["deep", "long", "a number", "escapes"],
)
def test_a_record_of_any_shape_is_at_worst_a_text(record: str) -> None:
    (line,) = read_line(record)
    assert 0 < len(line.text) <= LONGEST_LINE


def test_a_record_with_many_lines_does_not_multiply_a_log() -> None:
    record = json.dumps({"log": "x\n" * 5_000})
    assert len(read_lines([record] * 20)) == MOST_LINES


def test_letters_that_are_escaped_without_need_stay_escaped() -> None:
    """Otherwise a secret could pass the filter for secrets in its escaped form, and be shown in its plain form."""
    escaped = '{"log": "token \\u0068f_abcdefghijklmnop"}'
    assert read_line(escaped)[0].text == escaped
    assert read_line('{"log": "\\u003cunk\\u003e \\u2588"}')[0].text == "<unk> \u2588"


def test_a_prefix_that_no_list_has_is_known_from_vllms_own_headers() -> None:
    """As stern writes it: pod and container, without anything around them."""
    log = [
        "chat-7d9f5 vllm (APIServer pid=1) INFO 05-01 18:49:30 [api_server.py:1] vLLM API server version 0.23.0",
        "chat-7d9f5 vllm (APIServer pid=1) INFO 05-01 18:49:31 [model.py:2] Using max model len 4096",
        "chat-7d9f5 vllm pydantic_core._pydantic_core.ValidationError: 1 validation error for CompilationConfig",
        "chat-7d9f5 vllm cudagraph_mode",
        "chat-7d9f5 vllm   Input should be 'NONE', 'PIECEWISE' or 'FULL' [type=enum, input_value='X', input_type=str]",
    ]
    diagnosis = diagnose(log)
    assert diagnosis is not None
    assert diagnosis.pattern == "bad-field"
    assert diagnosis.evidence[1] == "cudagraph_mode"


# tracebacks

SOURCE = 'raise RuntimeError("No CUDA GPUs are available")'


@pytest.mark.parametrize("indent", ["    ", ""])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "(Worker pid=41) (Worker_TP0 pid=41) ERROR 03-13 12:01:42 [multiproc_executor.py:932] ",
        "2026-05-01 20:49:35.616 | (EngineCore pid=228) ERROR 05-01 18:49:35 [core.py:1136] ",
        "  | ",
    ],
)
def test_the_source_in_a_traceback_is_no_evidence_also_without_its_indentation(prefix: str, indent: str) -> None:
    place = 'File "/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/core.py", line 1110, in run_engine_core'
    log = [
        f"{prefix}Traceback (most recent call last):",
        f"{prefix}{indent[2:]}{place}",
        f"{prefix}{indent}{SOURCE}",
        f"{prefix}{indent}     ^^^^^^^^^^^^",
        f"{prefix}KeyError: 'never seen'",
    ]
    assert diagnose(log) is None
    assert last_error_line(log) == "KeyError: 'never seen'"


def test_any_source_may_follow_the_place_of_a_frame_and_an_error_without_source_is_none() -> None:
    place = Line('File "<frozen runpy>", line 198, in _run_module_as_main')
    assert frames([place, Line('check("No CUDA GPUs are available")')]) == [True, True]
    assert frames([place, Line("RuntimeError: No CUDA GPUs are available")]) == [True, False]
    other = Line('check("x")', process="EngineCore")
    assert frames([place, other]) == [True, False]


def test_the_box_of_a_rich_traceback_is_no_evidence() -> None:
    log = ["╭─────── Traceback (most recent call last) ───────╮", f"│ ❱ 12 │   {SOURCE} │", "╰────╯", "KeyError: 'x'"]
    assert diagnose(log) is None
    assert last_error_line(log) == "KeyError: 'x'"


# warnings


@pytest.mark.parametrize("warner", WARNERS, ids=lambda warner: warner("x"))
def test_a_warning_of_any_logger_is_neither_evidence_nor_the_last_error(warner: object) -> None:
    assert callable(warner)
    line = warner("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert diagnose([line]) is None
    assert last_error_line(["KeyError: 'first'", line]) == "KeyError: 'first'"


@pytest.mark.parametrize(
    "warning",
    [
        "flashinfer.jit: WARNING: {}",
        "[TRT-LLM] [W] {}",
        "[W] {}",
        "[aiter] WARNING: {}",
        "[aiter] {}",
        "(Worker_TP0 pid=3) [W] {}",
        "Note: {}",
        "  warnings.warn({})",
        "\u26a0\ufe0f {}",
    ],
)
def test_a_warning_of_further_libraries_is_no_evidence(warning: str) -> None:
    text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert diagnose([warning.format(text)]) is None


@pytest.mark.parametrize(
    "record",
    [
        {"_source": {"message": ERROR}},
        {"data": ERROR},
        {"container": "vllm", "output": ERROR},
        {"body": {"stringValue": ERROR}, "severityText": "INFO"},
        {"Message": ERROR, "Level": "Error"},
        {"Log": ERROR},
    ],
)
def test_the_message_of_further_collectors_is_read(record: dict[str, object]) -> None:
    diagnosis = diagnose([json.dumps(record)])
    assert diagnosis is not None
    assert diagnosis.evidence == (ERROR,)


def test_a_line_that_djl_serving_writes_at_info_is_read_as_without_it() -> None:
    """As in vllm-project/vllm #32765."""
    for prefix in ("INFO  PyProcess W-162-chat-film-stdout: ", "[INFO ] PyProcess - W-162-chat-stderr: [1,0]<stdout>:"):
        assert read_line(prefix + ERROR) == [Line(ERROR)]


def test_a_bar_before_an_error_hides_nothing() -> None:
    bar = "Capturing CUDA graphs:  50%|#####     | 1/2 [00:01<00:01,  1.02s/it]"
    diagnosis = diagnose([f"{bar}(EngineCore pid=7) ERROR 05-01 18:49:35 [core.py:1136] {ERROR}"])
    assert diagnosis is not None
    assert diagnosis.evidence == (ERROR,)


# pointers

POINTERS = [
    "(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}",
    "(EngineCore_DP0 pid=7) ERROR 10-06 18:54:31 [core.py:396] Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.",
    "RuntimeError: Engine process failed to start. See stack trace for the root cause.",
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.",
    "(EngineCore pid=9) ERROR 05-12 10:00:00 [core.py:1136] EngineCore failed to start.",
    "(Worker_TP1 pid=530) ERROR 10-06 18:54:30 [multiproc_executor.py:597] WorkerProc hit an exception.",
    "(EngineCore_DP0 pid=7) ERROR 10-06 18:54:31 [multiproc_executor.py:230] Worker proc VllmWorker-1 died unexpectedly, shutting down executor.",
    "Process EngineCore_DP0:",
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
    "    For further information visit https://errors.pydantic.dev/2.12/v/value_error",
    "RuntimeError: Worker failed with error 'x', please check the stack trace above for the root cause",
    "traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html",
]


@pytest.mark.parametrize("pointer", POINTERS)
def test_a_pointer_is_never_the_last_line_shown(pointer: str) -> None:
    error = "(Worker_TP1 pid=530) ERROR 10-06 18:54:30 [multiproc_executor.py:597] WeirdKernelError: no such tactic 17"
    assert last_error_line([error, pointer]) == "WeirdKernelError: no such tactic 17"
    assert last_error_line(["starting", pointer]) == "starting"
    assert last_error_line([pointer]) == ""


def test_all_pointers_together_show_the_error() -> None:
    assert last_error_line(["WeirdKernelError: no such tactic 17", *POINTERS]) == "WeirdKernelError: no such tactic 17"
