"""The fleet as a table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from cortexctl.operations.status_results import FleetStatus, InstanceStatus
from cortexctl.render.lock import holder_text
from cortexctl.render.plan.outcome import counted
from cortexctl.render.sanitise import all_visible, visible
from cortexctl.render.style import Ink

if TYPE_CHECKING:
    from cortexctl.engines.measurement import Measurement

HEADINGS = ("INSTANCE", "STATE", "GEN", "VLLM", "SERVES", "ENDPOINT")


def status_json(status: FleetStatus) -> list[dict[str, Any]]:
    """One object per instance."""
    return [_instance_json(instance) for instance in status.instances]


def _instance_json(instance: InstanceStatus) -> dict[str, Any]:
    plain = dataclasses.asdict(dataclasses.replace(instance, measured=None))
    del plain["measured"]
    return {**plain, "serves_names": list(instance.serves_names), "memory": _memory(instance.measured)}


def status_text(status: FleetStatus, ink: Ink, next_step: str = "") -> str:
    """One line per instance, in columns. Then the number of serving instances, the holders of locks, notes on
    containers that are left alone, and the command that continues.
    """
    rows = [all_visible(row) for row in status.instances]
    table = [HEADINGS, *(_cells(r) for r in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    lines = [ink("  ".join(h.ljust(w) for h, w in zip(HEADINGS, widths, strict=True)).rstrip(), "dim")]
    for row, cells in zip(rows, table[1:], strict=True):
        padded = [c.ljust(w) for c, w in zip(cells, widths, strict=True)]
        padded[1] = ink(padded[1], "green" if row.serves else "red")
        note = ink(f"  {row.detail}", "yellow") if row.detail else ""
        lines.append(("  ".join(padded) + note).rstrip())
        cache = _cache(row.measured) if row.measured else ""
        lines += [ink(f"  {cache}", "dim")] if cache else []
    lines += ["", _summary(status)]
    lines += [ink(visible(line), "yellow") for line in _notes(status)]
    lines += [ink("Next", "bold") + f"   {next_step}"] if next_step else []
    return "\n".join(lines) + "\n"


def _summary(status: FleetStatus) -> str:
    """The instances of a host that cannot be read are not known, so they are not counted."""
    unread = sum(r.is_unread_host for r in status.instances)
    serving, known = sum(r.serves for r in status.instances), len(status.instances) - unread
    hosts = f"; {counted(unread, 'host')} cannot be read" if unread else ""
    return f"{serving} of {known} instances of stack {status.stack} serve{hosts}."


def _notes(status: FleetStatus) -> list[str]:
    busy = [f"{lock.host}: {holder_text(lock.state)}" for lock in status.locks if lock.state]
    return [*busy, *status.left_alone]


def _cells(row: InstanceStatus) -> tuple[str, ...]:
    generation = str(row.generation) if row.generation else "-"
    first, *more = row.serves_names or ("-",)
    names = f"{first} +{len(more)}" if more else first
    return (row.address, row.state, generation, row.vllm or "-", names, row.endpoint or "-")


def _memory(m: Measurement | None) -> dict[str, Any] | None:
    """Measured and predicted values side by side; null if there is no measurement."""
    if m is None:
        return None
    names = ("kv_cache_tokens", "max_concurrency", "available_kv_gib")
    pairs = {n: {"measured": getattr(m.log, n), "predicted": getattr(m.predicted, n, None)} for n in names}
    return {**pairs, "start_seconds": m.start_seconds, "measured_at": m.at}


def _cache(m: Measurement) -> str:
    """'KV cache: 205,696 tokens (predicted 206,100, +0.2 %); 50.05 requests of 8,192 tokens at once; ...'."""
    measured, parts = m.log, []
    if measured.kv_cache_tokens is not None:
        off = _against(m.predicted.kv_cache_tokens if m.predicted else None, measured.kv_cache_tokens)
        parts.append(f"{measured.kv_cache_tokens:,} tokens{off}")
    if measured.max_concurrency is not None:
        length = f" of {measured.concurrency_len:,} tokens" if measured.concurrency_len else ""
        off = _against(m.predicted.max_concurrency if m.predicted else None, measured.max_concurrency)
        parts.append(f"{measured.max_concurrency:g} requests{length} at once{off}")
    if parts and m.start_seconds is not None:
        parts.append(f"it served after {m.start_seconds:.0f} s")
    return f"KV cache: {'; '.join(parts)}" if parts else ""


def _against(predicted: float | None, real: float) -> str:
    if not predicted or not real:
        return ""
    return f" (predicted {predicted:,}, {100 * (predicted - real) / real:+.1f} %)"
