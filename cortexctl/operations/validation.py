"""The result of a check of a stack file, for `render/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cortexctl.dataclass import dataclass
from cortexctl.desired.stack import Desired
from cortexctl.diagnostics import Diagnostic

if TYPE_CHECKING:
    from cortexctl.plan.capacity.forecast import InstanceForecast


@dataclass(frozen=True, slots=True)
class Validation:
    """`desired`: the first environment that can be used. `unknown`: the instances whose memory is not known,
    or only in part.
    """

    desired: Desired | None
    diagnostics: tuple[Diagnostic, ...]
    unknown: tuple[InstanceForecast, ...]
    acknowledged: int = 0
    """The number of warnings that the stack acknowledges."""

    @property
    def is_valid(self) -> bool:
        return not any(d.is_error for d in self.diagnostics)
