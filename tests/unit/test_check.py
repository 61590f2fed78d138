"""Typed arguments of every release: the release reads the rendered argv back to the same values."""

from __future__ import annotations

import json
import lzma
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexctl.engines.vllm.architectures import check_architectures
from cortexctl.engines.vllm.catalogue.catalogue import Release, release, releases
from cortexctl.engines.vllm.catalogue.changes import between
from cortexctl.engines.vllm.catalogue.facts import Option
from cortexctl.engines.vllm.checkpoint_formats import Checkpoint, check_checkpoint
from cortexctl.engines.vllm.command.argv import arguments, entrypoint
from cortexctl.engines.vllm.command.check import check_args
from cortexctl.engines.vllm.command.effective import canonical_args, effective
from cortexctl.engines.vllm.command.json_values import LISTS
from cortexctl.engines.vllm.command.parse import parse
from cortexctl.engines.vllm.command.reserved import RESERVED
from cortexctl.engines.vllm.command.values import argv_of, canonical, refused, takes_several, wrong_form
from cortexctl.engines.vllm.command.verdict import judge
from cortexctl.instance.spec import Spec
from cortexctl.plan.diff import diff
from tests.forks import ran
from tests.reading import model_text, read, stack_text
from tests.specs import new_spec
from tools.vllm_catalogue.behaviour import BEHAVIOUR, FILES

Run = Callable[..., subprocess.CompletedProcess[str]]

_EXAMPLES: dict[str, list[Any]] = {
    "text": ["abc", "a b", "-x", "ü=1"],
    "int": [7, 0, -1],
    "float": [0.5, 1.0, 1e-07],
    "size": [4096, "8k", "1K"],
    "size_or_auto": [4096, "8k", "auto"],
    "pair": [True, False],
    "switch": [True],
    "word": [True, False],
    "truthy": [True],
    "json": [{"a": [1, None]}],
    "json_or_text": [{"a": {"b": "c d"}}, '{"a": 1}'],
    "counts": [{"image": 2, "video": 1}, "image=2"],
    "colon_pairs": [{"a": "b"}],
    "items": [[0, 1], "0,1"],
    "lower": ["abc"],
    "text_or_none": ["abc"],
    "lora": ["a=/b"],
    "adapters": ["a=/b"],
}


def examples(option: Option) -> list[Any]:
    """Values of the right form. A table is empty, because keys have their own tests."""
    if option.name in LISTS:
        single = [["a", "b"], []]
    elif option.choices:
        single = [c for c in option.choices if c not in (None, "None")]
    else:
        single = _EXAMPLES.get(option.kind, _EXAMPLES["counts"] if option.kind == "counts_or_json" else [{}])
    if not takes_several(option):
        return single
    single = [s for s in single if not str(s).startswith("-")]
    return [single[:1] * option.nargs] if isinstance(option.nargs, int) else [single[:1], single[:2]]


def settable(of: Release) -> list[Option]:
    return [
        o for o in of.options.values() if not o.positional and o.name not in RESERVED and o.entry in {None, of.entry}
    ]


@pytest.mark.parametrize("version", releases())
def test_every_option_of_every_release_reads_back_as_it_was_rendered(version: str) -> None:
    of = release(version)
    seen = 0
    for option in settable(of):
        for value in examples(option):
            assert wrong_form(option, value) == "", (option.name, value)
            assert list(refused(option, value, of)) == [], (option.name, value)
            want = canonical(option, value, of)
            parsed = parse([*(["m"] if of.entry == "serve" else []), *argv_of(option, want)], of, of.entry)
            assert parsed.accepted, (option.name, value, parsed)
            assert canonical_args(parsed.options, of) == {option.name: want}, (option.name, value)
            seen += 1
    assert seen > 100


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_the_releases_parser_accepts_what_passes_the_checks(data: st.DataObject) -> None:
    """Any set of arguments without a fatal finding gives argv that its release reads to equal values."""
    of = release(data.draw(st.sampled_from(releases())))
    chosen = data.draw(st.lists(st.sampled_from(settable(of)), max_size=8, unique_by=lambda o: o.name))
    args = {o.name: data.draw(st.sampled_from(examples(o))) for o in chosen}
    if any(f.fatal for f in check_args(args, of.version)):
        return
    spec = new_spec("i", "m", ("n",), of.version, args=canonical_args(args, of))
    argv = arguments(spec.server)
    assert entrypoint(spec.server)[0] == ("vllm" if of.entry == "serve" else "python3")
    parsed = parse(argv, of, of.entry)
    assert parsed.accepted, (argv, parsed)
    assert {k: v for k, v in canonical_args(parsed.options, of).items() if k in args} == spec.server.args


