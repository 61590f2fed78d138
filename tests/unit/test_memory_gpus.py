"""GPUs by name and size."""

from __future__ import annotations

import pytest

from cortexctl.engines.gpu_models import gpu_on_host, parse_gpu
from cortexctl.engines.gpu_table import KNOWN


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
        ("NVIDIA RTX A5000", 23.6, 1),
        ("NVIDIA RTX A6000", 47.4, 1),
        ("RTX PRO 4000", 23.4, 1),
        ("NVIDIA RTX PRO 4000 Blackwell", 23.4, 1),
        ("NVIDIA RTX PRO 5000 72GB Blackwell", 70.92, 1),
        ("NVIDIA RTX 5000 Ada Generation", 31.5, 1),
        ("NVIDIA RTX 4000 SFF Ada Generation", 19.5, 1),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 15.6, 1),
        ("Quadro RTX 8000", 47.5, 1),
        ("NVIDIA TITAN RTX", 23.6, 1),
        ("NVIDIA GH200 480GB", 94.5, 1),
        ("NVIDIA GH200 144G HBM3e", 139.75, 1),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 94.97, 1),
        ("AMD Instinct MI355X", 283.7, 1),
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


@pytest.mark.parametrize(
    ("text", "multiprocessors", "l2_mib", "capability"),
    [
        ("H200", 132, 60, 9.0),
        ("NVIDIA H100 80GB HBM3", 132, 50, 9.0),
        ("A100-SXM4-40GB", 108, 40, 8.0),
        ("RTX A5000:23.5", 64, 6, 8.6),
        ("RTX4090:23.6x2", 128, 72, 8.9),
        ("my own:12 GiB", 0, 0, 8.0),
    ],
)
def test_a_card_has_its_published_figures_whatever_its_memory(
    text: str, multiprocessors: int, l2_mib: float, capability: float
) -> None:
    gpu, _ = parse_gpu(text)
    assert (gpu.multiprocessors, gpu.l2_mib, gpu.capability) == (multiprocessors, l2_mib, capability)


def test_the_table_of_cards_has_each_card_once_and_no_impossible_figure() -> None:
    assert len({card.name for card in KNOWN}) == len(KNOWN)
    for card in KNOWN:
        assert 0.9 * card.marketed * 1e9 / 2**30 * 0.95 < card.total_gib <= card.marketed or card.shared, card
        assert 0 <= card.multiprocessors <= 304, card
        assert 0 <= card.l2_mib <= 128, card


def test_a_size_alone_is_what_all_known_cards_of_it_report() -> None:
    """Cards of 24 GB report 22.0 to 23.6 GiB, so their size alone stays a rule of thumb."""
    assert parse_gpu("80GB")[0].total_gib == 79.18
    assert parse_gpu("24GB")[0].total_gib == pytest.approx(23.64)
