"""Slips in the spelling of options: the verdict of the release stays, and the slip is named with what to write."""

from __future__ import annotations

import json

import pytest

from cortexctl.cli.main import run
from cortexctl.engines.vllm.catalogue.catalogue import release, releases
from cortexctl.engines.vllm.command.check_raw import check_extra_args
from cortexctl.engines.vllm.command.dashes import DASHES
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.verdict import judge


@pytest.mark.parametrize("version", releases()[::6])
def test_a_long_name_with_another_dash_is_named_with_two(version: str) -> None:
    """Of every option: one dash, three, and each dash of a word processor, in a line and in `extra_args`."""
    of = release(version)
    for at, option in enumerate(o for o in of.options.values() if not o.positional and o.entry in {None, "serve"}):
        plain = option.flag.removeprefix("--")
        other = DASHES[at % len(DASHES)]
        flags = [other + plain, f"{other}-{plain}", "---" + plain]
        flags += ["-" + plain] if "-" + plain not in of.flags() else []
        for flag in flags:
            value = f"{flag}=1"
            refused = judge(["m", value], version)
            texts = " ".join([*refused.refused, *(f.help for f in refused.at_start if f.fatal)])
            assert refused.starts is False, value
            assert option.name in RESERVED or f"write {option.flag}" in texts, (value, texts)
            (finding, *_) = [f for f in check_extra_args([value], version, {}) if f.fatal]
            assert option.name in RESERVED or finding.help == f"write {option.flag}", value


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--dtype auto"], 'two words are in one: "--dtype auto"; write two words: "--dtype", "auto"'),
        (["--dtype\tauto"], 'write two words: "--dtype", "auto"'),
        (["--max-model-len8192"], 'write "--max-model-len", "8192"'),
        (["--max-model-len:8192"], 'write "--max-model-len", "8192"'),
        (["--dtypeauto"], 'write "--dtype", "auto"'),
        (["--enforce-eager--dtype", "auto"], 'write "--enforce-eager", "--dtype"'),
        (["--Max-Model-Len", "8"], "--Max-Model-Len has capitals; write --max-model-len"),
        (["--cc", "{}"], "write -cc or --compilation-config"),
        (["--O3"], "write -O3"),
        (["-tp2"], 'write "-tp", "2"'),
        (['"--dtype"', "auto"], "--dtype has quotes that are a part of the word; remove them"),
        (["--", "--dtype", "auto"], "--dtype is not read as an option, as behind a lone `--`"),
        (["--enforce-eager", "true"], "a switch has no value: leave it out"),
        (["--gpus", "all"], "--gpus is an option of `docker run`, not of vLLM; write it before the image"),
        (["--ipc=host"], "--ipc is an option of `docker run`"),
        (["-v", "/a:/b"], "or in a stack as `volumes`"),
        (["--tp", "2"], "write -tp or --tensor-parallel-size"),
        (["--max-seq-len", "8"], "vLLM has no --max-seq-len; write --max-model-len"),
        (["--no-dtype"], "--dtype cannot be negated"),
        (["“--dtype”", "auto"], "--dtype has a quote of a word processor (“)"),
        (["\\"], "a word is blank"),
        (["--dtype\u200b", "auto"], "--dtype has an invisible character (U+200B)"),
        (["\ufeff--dtype", "auto"], "--dtype has an invisible character (U+FEFF)"),
        (["--dtype\u00a0auto"], 'write two words: "--dtype", "auto"'),
        (["--max-model-length", "8"], "did you mean --max-model-len?"),
        (["auto"], "auto belongs to no option"),
        (["--cuda-graph-sizes", "2048", "4096"], "cudagraph_capture_sizes = [2048, 4096]"),
        (["--cuda-graph-sizes=2048"], "cudagraph_capture_sizes = [2048]"),
        (["-language-model-only"], "write --language-model-only"),
        (["-gpu-memory-utilization=0.9"], "write --gpu-memory-utilization"),
    ],
)
def test_a_slip_is_named(argv: list[str], text: str) -> None:
    verdict = judge(["m", *argv], "0.23.0")
    assert verdict.verdict == "unrecognized"
    assert text in "\n".join(verdict.refused)
    assert "(since" not in "\n".join(verdict.refused), "the release has the option"
    findings = check_extra_args(argv, "0.23.0", {})
    assert text in "\n".join(f"{f.summary}; {f.help}" for f in findings)


