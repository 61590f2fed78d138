"""Merges one table over another, and records where each value came from.

Tables merge key by key; any other value (a list too) is replaced completely, so that an overlay shows the whole new
value.
"""

from __future__ import annotations

from typing import Any

from cortexctl.stack.document import Document, Origins
from cortexctl.stack.places import Loc


def merge(base: dict[str, Any], over: dict[str, Any], *, at: Loc, written_at: Loc, origins: Origins) -> dict[str, Any]:
    """`over` on top of `base`. `at`: the loc of the result; `written_at`: the loc of `over` in the file."""
    merged = dict(base)
    for key, value in over.items():
        here = (*at, key)
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            merged[key] = merge(old, value, at=here, written_at=(*written_at, key), origins=origins)
        else:
            merged[key] = value
            origins[here] = (*written_at, key)
    return merged


def lay_under(
    own: dict[str, Any], under: dict[str, Any], *, at: Loc, written_at: Loc, origins: Origins
) -> dict[str, Any]:
    """`under` below `own`: values of `own` win. For profiles, which a model builds on."""
    merged = dict(own)
    for key, value in under.items():
        here = (*at, key)
        if key not in merged:
            merged[key] = value
            origins[here] = (*written_at, key)
        elif isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = lay_under(merged[key], value, at=here, written_at=(*written_at, key), origins=origins)
    return merged


def with_environment(document: Document, env: str) -> Document:
    """The document for one environment: `[env.NAME]` applied over the rest, and `env` itself removed."""
    data = {key: value for key, value in document.data.items() if key != "env"}
    overlays = document.data.get("env")
    if env and isinstance(overlays, dict) and isinstance(overlays.get(env), dict):
        origins: Origins = {}
        data = merge(data, overlays[env], at=(), written_at=("env", env), origins=origins)
        return document.moved(data, origins)
    return document.moved(data, {})


def profile_names(document: Document) -> list[str]:
    """The profiles that the file declares."""
    profiles = document.written.get("profiles")
    return sorted(profiles) if isinstance(profiles, dict) else []


def with_profiles(document: Document) -> Document:
    """Every model with its profile applied below it, and `profiles` itself removed. Unknown profiles are left to
    `checks`.
    """
    profiles = document.data.get("profiles")
    models = document.data.get("models")
    data = {key: value for key, value in document.data.items() if key != "profiles"}
    if not isinstance(profiles, dict) or not isinstance(models, dict):
        return document.moved(data, {})
    origins: Origins = {}
    built = {}
    for name, model in models.items():
        chosen = model.get("profile") if isinstance(model, dict) else None
        profile = profiles.get(chosen) if isinstance(chosen, str) else None
        if isinstance(profile, dict):
            place: Loc = ("profiles", str(chosen))
            model = lay_under(model, profile, at=("models", name), written_at=place, origins=origins)  # noqa: PLW2901
        built[name] = model
    return document.moved({**data, "models": built}, origins)
