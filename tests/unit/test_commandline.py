"""Command lines in the spellings that people use."""

from __future__ import annotations

from typing import Any

import pytest

from cortexctl.engines.vllm.command.read_command import MODULE, SERVE, CommandLine, command_line, in_our_form
from cortexctl.engines.vllm.command.shells import why_unread

API = "vllm.entrypoints.openai.api_server"


def line(*argv: str) -> CommandLine:
    parsed = command_line(["vllm", "serve", *argv])
    assert parsed is not None
    return parsed


def extra(parsed: CommandLine) -> list[str]:
    return [word for option in parsed.extra for word in option.argv]


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["vllm", "serve", "m"], SERVE),
        (["/opt/venv/bin/vllm", "serve", "m"], SERVE),
        (["python3", "-m", API, "--model", "m"], MODULE),
        (["python", "-m", API, "--model=m"], MODULE),
        (["/usr/bin/python3.12", "-u", "-m", API, "--model", "m"], MODULE),
        (["sh", "-c", "vllm serve m"], SERVE),
        (["/bin/bash", "-lc", "exec vllm serve m"], SERVE),
        (["bash", "-c", "-i", "vllm serve m"], SERVE),
        (["bash", "-l", "-c", "vllm serve m"], SERVE),
        (["bash", "-c", f" python3 -m {API} \\\n  --model m "], MODULE),
        (["sh", "-c", "vllm serve 'm'"], SERVE),
    ],
)
def test_programs(argv: list[str], program: tuple[str, ...]) -> None:
    parsed = command_line(argv)
    assert parsed is not None
    assert (parsed.program, parsed.model) == (program, "m")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["vllm"],
        ["vllm", "bench", "serve"],
        ["python3", "server.py"],
        ["python3"],
        ["tini", "--", "vllm", "serve", "m"],
        ["sh", "-c"],
        ["sh", "-c", ""],
        ["sh", "-c", "vllm serve $MODEL"],
        ["sh", "-c", "vllm serve `cat m`"],
        ["sh", "-c", "sleep 1; vllm serve m"],
        ["sh", "-c", "vllm serve m > log"],
        ["sh", "-c", "vllm serve m &"],
        ["sh", "-c", "vllm serve m\necho"],
        ["sh", "-c", "vllm serve m # the model"],
        ["sh", "-c", "vllm serve 'm"],
        ["sh", "-c", "vllm serve m", "more"],
        ["sh", "start.sh"],
        ["bash", "-i", "vllm serve m"],
        ["nginx", "-g", "daemon off;"],
    ],
)
def test_what_cannot_be_read(argv: list[str]) -> None:
    assert command_line(argv) is None


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (
            ["sh", "-c", "vllm serve $MODEL --port ${PORT:-8000}"],
            "with variables ($MODEL, $PORT), which only that shell",
        ),
        (["bash", "-c", "-i", "vllm serve ${M}"], "is a script for bash with variables ($M)"),
        (["sh", "-c", "sleep 1; vllm serve m"], "is a script for sh that does more than start vLLM"),
        (
            ["/start.sh"],
            "its command (/start.sh …) is not `vllm serve` or vLLM's api_server and may start it from a script",
        ),
        (["nginx", "-g", "planted"], "its command (nginx …) is not `vllm serve` or vLLM's api_server"),
        ([], "its command (nothing …) is not"),
    ],
)
def test_why_a_command_is_not_read(argv: list[str], why: str) -> None:
    assert command_line(argv) is None
    assert why in why_unread(argv)
    assert "planted" not in why_unread(argv)


@pytest.mark.parametrize(
    ("argv", "model"),
    [
        (["org/m"], "org/m"),
        (["--model", "org/m"], "org/m"),
        (["--model=org/m"], "org/m"),
        (["org/first", "--model", "org/m"], "org/m"),
        (["--enforce-eager", "org/m"], "org/m"),
        (["--enforce-eager", "true", "org/m"], "org/m"),
        (["--max-model-len", "10", "org/m"], "org/m"),
        (["--port", "8000", "org/m", "--dtype", "auto"], "org/m"),
        (["-tp", "2", "org/m"], "org/m"),
        (["--middleware", "a.B", "org/m"], "org/m"),
        (["--max-model-len", "10"], ""),
        (["--served-model-name", "a", "org/m"], ""),
    ],
)
def test_the_model(argv: list[str], model: str) -> None:
    assert line(*argv).model == model


