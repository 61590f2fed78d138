"""GPUs by name and size."""

from __future__ import annotations

import pytest

from cortexctl.engines.gpu_models import gpu_on_host, parse_gpu


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


def test_nvidia_smi_shows_more_memory_than_torch_gets() -> None:
    assert gpu_on_host("L40S", 46068 * 2**20).total_gib == pytest.approx(44.4)
    assert gpu_on_host("", 24576 * 2**20).total_gib == pytest.approx(23.64)