def test_values_of_an_unknown_option_are_not_slips() -> None:
    for value in ("", " ", f"{DASHES[4]} x", "“x”", "x y", "auto"):
        assert [f.rule for f in check_extra_args(["--quux", value], "0.32.0", {})] == ["CX310"], value


def test_a_program_named_twice_is_reported_once() -> None:
    for argv in (["vllm", "serve", "vllm", "serve", "m"], ["vllm", "serve", "serve", "m"]):
        refused = judge(argv, "0.32.0").refused
        assert sum("the program is `vllm serve` already" in text for text in refused) == 1


def test_a_long_name_with_one_dash_that_is_read_as_a_short_option_does_not_start() -> None:
    """vLLM reads -quantization=fp8 as -q uantization=fp8."""
    verdict = judge(["m", "-quantization=fp8"], "0.33.0")
    assert (verdict.accepted, verdict.starts) == (True, False)
    assert verdict.at_start[0].help == "write --quantization"


@pytest.mark.parametrize(
    "word", [f"{DASHES[4]}api-key=planted", "-api-key=planted", f"{DASHES[3]}-hf-token=planted", "--api-key planted"]
)
def test_a_secret_behind_a_slip_is_refused_and_never_shown(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    findings = check_extra_args([word], "0.32.0", {})
    assert [f.rule for f in findings] == ["CX304"]
    flag = word.replace("=", " ").split(" ")[0]
    assert run(["args", "check", "--", "m", word]) == 1
    assert run(["args", "check", "--", "m", flag, "planted", "--no-such-thing"]) == 1
    assert "planted" not in repr(findings) + capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "is_misread"),
    [('["a=/p"]', True), ("'a=/p'", True), ('"a=/p"', True), ("a=/p", False), ('{"name": "a", "path": "/p"}', False)],
)
def test_brackets_and_quotes_in_a_list_belong_to_its_value(word: str, is_misread: bool) -> None:
    verdict = judge(["m", "--lora-modules", word], "0.32.0")
    assert (verdict.starts is False) == is_misread
    assert bool(check_extra_args(["--lora-modules", word], "0.32.0", {})) == is_misread


@pytest.mark.parametrize(
    ("argv", "verdict", "code", "text"),
    [
        (["m", "--config", "/x/c.yaml"], "unknown", 3, "the options in /x/c.yaml cannot be read here"),
        (["--config", "/x/c.yaml"], "unknown", 3, "the options in /x/c.yaml cannot be read here"),
        (["m", "--config", "/x/c.yaml", "--no-such-thing"], "unrecognized", 1, "no vLLM release has --no-such-thing"),
        (["m", "--config", "/x/c.json"], "value", 1, "must end in .yaml"),
        (["m", "--config", "/x/c.yaml", "--dtype", "$DTYPE"], "unknown", 3, "$DTYPE: a shell or a template fills this"),
        (["m", "--max-model-len", "${LEN:-8k}"], "unknown", 3, "${LEN:-8k}: a shell or a template fills this in"),
        (["$MODEL", "-tp", "2"], "unknown", 3, "$MODEL: a shell or a template fills this in"),
        (["m", "--max-model-len", "{{ len }}"], "unknown", 3, "a shell or a template fills this in"),
        (["m", "--max-model-len", "$LEN", "--dtype", "int9"], "choice", 1, "int9"),
        (["m", "--quantization", "int8"], "ok", 1, "refuses it at its start, after its parser"),
        (["m", "--block-size", "8"], "ok", 0, "is not a multiple of 16"),
        (["m", "--enforce-eager", "--cudagraph-capture-sizes", "1"], "ok", 0, "has no effect with enforce_eager"),
        (["m", "--dtype", "auto"], "ok", 0, "accepts it."),
    ],
)
def test_each_verdict_has_its_exit_code(
    capsys: pytest.CaptureFixture[str], argv: list[str], verdict: str, code: int, text: str
) -> None:
    assert run(["args", "check", "--vllm-version", "0.32.0", "--", *argv]) == code
    assert text in capsys.readouterr().out
    assert run(["args", "check", "--vllm-version", "0.32.0", "--format", "json", "--", *argv]) == code
    shown = json.loads(capsys.readouterr().out)
    assert shown["verdict"] == verdict
    assert shown["starts"] is {0: True, 1: False, 3: None}[code]


