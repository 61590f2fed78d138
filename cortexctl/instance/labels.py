"""Labels hold an instance's identity (they never change), names hold its role (they do)."""

from __future__ import annotations

import re
from collections.abc import Mapping

PREFIX = "cortexctl."
STACK = PREFIX + "stack"
ENV = PREFIX + "env"
MODEL = PREFIX + "model"
HOST = PREFIX + "host"
ORDINAL = PREFIX + "ordinal"
GENERATION = PREFIX + "generation"
SPEC = PREFIX + "spec"
PROTECT = PREFIX + "protect"
ON_REMOVE = PREFIX + "on_remove"
RUN = PREFIX + "run"
VERSION = PREFIX + "version"
PROBE = PREFIX + "probe"
"""Label of a container that exists for one query to an image; its value is the owner of the query."""
REVISION = PREFIX + "revision"
AUTHOR = PREFIX + "author"

MOST_ORDINALS = 10_000
MOST_GENERATIONS = 10**9
"""No stack reaches these limits: larger numbers were not written by cortexctl."""
UNDONE = "-undone"
"""The end of the name of a container that was rolled back: it is newer than the serving one, and is retained all the
same.
"""
_NAMES = "vllm-model-"
_MODEL_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9_.-]{0,62}")
_GENERATION_SUFFIX = re.compile(rf"--g(\d+)({UNDONE})?$")


def owner(stack: str, env: str = "") -> str:
    """The owner of a container: a stack, in one of its environments. STACK, or STACK@ENV."""
    return f"{stack}@{env}" if env else stack


def owner_of(labels: Mapping[str, str]) -> str:
    """The owner that labels name; empty if they name none."""
    return owner(labels.get(STACK, ""), labels.get(ENV, "")) if STACK in labels else ""


def owner_labels(whose: str) -> dict[str, str]:
    """The labels that name an owner; the inverse of `owner_of`."""
    stack, _, env = whose.partition("@")
    return {STACK: stack, ENV: env} if env else {STACK: stack}


def are_own(labels: Mapping[str, str], of_image: Mapping[str, str]) -> bool:
    """Whether a container's labels are its own. `docker commit` copies labels into the new image, and every container
    of that image inherits them. Two runs never have the same run label, so an image with another run's labels (the
    stack's own image may be one) does not count.
    """
    return STACK not in of_image or labels.get(RUN) != of_image.get(RUN)


def is_model_name(text: str) -> bool:
    """Whether a stack can have a model of this name. "--" is reserved for generations."""
    return _MODEL_NAME.fullmatch(text) is not None


def is_name_of_ours(name: str) -> bool:
    """Whether the name has the form of the names that cortexctl gives."""
    return name.startswith(_NAMES)


def serving_name(model: str, ordinal: int = 1) -> str:
    """The name of the container that has passed its gate. The first replica has no number."""
    return f"{_NAMES}{model}" if ordinal == 1 else f"{_NAMES}{model}.{ordinal}"


def generation_name(model: str, ordinal: int, generation: int) -> str:
    """The name of a candidate before its gate, and of a retained container after its replacement."""
    return f"{serving_name(model, ordinal)}--g{generation}"


def undone_name(model: str, ordinal: int, generation: int) -> str:
    """The name of a retained container after the rollback to an older one."""
    return generation_name(model, ordinal, generation) + UNDONE


def is_undone_name(name: str) -> bool:
    return is_generation_name(name) and name.endswith(UNDONE)


def is_generation_name(name: str) -> bool:
    """Whether this is the name of a candidate or a retained container, rather than of the serving one."""
    return _GENERATION_SUFFIX.search(name) is not None


def without_generation(name: str) -> str:
    """The serving name that a candidate or retained container had or gets; any other name unchanged."""
    return _GENERATION_SUFFIX.sub("", name)


def address(host: str, model: str, ordinal: int = 1) -> str:
    """HOST/MODEL, and HOST/MODEL.N for a second and later replica on a host."""
    return f"{host}/{model}" if ordinal == 1 else f"{host}/{model}.{ordinal}"
