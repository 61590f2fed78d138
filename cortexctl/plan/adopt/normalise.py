"""An inspected container in our own words, and without what may be a secret: so it can be compared, and kept in a
snapshot. Doing it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from cortexctl.engines.base import HIDDEN
from cortexctl.engines.registry import engine_of
from cortexctl.instance.shape import LOG_OPTIONS, STOP_SIGNAL
from cortexctl.instance.spec import Spec
from cortexctl.observed.inspected import Inspected

_KNOWN_LOG_OPTIONS = {name for name, _ in LOG_OPTIONS} | {"compress", "mode", "max-buffer-size", "labels", "env", "tag"}


def read_back(spec: Spec, found: Inspected) -> Inspected:
    """`spec` is what is wanted of it: what that says in the open may be shown, and nothing else that is not known to be
    harmless.
    """
    command = engine_of(spec.server).normalised(spec.server, [*found.entrypoint, *found.command])
    return replace(
        found,
        entrypoint=command.program,
        command=command.arguments,
        stop_signal=found.stop_signal or STOP_SIGNAL,  # the daemons' own default is the same
        env={name: value if value == spec.container.env.get(name) else HIDDEN for name, value in found.env.items()},
        log_options={n: v if n in _KNOWN_LOG_OPTIONS else HIDDEN for n, v in found.log_options.items()},
    )