def test_a_refused_line_decides_the_exit_code_of_several(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for lines, code in (("m\nm --config c.yaml\n", 3), ("m --config c.yaml\nm --no-such-thing\n", 1)):
        monkeypatch.setattr("sys.stdin", lines.splitlines(keepends=True))
        assert run(["args", "check", "--stdin"]) == code
    assert "line 2: Unknown whether vLLM" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        ["HF_TOKEN=planted", "vllm", "serve", "m"],
        ["env", "X=1", "vllm", "serve", "m"],
        ["uv", "run", "vllm", "serve", "m"],
        ["nohup", "/opt/venv/bin/vllm", "serve", "m"],
        ["CUDA_VISIBLE_DEVICES=0", "python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"],
        ["python3", "-u", "-O", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"],
        ["python3", "-m", "vllm.entrypoints.cli.main", "serve", "m"],
        ["bash", "-o", "pipefail", "-c", "vllm serve m"],
    ],
)
def test_what_only_starts_the_server_is_no_part_of_its_arguments(argv: list[str]) -> None:
    assert judge(argv, "0.23.0").starts is True
    assert (
        judge([*argv, "--no-such"] if argv[0] != "bash" else [*argv[:-1], argv[-1] + " --x"], "0.23.0").starts is False
    )


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["docker", "run", "--gpus", "all", "vllm/vllm-openai", "m"], "this is a command of docker, not of vLLM"),
        (["python", "-m", "vllm.entrypoints.api_server", "--model", "m"], "does not start vLLM's server"),
        (["bash", "-c", "pip install x && vllm serve m"], "this is a command of bash"),
    ],
)
def test_the_command_of_another_program_is_named_once(argv: list[str], text: str) -> None:
    (named,) = judge(argv, "0.23.0").refused
    assert text in named


def test_a_model_with_an_option_in_its_word_does_not_start() -> None:
    verdict = judge(["m --dtype auto"], "0.23.0")
    assert verdict.starts is False
    assert "--dtype is in one word with what precedes it" in verdict.at_start[0].summary


def test_the_file_of_config_with_an_equals_sign_has_no_effect() -> None:
    verdict = judge(["m", "--config=/x.yaml"], "0.23.0")
    assert verdict.starts is True
    assert [finding.argument for finding in verdict.at_start] == ["config"]


def test_dashes_inside_a_json_value_are_no_slip() -> None:
    verdict = judge(["m", '--reasoning-config={"reasoning_end_str": "x --now"}', "--no-such"], "0.23.0")
    assert not any("one word" in text for text in verdict.refused)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--dp", "2"], "--dp has two dashes, and the short option has one; write -dp or --data-parallel-size"),
        (["--ep"], "write -ep or --enable-expert-parallel"),
        (["--sc", "{}"], "write -sc or --speculative-config"),
        (["--dtype=auto --max-model-len=8"], "--max-model-len is in one word with what precedes it"),
        (["--enforce-eager=True"], "a switch has no value: leave it out"),
        (["--max-model-len", "32,768"], "write 32768"),
        (["--gpu-memory-utilization", "0,9"], "write 0.9"),
        (["--gpu-memory-utilization", "90%"], "write 0.9"),
        (["--lora-modules", '["a=/p", "b=/q"]'], "one word for each adapter, without brackets and commas"),
        (["--lora-modules", "a=/p,b=/q"], "it is written NAME=PATH"),
        (["--allowed-origins", "*"], 'write ["*"]'),
    ],
)
def test_a_refused_value_has_what_to_write(argv: list[str], text: str) -> None:
    verdict = judge(["m", *argv], "0.23.0")
    assert verdict.verdict in {"value", "choice", "ambiguous", "explicit"}
    assert any(text in refused for refused in verdict.refused), verdict.refused


def test_a_short_option_with_two_dashes_in_extra_args_is_named() -> None:
    (finding,) = check_extra_args(["--dp", "2"], "0.23.0", {})
    assert finding.help == "write -dp or --data-parallel-size"
    assert " : " not in finding.summary
