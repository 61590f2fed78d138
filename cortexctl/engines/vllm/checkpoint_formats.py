"""Whether a release loads a checkpoint, judged by its folder; if not, which releases or engines do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from cortexctl.dataclass import dataclass
from cortexctl.engines.base import ArgumentIssue
from cortexctl.engines.vllm.architectures import check_architectures
from cortexctl.engines.vllm.catalogue import catalogue
from cortexctl.engines.vllm.version import parse_release

GGUF_LAST = "0.23.0"
"""In this release GGUF moved to a plugin that the official images do not include (the catalogue's load formats)."""
WEIGHTS = {"safetensors", "bin", "pt", "pth", "gguf"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`quantization`: the quant_method of its config.json. `suffixes`: of the files in its folder."""

    architectures: tuple[str, ...] = ()
    quantization: str = ""
    has_own_code: bool = False
    suffixes: frozenset[str] = field(default_factory=frozenset)


def check_checkpoint(checkpoint: Checkpoint, release: str | None) -> Iterator[ArgumentIssue]:
    """With an unknown release, only problems that exist in every release."""
    weights = checkpoint.suffixes & WEIGHTS
    if weights == {"gguf"}:
        summary = "the folder has only GGUF files, which vLLM does not read as weights"
        yield ArgumentIssue("source", "CX315", summary, _gguf(release))
    elif checkpoint.architectures and not weights:
        advice = "fetch the weights too: *.safetensors; a clone without git-lfs has only pointers to them"
        yield ArgumentIssue("source", "CX315", "the folder has a config.json but no weights", advice, fatal=False)
    if release is None:
        return
    if checkpoint.architectures:
        yield from check_architectures(checkpoint.architectures, release, has_own_code=checkpoint.has_own_code)
    if checkpoint.quantization:
        yield from _quantization(checkpoint.quantization, release)


def _gguf(release: str | None) -> str:
    if release is not None and parse_release(release) > parse_release(GGUF_LAST):
        instead = f"use a checkpoint in safetensors, or pin v{GGUF_LAST}"
        return f"vLLM {release} does not load GGUF: serve it with llama.cpp, {instead}"
    return 'name one file: source = { gguf = "FOLDER/FILE.gguf", tokenizer = "…" }; llama.cpp is faster with GGUF'


def _quantization(method: str, release: str) -> Iterator[ArgumentIssue]:
    """According to vLLM's registry. A method that no release has may come from a plugin, or have another name
    internally.
    """
    name = method.replace("_", "-") if method == "compressed_tensors" else method
    spans = catalogue.value_spans("quantization", name)
    known_as = catalogue.nearest(release)
    if not spans or name in catalogue.release(known_as).values("quantization"):
        return
    later = [s for s in spans if parse_release(s.since) > parse_release(known_as)]
    advice = f"pin v{later[0].since} or newer" if later else f"pin v{spans[-1].until} or older"
    ranges = ", ".join(map(str, spans))
    yield ArgumentIssue(
        "source", "CX315", f'vLLM {release} does not load checkpoints quantised with "{method}" ({ranges})', advice
    )
