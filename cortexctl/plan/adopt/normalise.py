"""An inspected container in a normal form, without possible secrets: so it can be compared, and stored in a snapshot.
Doing it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from cortexctl.engines.base import HIDDEN
from cortexctl.engines.registry import engine_of
from cortexctl.instance.shape import LOG_OPTIONS, STOP_SIGNAL
from cortexctl.instance.spec import Spec
from cortexctl.observed.inspected import Inspected

_KNOWN_LOG_OPTIONS = {name for name, _ in LOG_OPTIONS} | {"compress", "mode", "max-buffer-size", "labels", "env", "tag"}


def read_back(spec: Spec, inspected: Inspected) -> Inspected:
    """`spec` is the desired spec: its plain-text values may be shown; of all other values, only those that are known to
    be harmless.
    """
    command = engine_of(spec.server).normalised(spec.server, [*inspected.entrypoint, *inspected.command])
    return replace(
        inspected,
        entrypoint=command.program,
        command=command.arguments,
        stop_signal=inspected.stop_signal or STOP_SIGNAL,  # the daemons' own default is the same
        env={name: value if value == spec.container.env.get(name) else HIDDEN for name, value in inspected.env.items()},
        log_options={n: v if n in _KNOWN_LOG_OPTIONS else HIDDEN for n, v in inspected.log_options.items()},
    )
