"""Constants of a host's GPUs that a start of vLLM showed there, as the stack declares them."""

from __future__ import annotations

from cortexctl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class MeasuredCard:
    """Of one release of the engine on one kind of card. Memory in bytes; None: not measured.

    `free`: of an idle card when a server starts. `outside_torch`: what a server on one GPU allocates outside torch.
    `workspace`: of matrix products. `graph`: one CUDA graph of one layer. `l2`: the cache of the card.
    """

    release: str
    driver: str = ""
    free: int | None = None
    outside_torch: int | None = None
    workspace: int | None = None
    graph: int | None = None
    multiprocessors: int | None = None
    l2: int | None = None