@pytest.mark.parametrize(
    ("argv", "args"),
    [
        (["--max-model-len", "8192"], {"max_model_len": 8192}),
        (["--max_model_len=8192"], {"max_model_len": 8192}),
        (["--max-model-len", "8k"], {"max_model_len": 8000}),
        (["--max-model-len=8K"], {"max_model_len": 8192}),
        (["--max-model-len", "auto"], {"max_model_len": "auto"}),
        (["--max-model-len", "1", "--max-model-len", "2"], {"max_model_len": 2}),
        (["-tp", "2", "-pp=3"], {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}),
        (["--gpu-memory-utilization", "0.90"], {"gpu_memory_utilization": 0.9}),
        (["--cpu-offload-gb", "4"], {"cpu_offload_gb": 4.0}),
        (["--enforce-eager"], {"enforce_eager": True}),
        (["--enforce-eager", "False"], {"enforce_eager": False}),
        (["--enable-prefix-caching=true"], {"enable_prefix_caching": True}),
        (["--no-enable-prefix-caching"], {"enable_prefix_caching": False}),
        (["--dtype", "bfloat16"], {"dtype": "bfloat16"}),
        (["--lora-modules", "a=/a", "b=/b"], {"lora_modules": ["a=/a", "b=/b"]}),
        (["--lora-modules", "a=/a", "--lora-modules", "b=/b"], {"lora_modules": ["b=/b"]}),
        (["--middleware", "a.B", "--middleware=c.D"], {"middleware": ["a.B", "c.D"]}),
        (["--no-enforce-eager", "--enforce-eager"], {"enforce_eager": True}),
        (["--cuda-graph-sizes", "1", "2"], {"cuda_graph_sizes": [1, 2]}),
        (["--hf-overrides", '{"b": 1,  "a": [null]}'], {"hf_overrides": {"b": 1, "a": [None]}}),
        (["--compilation-config.level", "3"], {"compilation_config": {"level": 3}}),
        (["-cc.a.b=x", "-cc.a.c=true"], {"compilation_config": {"a": {"b": "x", "c": True}}}),
        (["--hf-overrides", '{"a": 1}', "--hf-overrides.b=2"], {"hf_overrides": {"a": 1, "b": 2}}),
        (["--seed", "-1"], {"seed": -1}),
    ],
)
def test_arguments_get_their_types(argv: list[str], args: dict[str, Any]) -> None:
    parsed = line("m", *argv)
    assert parsed.args == args
    assert (extra(parsed), parsed.unread, parsed.reserved) == ([], {}, {})
    assert line(*in_our_form(parsed, "0.10.2")).args == args


@pytest.mark.parametrize(
    "argv",
    [
        ["--max-model-len", "many"],
        ["--max-model-len"],
        ["--gpu-memory-utilization", "nan"],
        ["--compilation-config", "{not json"],
        ["--compilation-config", "[1]"],
        ["--hf-overrides.a+", "1"],
        ["--hf-overrides", '{"a": 1}', "--hf-overrides.a.b", "1"],
        ["--enforce-eager=maybe"],
        ["--cuda-graph-sizes", "1", "two"],
    ],
)
def test_what_is_of_another_type_is_kept_as_it_was_written(argv: list[str]) -> None:
    parsed = line("m", *argv)
    assert parsed.args == {}
    assert (len(parsed.unread), parsed.model) == (1, "m")
    assert line(*in_our_form(parsed, "0.32.0")).args == {}


def test_what_the_stack_sets_by_itself_stands_apart() -> None:
    argv = ["--host", "127.0.0.1", "--port=9000", "--api-key", "a", "b", "--revision", "r"]
    parsed = line("m", *argv, "--shutdown-timeout", "5", "--hf-token", "t", "--download-dir", "/d")
    assert parsed.reserved == {
        "host": ("127.0.0.1",),
        "port": ("9000",),
        "api_key": ("a", "b"),
        "revision": ("r",),
        "shutdown_timeout": ("5",),
        "hf_token": ("t",),
        "download_dir": ("/d",),
    }
    assert (parsed.port, parsed.args, extra(parsed)) == (9000, {}, [])


def test_options_without_a_name_in_a_stack_stay_in_extra() -> None:
    parsed = line("m", "--foo", "a", "b", "-O3", "--bar=x", "--foo", "c", "--no-such", "-1")
    assert extra(parsed) == ["--foo", "a", "b", "-O3", "--bar=x", "--foo", "c", "--no-such", "-1"]


def test_a_word_too_many_is_an_option_without_a_name() -> None:
    assert [o.name for o in line("m", "n").extra] == [""]


def test_the_served_name_is_the_model_by_default() -> None:
    assert line("m").served_names == ("m",)
    assert line("m", "--served-model-name", "a", "b").served_names == ("a", "b")
    assert line("--max-model-len", "1").served_names == ()


def test_nothing_that_may_be_a_secret_is_in_its_representation() -> None:
    parsed = line(
        "m", "--api-key", "planted", "--foo", "planted", "--hf-overrides", '{"a": "planted"}', "--seed", "planted"
    )
    assert "planted" not in repr(parsed)


def test_equal_settings_have_one_normal_form() -> None:
    one = line("m", "--foo", "x", "--max-model-len", "8k", "--gpu-memory-utilization=.9", "--port", "8000")
    other = line("--gpu_memory_utilization", "0.90", "--max-model-len=8000", "--model", "m", "--foo", "x")
    assert in_our_form(one, "0.32.0") == in_our_form(other, "0.32.0")
    assert in_our_form(one, "0.10.0")[:2] == ["--model", "m"]
