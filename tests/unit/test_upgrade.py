"""A stack for another vLLM release: the differences, and a patch that leaves everything else unchanged."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from cortexctl.stack.edit.upgrade import upgraded
from tests.forks import ran

SEED = """\
# the guide's settings
stack = "lab"

[vars.tag]
default = "v0.9.2"

[hosts.gpu-1]
models_dir = "/var/cortex/models"

[profiles.prod.args]
gpu_memory_utilization = 0.9
swap_space = 4          # GiB, as the guide says

[models.llama]
image = "vllm/vllm-openai:{{ vars.tag }}"
source = { path = "llama" }
gpus = [0]
profile = "prod"

[models.llama.args]
max_model_len = 8192
cuda_graph_sizes = [1, 2, 4, 8]   # captured
guided_decoding_backend = "outlines"
disable_log_requests = true

[models.embed]
image = "vllm/vllm-openai:v0.9.2"
source = { path = "bge" }
gpus = [1]
args = { task = "embed", max_model_len = 512 }
"""


def test_a_seed_style_stack_goes_to_the_newest_release() -> None:
    result = upgraded("s.toml", SEED, "", "0.33.0", {"llama": "0.9.2", "embed": "0.9.2"})
    changed = set(result.text.splitlines()) - set(SEED.splitlines())
    gone = set(SEED.splitlines()) - set(result.text.splitlines())
    assert result.by_hand == []
    assert changed == {
        'default = "v0.33.0"',
        'image = "vllm/vllm-openai:v0.33.0"',
        "cudagraph_capture_sizes = [1, 2, 4, 8]   # captured",
        'structured_outputs_config.backend = "outlines"',
        'args = { runner = "pooling", convert = "embed", max_model_len = 512 }',
    }
    assert "swap_space = 4          # GiB, as the guide says" in gone
    assert "disable_log_requests = true" in gone


def test_an_option_that_cannot_be_moved_automatically_is_reported() -> None:
    taken = SEED.replace("max_model_len = 8192\n", "structured_outputs_config = { disable_fallback = true }\n")
    result = upgraded("s.toml", taken, "", "0.12.0", {"llama": "0.11.2", "embed": "0.9.2"})
    assert result.by_hand == [
        "models.llama.args.guided_decoding_backend: move it into structured_outputs_config.backend, which the stack also sets"
    ]
    old = SEED.replace('guided_decoding_backend = "outlines"', 'attention_backend = "FLASH_ATTN"')
    result = upgraded("s.toml", old, "", "0.9.1", {"llama": "0.13.0"})
    assert result.by_hand == [
        'models.llama.args.attention_backend: set VLLM_ATTENTION_BACKEND = "FLASH_ATTN" in [models.llama.env] instead'
    ]
    other = SEED.replace("vllm-openai:v0.9.2", "vllm-openai:v0.9.2-cu129")
    assert "does not name a plain release" in upgraded("s.toml", other, "", "0.33.0", {}).by_hand[0]


@pytest.mark.parametrize(
    "table", ['[models.llama.args.override_pooler_config]\ndtype = "x"\n', "[z]\n"], ids=["header", "dotted keys"]
)
def test_a_table_is_left_to_the_user_and_the_rest_is_patched(table: str) -> None:
    dotted = SEED.replace("max_model_len = 8192\n", "override_pooler_config.a = 1\noverride_pooler_config.b = 2\n")
    text = f"{SEED if 'llama' in table else dotted}\n{table}"
    result = upgraded("s.toml", text, "", "0.33.0", {"llama": "0.9.2", "embed": "0.9.2"})
    assert result.by_hand == [
        "models.llama.args.override_pooler_config: replace it by pooler_config; it is a separate table, which is not edited automatically"
    ]
    assert "cudagraph_capture_sizes" in result.text


def test_an_overlay_is_patched_where_it_is_written() -> None:
    text = SEED + "\n[env.lab.models.llama.args]\ncuda_graph_sizes = [1]\n"
    result = upgraded("s.toml", text, "lab", "0.33.0", {"llama": "0.9.2"})
    assert "[env.lab.models.llama.args]\ncudagraph_capture_sizes = [1]\n" in result.text
    assert "cuda_graph_sizes = [1, 2, 4, 8]" in result.text, "the base belongs to other environments, too"


def cortexctl(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return ran(*argv, cwd=folder)


def test_the_patched_stack_is_valid_for_the_release(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(SEED)
    report = json.loads(cortexctl(tmp_path, "catalog", "upgrade", "--to", "v0.33.0", "--format", "json").stdout)
    assert {d["rule"] for d in report["diagnostics"]} == {"CX301"}
    assert (report["remaining"], report["manual_edits"]) == ([], [])
    assert {"option": "seed", "before": "not set, or decided at start-up", "after": 0} in report["defaults"]
    assert (tmp_path / "stack.toml").read_text() == SEED, "nothing is written without --write"
    written = cortexctl(tmp_path, "catalog", "upgrade", "--to", "0.33.0", "--write")
    assert (written.returncode, "With the patch, vLLM 0.33.0 accepts it." in written.stdout) == (0, True)
    assert cortexctl(tmp_path, "validate").returncode == 0
    again = cortexctl(tmp_path, "catalog", "upgrade", "--to", "0.33.0")
    assert (again.returncode, again.stdout) == (
        0,
        "stack.toml to vLLM 0.33.0   embed, llama from 0.33.0\n\nvLLM 0.33.0 accepts it unchanged.\n",
    )


def test_an_option_without_a_successor_is_left_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(SEED.replace("max_model_len = 512", 'quantization = "bitsandbytes"'))
    done = cortexctl(tmp_path, "catalog", "upgrade", "--to", "0.33.0")
    assert (done.returncode, "1 problem is left to fix by hand." in done.stdout) == (1, True)


OVERLAID = (
    SEED
    + """
[env.lab.models.embed.args]
swap_space = 2
[env.live.models.embed.args]
max_model_len = 256
"""
)


def test_environments_that_were_not_checked_are_named(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(OVERLAID)
    done = cortexctl(tmp_path, "catalog", "upgrade", "--to", "0.33.0")
    assert done.stdout.endswith("Not checked: the environments lab, live; use --env NAME to check one.\n")
    lab = cortexctl(tmp_path, "catalog", "upgrade", "--to", "0.33.0", "--env", "lab", "--format", "json")
    assert json.loads(lab.stdout)["unchecked_environments"] == ["live"]


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        (OVERLAID, ("--env", "lba"), 'stack.toml has no environment "lba"; known: lab, live'),
        (SEED, ("--env", "lba"), "known: none"),
        ("stack = ", (), "stack.toml: not valid TOML"),
        (None, (), "stack.toml cannot be read: No such file or directory"),
    ],
)
def test_nothing_is_written_for_an_invalid_stack_or_environment(
    tmp_path: Path, text: str | None, options: tuple[str, ...], error: str
) -> None:
    file = tmp_path / "stack.toml"
    if text is not None:
        file.write_text(text)
    done = cortexctl(tmp_path, "catalog", "upgrade", "--to", "0.33.0", "--write", *options)
    assert (done.returncode, done.stdout, error in done.stderr) == (1, "", True)
    assert text is None or file.read_text() == text
