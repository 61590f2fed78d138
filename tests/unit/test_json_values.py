"""JSON as text where a table is expected: it is read as the table, or refused with the table to write. It is never
encoded twice.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from cortexctl.engines.vllm.catalogue.catalogue import release, releases
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.check_raw import check_extra_args
from cortexctl.engines.vllm.command.json_values import LISTS
from cortexctl.engines.vllm.command.parse import parse
from cortexctl.engines.vllm.command.read_command import command_line
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.values import argv_of
from cortexctl.engines.vllm.command.verdict import judge

_KINDS = {"json", "json_or_text", "config", "config_or_level", "literal_or_level", "counts", "counts_or_json"}


def of_tables(version: str) -> list[Option]:
    """Every option of a release whose value may be a table or a list of JSON."""
    options = release(version).options.values()
    return [o for o in options if o.kind in _KINDS and o.name not in RESERVED and not o.positional]


def texts(option: Option) -> list[str]:
    value: Any = ["*"] if option.name in LISTS else {"a": 1}
    once = json.dumps(value)
    return [once, f" {once}\n", json.dumps(once), json.dumps(json.dumps(once)), repr(value), repr(once)]


@pytest.mark.parametrize("version", releases())
def test_text_is_read_as_the_table_or_refused(version: str) -> None:
    """In `args`, for each option of each release, and also if the release is not known."""
    of = release(version)
    for option in of_tables(version):
        for text in texts(option):
            fatal = [f for f in check_args({option.name: text}, version) if f.fatal]
            if fatal:
                continue
            read = parse(["m", *argv_of(option, text)], of)
            assert isinstance(read.options[option.name], dict | list) or option.name == "pt_load_map_location", (
                option.name,
                text,
            )
        table = json.loads(texts(option)[0])
        once = argv_of(option, texts(option)[0])[-1]
        assert option.kind != "json" or json.loads(once) == table, "text is never encoded a second time"


@pytest.mark.parametrize("version", releases())
def test_json_inside_json_on_a_command_line_is_an_error(version: str) -> None:
    """In a whole line, and in `extra_args`."""
    for option in of_tables(version):
        for text in (json.dumps(texts(option)[0]), json.dumps(json.dumps(texts(option)[0]))):
            if option.name == "pt_load_map_location":
                continue
            assert judge(["m", option.flag, text], version).starts is False, (option.name, text)
            assert [f for f in check_extra_args([option.flag, text], version, {}) if f.fatal], (option.name, text)
            assert [f for f in check_extra_args([f"{option.flag}={text}"], version, {}) if f.fatal]


@pytest.mark.parametrize("version", releases())
def test_an_import_reads_the_table_of_a_command_line(version: str) -> None:
    """And keeps JSON inside JSON as it is written, which the check of its block refuses."""
    for option in of_tables(version):
        once = texts(option)[0]
        line = command_line(["vllm", "serve", "m", option.flag, once])
        assert line is not None
        assert not isinstance(line.args.get(option.name), str) or option.kind not in {"json", "config"}
        twice = command_line(["vllm", "serve", "m", option.flag, json.dumps(once)])
        assert twice is not None
        assert option.name not in twice.args or option.name == "pt_load_map_location" or option.kind == "json_or_text"


@pytest.mark.parametrize(
    ("name", "text", "fix"),
    [
        ("speculative_config", '{"method":"eagle3"}', 'speculative_config = { method = "eagle3" }'),
        ("speculative_config", "{'method': 'eagle3'}", 'speculative_config = { method = "eagle3" }'),
        ("compilation_config", '{"mode": 3}', "compilation_config = { mode = 3 }"),
        ("limit_mm_per_prompt", "image=1,video=0", "limit_mm_per_prompt = { image = 1, video = 0 }"),
        ("allowed_origins", '["*"]', 'allowed_origins = ["*"]'),
        ("allowed_origins", "*", 'allowed_origins = ["*"]'),
        ("allowed_methods", "GET,POST", 'allowed_methods = ["GET", "POST"]'),
        ("speculative_config", '{"method": "eagle3"', "its last bracket is missing"),
        ("hf_overrides", json.dumps('{"a": 1}'), "hf_overrides = { a = 1 }"),
        ("speculative_config", '{"api_key": "Xy12345"}', "[models.NAME.args.speculative_config]"),
        ("speculative_config", '{"a": null}', "[models.NAME.args.speculative_config]"),
        ("speculative_config", json.dumps({"a": "x" * 400}), "[models.NAME.args.speculative_config]"),
        ("speculative_config", "{“method”: 1}", "typographic quotes (“)"),
        ("speculative_config", "{method: eagle3}", "single quotes"),
        ("cudagraph_capture_sizes", "[1, 2, 4]", "cudagraph_capture_sizes = [1, 2, 4]"),
        ("lora_modules", '["a=/p"]', 'lora_modules = ["a=/p"]'),
    ],
)
def test_the_help_is_the_table_to_write(name: str, text: str, fix: str) -> None:
    (finding,) = check_args({name: text}, "0.33.0")
    assert (finding.rule, finding.fatal) == ("CX104", True)
    assert fix in finding.help
    assert "Xy12345" not in finding.help + finding.summary


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("image=1", 'write {"image": 1}'),
        ("{“image”: 1}", 'typographic quotes (“), as word processors and web pages write them: write "'),
        ("{'image': 1}", "JSON has double quotes, not single ones"),
        ("{image: 1}", "put the whole value in single quotes"),
        ('{"image": True}', "JSON writes true, false and null"),
        ('{"image": 1,}', "a comma after its last item"),
        ('{"image": 1', "its last bracket is missing"),
    ],
)
def test_a_usual_slip_in_json_is_named(text: str, hint: str) -> None:
    (refused,) = judge(["m", "--limit-mm-per-prompt", text], "0.33.0").refused
    assert "it is not JSON" in refused
    assert hint in refused
