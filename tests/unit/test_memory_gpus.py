"""GPUs by name and size; a stack's patch."""

from __future__ import annotations

import tomllib

import pytest

from cortexctl.engines.vllm.memory.gpu_models import gpu_on_host, parse_gpu
from cortexctl.stack.edit.argument_edits import CannotPatch, patched


@pytest.mark.parametrize(
    ("text", "total", "count"),
    [
        ("L40S:44.4x4", 44.4, 4),
        ("L40S:48", 44.4, 1),
        ("H100", 79.18, 1),
        ("H100:80x8", 79.18, 8),
        ("NVIDIA H100 80GB HBM3", 79.18, 1),
        ("NVIDIA GeForce RTX 4090", 23.55, 1),
        ("A100-40", 39.4, 1),
        ("A100-SXM4-40GB", 39.4, 1),
        ("A100:39.49", 39.49, 1),
        ("24GB:23.68", 23.68, 1),
        ("H100-NVL-94", 93.1, 1),
        ("L20", 44.4, 1),
        ("my own:12 GiB", 12.0, 1),
        ("2xH200", 139.75, 2),
        ("rtx3090", 23.6, 1),
        ("64GB-MetaX:63.59", 63.59, 1),
        ("RTX4060L-8:7.75x2", 7.75, 2),
        ("V100-16:15.77", 15.77, 1),
    ],
)
def test_a_gpu_is_known_by_its_name_or_size(text: str, total: float, count: int) -> None:
    gpu, number = parse_gpu(text)
    assert number == count
    assert gpu.total_gib == pytest.approx(total)


@pytest.mark.parametrize("text", ["", "my own", "my own:much"])
def test_a_gpu_of_no_known_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_gpu(text)


def test_what_nvidia_smi_shows_is_more_than_what_torch_gets() -> None:
    assert gpu_on_host("L40S", 46068 * 2**20).total_gib == pytest.approx(44.4)
    assert gpu_on_host("", 24576 * 2**20).total_gib == pytest.approx(23.64)


BEFORE = """stack = "s"  # ours

[models.a]
image = "v"

[models.a.args]
# the context
max_model_len = 8192  # tokens
dtype = "auto"

[models.b.args]
max_model_len = 1
"""


def test_arguments_are_changed_and_added_and_comments_stay() -> None:
    after = patched("stack.toml", BEFORE, "a", {"max_model_len": 4096, "kv_cache_dtype": "fp8"})
    assert after == BEFORE.replace("8192", "4096").replace('"auto"\n', '"auto"\nkv_cache_dtype = "fp8"\n')


def test_a_model_without_arguments_gets_a_table_for_them() -> None:
    after = patched("stack.toml", '[models.a]\nimage = "v"\n', "a", {"enforce_eager": True})
    assert tomllib.loads(after) == {"models": {"a": {"image": "v", "args": {"enforce_eager": True}}}}


def test_arguments_that_stand_inline_are_changed_in_their_place() -> None:
    before = '[models.a]\nargs = { max_model_len = 8, dtype = "auto" }  # few\n'
    assert patched("s.toml", before, "a", {"max_model_len": 16}) == before.replace("= 8", "= 16")
    with pytest.raises(CannotPatch, match="inline"):
        patched("s.toml", before, "a", {"enforce_eager": True})


@pytest.mark.parametrize(("path", "model"), [("s.json", "a"), ("s.toml", "nobody")])
def test_what_would_be_a_guess_is_left_to_the_user(path: str, model: str) -> None:
    with pytest.raises(CannotPatch):
        patched(path, BEFORE, model, {"dtype": "half"})