def test_raw_options_and_typed_arguments_of_equal_meaning_are_no_difference() -> None:
    """In every spelling, also against a label that an older cortexctl wrote."""

    def spec(*argv: str, **args: Any) -> Spec:
        return new_spec("i", "m", ("n",), "0.32.0", args=args, extra_args=argv)

    typed = spec(
        tensor_parallel_size=2, enable_prefix_caching=False, max_model_len=8000, compilation_config={"mode": 3}
    )
    raw = spec("-tp=2", "--no-enable_prefix_caching", "--max-model-len", "8k", "-cc.mode", "3")
    assert diff(typed, raw) == diff(raw, typed) == ()
    assert effective(raw.server).args == effective(typed.server).args
    old = spec(tensor_parallel_size=2, gpu_memory_utilization=1)
    assert diff(old, spec(tensor_parallel_size=2, gpu_memory_utilization=1.0)) == ()
    (change,) = diff(typed, spec("-tp", "4", "--no-enable-prefix-caching", "--max-model-len=8K", "-cc", '{"mode":3}'))[
        1:
    ]
    assert (change.path, change.before, change.after) == ("args.tensor_parallel_size", 2, 4)


@pytest.mark.parametrize(
    ("name", "version", "wrong", "right"),
    [
        ("gpu_memory_utilization", "0.9.2", 1.5, 1.0),
        ("gpu_memory_utilization", "0.9.2", -0.1, 0.9),
        ("gpu_memory_utilization", "0.32.0", 1.5, 1.0),
        ("sse_keep_alive_interval", "0.32.0", -1, 0),
    ],
)
def test_a_number_that_start_up_refuses_is_found_whether_the_release_declares_its_bounds(
    name: str, version: str, wrong: float, right: float
) -> None:
    (finding,) = check_args({name: wrong}, version)
    assert (finding.rule, finding.fatal) == ("CX302", True)
    assert check_args({name: right}, version) == []


def test_a_verdict_keeps_the_parser_and_the_start_apart() -> None:
    assert judge(["vllm", "serve", "m", "--swap-space", "4"], "0.18.0").verdict == "unrecognized"
    taken = judge(["m", "--enable-auto-tool-choice"], "0.32.0")
    assert (taken.verdict, [f.rule for f in taken.at_start]) == ("ok", ["CX305"])
    assert "required" in judge(["--max-model-len", "1"], "0.6.0").refused[0]
    assert judge(["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"], "0.9.2").accepted
    assert judge(["/opt/venv/bin/vllm", "serve", "m"], "0.32.0").values == {"model_tag": "m"}
    shell = judge(["sh", "-c", "exec vllm serve m --max-model-len 8 --port 8000"], "0.32.0")
    assert shell.values == {"max_model_len": 8, "model_tag": "m"}
    assert judge(["serve", "m"], "0.32.0").values == {"model_tag": "m"}


@pytest.mark.parametrize(
    ("name", "version", "fatal", "summary"),
    [
        ("GptOssForCausalLM", "0.10.0", True, "needs vLLM 0.10.1 or later"),
        ("GptOssForCausalLM", "0.10.1", None, ""),
        ("MllamaForConditionalGeneration", "0.11.0", True, "last in 0.10.2"),
        ("NobodyKnowsThisForCausalLM", "0.32.0", False, "no vLLM release supports"),
        ("NobodyKnowsThisForCausalLM", "0.7.1", True, "no vLLM release supports"),
        ("EagleLlamaForCausalLM", "0.32.0", True, "draft model"),
    ],
)
def test_an_architecture_against_a_release(name: str, version: str, fatal: bool | None, summary: str) -> None:
    findings = list(check_architectures([name], version))
    assert [f.fatal for f in findings] == ([] if fatal is None else [fatal])
    assert all(summary in f.summary for f in findings)


