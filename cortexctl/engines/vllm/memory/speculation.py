"""speculative_config as values: the method, and the model that it drafts with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cortexctl.dataclass import dataclass

_BY_NAME = (("eagle-", "eagle"), ("eagle3", "eagle3"), ("dflash", "dflash"), ("dspark", "dspark"))
"""A part of a draft's name -> the method that vLLM detects by it."""
_WITHOUT_A_MODEL = {"ngram", "ngram_gpu", "suffix", "custom_class", "extract_hidden_states"}
"""Methods that load no weights; what `model` means with them is not a model."""
_WITHOUT_ATTENTION = {"ngram", "ngram_gpu", "suffix", "medusa", "mlp_speculator"}
WHOLE = "draft_model"
"""The method whose draft is a model of its own: it shares nothing with its target."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """`model`: a folder or repository of the draft; empty if it is part of the target's checkpoint, or if there is
    none. `tp`: ranks that the draft is split over; 0: as many as its target.
    """

    method: str = ""
    model: str = ""
    revision: str = ""
    tokens: int = 0
    tp: int = 0
    any_vocabulary: bool = False
    """The draft may have another vocabulary than its target."""
    parallel: bool = False
    """All tokens are drafted in one pass."""

    @property
    def layers(self) -> int:
        """Layers with a cache that the draft adds, if its config is not known."""
        if not self.method or self.method in _WITHOUT_ATTENTION:
            return 0
        return 5 if self.method == "dflash" else 1  # all drafters of that kind published so far

    @property
    def has_own_layers(self) -> bool:
        """The layers of its config are those that run."""
        return self.method in {WHOLE, "eagle", "eagle3", "dflash", "dspark"}

    @property
    def is_mtp(self) -> bool:
        """Multi-token prediction, of any family."""
        return self.method.endswith("mtp")

    @property
    def is_estimated(self) -> bool:
        """Its weights can be estimated from the layers of its target."""
        return self.method in {"eagle", "eagle3"} or self.is_mtp


NO_SPECULATION = Speculation()


def read_speculation(args: Mapping[str, Any], model: str = "") -> Speculation:
    """From canonical arguments. `model`: the server's own, if it is known: a draft with its name is part of it."""
    table = args.get("speculative_config")
    if not isinstance(table, Mapping) or not table:
        return NO_SPECULATION
    name = str(table.get("model") or "")
    method = str(table.get("method") or "") or _method_of(name)
    if method in _WITHOUT_A_MODEL or name == model:
        name = ""
    return Speculation(
        method,
        name,
        str(table.get("revision") or ""),
        _number(table.get("num_speculative_tokens")) or (1 if method else 0),
        _number(table.get("draft_tensor_parallel_size")),
        bool(table.get("use_heterogeneous_vocab")),
        bool(table.get("parallel_drafting")),
    )


def _method_of(name: str) -> str:
    """The method that vLLM detects by the name of the draft; its config may show another one."""
    if name.strip("[]") in _WITHOUT_A_MODEL:
        return name.strip("[]")
    detected = (method for part, method in _BY_NAME if part in name.lower())
    return next(detected, WHOLE) if name else ""


def _number(value: Any) -> int:
    """A whole number above 0; 0 for anything else, which the check of arguments reports."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return int(value) if is_number else 0
