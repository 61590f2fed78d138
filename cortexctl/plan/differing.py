"""The fields in which an instance, as the stack wants it, differs from its container's recorded spec."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

from cortexctl.desired.stack import Instance
from cortexctl.instance.labels import SPEC
from cortexctl.instance.spec import InPlace
from cortexctl.observed.owned import Owned, SpecLabels
from cortexctl.plan.diff import IN_PLACE, NETWORK, FieldChange, diff


def differing_fields(
    wanted: Instance, serving: Owned | None, spec_labels: SpecLabels | None = None
) -> tuple[FieldChange, ...]:
    """Sorted by path, without those that the stack ignores. By the label alone; of an adopted container, which has
    none, by its inspection.
    """
    if serving is None or serving.spec is None:
        return ()
    wanted = with_kept_names(wanted, serving)
    imported = serving.imported
    fields = [
        f for f in _differences(wanted, serving, spec_labels or SpecLabels()) if not _is_ignored(f.path, wanted.ignore)
    ]
    network = wanted.spec.container.network
    left = serving.spec.container.network == network not in serving.container.networks
    if left and not _is_ignored(NETWORK, wanted.ignore):
        fields.append(FieldChange(NETWORK, (imported.network_mode or None) if imported else None, network))
    if imported:
        return with_settings(fields, wanted, imported.in_place)
    return tuple(sorted(fields, key=lambda f: f.path)) if fields else ()


def with_settings(
    fields: list[FieldChange] | tuple[FieldChange, ...], wanted: Instance, actual: InPlace
) -> tuple[FieldChange, ...]:
    """The same, with the settings that can change in place as an inspection shows them."""
    others = [f for f in fields if f.path not in IN_PLACE]
    for name in IN_PLACE:
        was, now = getattr(actual, name), getattr(wanted.spec.container, name)
        if was != now and not _is_ignored(name, wanted.ignore):
            others.append(FieldChange(name, was, now))
    return tuple(sorted(others, key=lambda f: f.path))


def with_kept_names(wanted: Instance, serving: Owned | None) -> Instance:
    """If the stack does not declare served names, the names that clients know stay, even if the model has a new
    name.
    """
    if not wanted.named_by_default or serving is None or serving.spec is None:
        return wanted
    names = serving.spec.server.served_names
    if names == wanted.spec.server.served_names:
        return wanted
    return replace(wanted, spec=replace(wanted.spec, server=replace(wanted.spec.server, served_names=names)))


def _differences(
    wanted: Instance, serving: Owned, spec_labels: SpecLabels
) -> list[FieldChange] | tuple[FieldChange, ...]:
    """The text of the label is compared first: if it is equal, neither spec is compared."""
    if serving.imported:
        from cortexctl.plan.adopt.imported import imported_fields

        return imported_fields(wanted, serving.imported)
    if serving.spec is None or serving.container.labels.get(SPEC) == spec_labels.text_of(wanted.spec):
        return ()
    return diff(serving.spec, wanted.spec, spec_labels.text_of)


def _is_ignored(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, p) or path.startswith(p + ".") for p in patterns)