def test_the_architecture_of_a_readable_folder_is_checked(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    path = tmp_path / "stack.toml"
    path.write_text(stack_text(model_text(image='"image:v0.10.0"'), hosts='[hosts.here]\nmodels_dir = "models"\n'))
    (folder / "model.safetensors").touch()
    for text, rules in [
        ('{"architectures": ["GptOssForCausalLM"]}', ["CX311"]),
        ('{"architectures": ["LlamaForCausalLM"]}', []),
        ("{", []),
        ('{"architectures": 7}', []),
        ("[]", []),
    ]:
        (folder / "config.json").write_text(text)
        assert [d.rule for d in read(path)[1]] == rules


@pytest.mark.parametrize(
    ("checkpoint", "release", "rules", "expected"),
    [
        (Checkpoint(suffixes=frozenset({"gguf", "md"})), "0.23.0", ["CX315"], "name one file"),
        (Checkpoint(suffixes=frozenset({"gguf"})), "0.24.0", ["CX315"], "serve it with llama.cpp"),
        (Checkpoint(suffixes=frozenset({"gguf"})), None, ["CX315"], "name one file"),
        (Checkpoint(("LlamaForCausalLM",), suffixes=frozenset({"json"})), "0.32.0", ["CX315"], "fetch the weights"),
        (Checkpoint(("LlamaForCausalLM",), "mxfp4", suffixes=frozenset({"safetensors"})), "0.10.0", ["CX315"], "pin v0.10.1"),
        (Checkpoint(("LlamaForCausalLM",), "bitsandbytes", suffixes=frozenset({"bin"})), "0.28.0", ["CX315"], "pin v0.27.1"),
        (Checkpoint(("LlamaForCausalLM",), "compressed-tensors", suffixes=frozenset({"bin"})), "0.32.0", [], ""),
        (Checkpoint(("LlamaForCausalLM",), "of-a-plugin", suffixes=frozenset({"bin"})), "0.32.0", [], ""),
        (Checkpoint(("Own",), has_own_code=True, suffixes=frozenset({"bin"})), "0.32.0", ["CX311"], "trust_remote_code"),
        (Checkpoint(), "0.32.0", [], ""),
    ],
)  # fmt: skip
def test_what_a_checkpoint_needs(checkpoint: Checkpoint, release: str | None, rules: list[str], expected: str) -> None:
    findings = list(check_checkpoint(checkpoint, release))
    assert [f.rule for f in findings] == rules
    assert all(expected in f.help for f in findings)


def test_the_official_cuda_image_needs_a_gpu(tmp_path: Path) -> None:
    path = tmp_path / "stack.toml"
    for image, rules in [
        ("vllm/vllm-openai:v0.32.0", ["CX315"]),
        ("vllm/vllm-openai-cpu:v0.32.0", []),
        ("mine/vllm:v0.32.0", ["CX205"]),
    ]:
        path.write_text(stack_text(model_text(image=f'"{image}"', gpus='"none"')))
        assert [d.rule for d in read(path)[1]] == rules


def test_what_changes_between_two_releases() -> None:
    changes = between("0.17.1", "0.18.0")
    assert "swap_space" in dict(changes.gone)
    assert "has no successor" in dict(changes.gone)["swap_space"]
    assert between("0.32.0", "0.32.0") == between("0.32.0", "0.32.0")
    assert (between("0.32.0", "0.32.0").gone, between("0.32.0", "0.32.0").changed) == ((), ())


def behaviours() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(release, name of the list in tools/vllm_catalogue/behaviour.py, the outcome of its parser)."""
    packed = Path(__file__).parent.parent / "cases" / "catalogue" / "records.json.xz"
    for record in json.loads(lzma.decompress(packed.read_bytes()))["releases"]:
        for name, outcome in record["behaviour"].items():
            yield record["version"], name, outcome


def test_a_config_file_is_read_as_every_release_reads_it() -> None:
    files = {name: yaml.safe_load(text) for name, text in FILES.items()}
    seen = 0
    for version, name, expected in behaviours():
        if not name.startswith("file"):
            continue
        seen += 1
        judged = judge(BEHAVIOUR[name], version, files)
        assert judged.accepted == (expected["verdict"] == "ok"), (version, name, expected, judged)
        if judged.accepted:
            mine = {k: v for k, v in judged.values.items() if k != "config"}
            assert mine == expected["values"], (version, name)
    assert seen > 700


def test_a_config_file_for_a_check(run: Run, tmp_path: Path) -> None:
    (tmp_path / "serve.yaml").write_text("max-model-len: 8k\nno-such-thing: 1\n")
    refused = run("args", "check", "--format", "json", "--", "m", "--config", "serve.yaml", "-tp", "2")
    verdict = json.loads(refused.stdout)
    assert (refused.returncode, verdict["verdict"], verdict["accepted"]) == (1, "unrecognized", False)
    assert verdict["values"] == {"max_model_len": 8000, "tensor_parallel_size": 2, "model_tag": "m"}
    (tmp_path / "serve.yaml").write_text("hf-overrides: {until: 2026-01-01}\n")
    assert "date is not JSON" in run("args", "check", "--", "m", "--config", "serve.yaml").stdout
    (tmp_path / "serve.yaml").write_text("{")
    assert "is not YAML" in run("args", "check", "--", "m", "--config", "serve.yaml").stderr
    assert "cannot be read here" in run("args", "check", "--", "m", "--config", "other.yaml").stdout


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def go(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return ran(*argv, cwd=tmp_path, stdin=stdin)

    return go


def test_the_commands(run: Run, tmp_path: Path) -> None:
    lines = run(
        "args", "check", "--stdin", "--format", "json", "--vllm-version", "v0.13.0", stdin="m --task embed\nm -tp 2\n"
    )
    assert lines.returncode == 1
    assert [json.loads(line)["verdict"] for line in lines.stdout.splitlines()] == ["unrecognized", "ok"]
    as_text = run("args", "check", "--stdin", stdin="m\nm --no-such 1\n").stdout.splitlines()
    assert as_text[:2] == ["line 1: vLLM 0.33.0 accepts it.", "line 2: vLLM 0.33.0 refuses it:"]
    (tmp_path / "broken.yaml").write_text("{")
    broken = run("args", "check", "--stdin", "--format", "json", stdin='m "unclosed\nm --config broken.yaml\nm -tp 2\n')
    assert (broken.returncode, broken.stderr) == (1, "")
    assert [json.loads(line)["verdict"] for line in broken.stdout.splitlines()] == ["value", "value", "ok"]
    assert "not a shell line: No closing quotation" in broken.stdout
    assert "is not YAML" in broken.stdout
    odd = (
        "m --compilation-config \"{'a': {1}, (1, 2): 1e999}\"\nm --gpu-memory-utilization nan\nm --compilation-config "
        + "{" * 9999
    )
    values = run("args", "check", "--stdin", "--format", "json", "--vllm-version", "0.6.5", stdin=odd)
    assert (values.returncode, values.stderr, len(values.stdout.splitlines())) == (1, "", 3)
    assert '"compilation_config": {"a": "{1}", "(1, 2)": "inf"}' in values.stdout
    assert '"gpu_memory_utilization": "nan"' in values.stdout
    empty = run("args", "check", "--stdin")
    assert (empty.returncode, empty.stdout, "nothing was checked" in empty.stderr) == (1, "", True)
    assert "give the arguments or --stdin, not both" in run("args", "check", "--stdin", "--", "m").stderr
    keys = run(
        "args",
        "check",
        "--format",
        "json",
        "--",
        "m",
        "--api-key",
        "s3cret",
        "--hf-token=t0ken",
        "--x=sk-0123456789abcdef",
    )
    assert (json.loads(keys.stdout)["values"]["api_key"], keys.stdout.count("***")) == ("***", 3)
    assert not any(secret in keys.stdout for secret in ("s3cret", "t0ken", "sk-01"))
    one = run("args", "check", "--", "m", "--max-model-len", "many")
    assert (one.returncode, "--max-model-len" in one.stdout) == (1, True)
    assert run("args", "check", "--vllm-version", "9.9.9", "--", "m").stderr.startswith("Error: vLLM 9.9.9 is not in")
    assert "0.6.0 to 0.17.1" in run("catalog", "show", "--swap-space").stdout
    assert "tensor_parallel_size" in run("catalog", "show").stdout
    assert "did you" not in run("catalog", "show", "swap_spce").stderr
    assert "catalog show swap_space" in run("catalog", "show", "swap_spce").stderr
    assert "1 gone" not in run("catalog", "diff", "0.32.0", "0.33.0").stdout
    assert json.loads(run("catalog", "diff", "0.17.1", "0.18.0", "--format", "json").stdout)["old"] == "0.17.1"
    (tmp_path / "stack.toml").write_text(stack_text(model_text(image='"i:v0.17.1"', args="{ swap_space = 4.0 }")))
    upgraded = run("catalog", "upgrade", "--to", "0.18.0")
    assert (upgraded.returncode, "Error[CX301] swap_space is gone in vLLM 0.18.0" in upgraded.stdout) == (0, True)


def test_raw_options_win_over_arguments_by_name_as_on_the_command_line() -> None:
    """Raw options are rendered after them, and vLLM's parser uses the last value."""
    both = new_spec(args={"max_num_seqs": 8}, extra_args=("--max-num-seqs", "16"))
    assert effective(both.server).args == {"max_num_seqs": 16}
