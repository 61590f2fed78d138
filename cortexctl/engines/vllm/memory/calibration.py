"""A start of a small model on a real GPU, and the constants of the card in its output. Pure.

The model is Llama's architecture with random weights, of 16 layers: enough of them to see the memory of graphs in a log
that rounds to 0.01 GiB, and small enough to start within a minute.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cortexctl.dataclass import dataclass
from cortexctl.engines.vllm.memory.startlog import read_start_log
from cortexctl.text.units import GIB

MIB, KIB = 2**20, 2**10
LAYERS = 16
CONFIG: Mapping[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "num_hidden_layers": LAYERS,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
OPTIONS: Mapping[str, Any] = {
    "load_format": "dummy",
    "skip_tokenizer_init": True,
    "dtype": "float16",  # every card with CUDA has it
    "max_model_len": 2048,
    "max_num_seqs": 128,
    "seed": 0,
}
NEEDED = 5 * GIB
"""Bytes: weights of 0.6 GiB, the profiling run, a cache, graphs."""
ENVIRONMENT: Mapping[str, str] = {
    "HOME": "/tmp",  # noqa: S108 - the container's own
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "DEBUG",  # between 0.11 and 0.25, only a debug message has the parts
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": "4",
}
_GRAPHS = re.compile(r"Capturing (?:CUDA )?[Gg]raphs?[^|]*\|[^|]*\| *(\d{1,4})/(\d{1,4}) ")
LARGEST = 2**60
"""A number above it is not a size in bytes."""


@dataclass(frozen=True, slots=True)
class CardConstants:
    """What one start showed. `release`: of vLLM. Memory in bytes; None: not in the output."""

    release: str
    name: str
    free: int | None = None
    outside_torch: int | None = None
    workspace: int | None = None
    graph: int | None = None
    multiprocessors: int | None = None
    l2: int | None = None


class NotCalibrated(ValueError):
    """The output has no constants; the message is a part of a sentence."""


def settings(total: int) -> str:
    """The script's argument, for a card with `total` bytes of memory."""
    share = min(0.9, max(0.05, NEEDED / total))
    options = {**OPTIONS, "gpu_memory_utilization": round(share, 3)}
    return json.dumps({"config": dict(CONFIG), "options": options, "environment": dict(ENVIRONMENT)})


def read_constants(output: str) -> CardConstants:
    """The constants in the script's output. Raises NotCalibrated."""
    try:
        data = json.loads(output)
    except ValueError:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("card"), dict) or not isinstance(data.get("log"), list):
        raise NotCalibrated("the container printed no result")
    card, log = data["card"], [str(line) for line in data["log"]]
    if data.get("problem"):
        raise NotCalibrated(_why(str(data["problem"]), log))
    start = read_start_log(log)
    if not start.vllm_version:
        raise NotCalibrated("the log of the start does not name vLLM's release")
    captured, graphs = start.graphs_captured_gib, _graphs(log)
    return CardConstants(
        start.vllm_version.split("+")[0],
        str(card.get("name", "")),
        _whole(MIB, _bytes(card.get("free"))),
        None if start.non_torch_gib is None else round(start.non_torch_gib * 1024) * MIB,
        _bytes(card.get("workspace")),
        _whole(KIB, round(captured * GIB / graphs / LAYERS)) if captured and graphs else None,
        _bytes(card.get("multiprocessors")) or None,
        _bytes(card.get("l2")) or None,
    )


def _why(problem: str, log: Sequence[str]) -> str:
    """With the last line of the log that names an error."""
    errors = [line.strip() for line in log if "Error" in line or "error" in line]
    return f"{problem}: {errors[-1][:300]}" if errors else problem


def _graphs(log: Sequence[str]) -> int:
    """How many graphs were captured: each kind shows its own progress, which ends at N/N."""
    kinds: dict[str, int] = {}
    for line in log:
        if (progress := _GRAPHS.search(line)) and progress[1] == progress[2]:
            kinds[line[: line.index("|")]] = int(progress[2])
    return sum(kinds.values())


def _whole(unit: int, size: int | None) -> int | None:
    """Rounded down: a stack shows it without fractions."""
    return None if size is None else size // unit * unit


def _bytes(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST else None
