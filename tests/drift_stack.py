"""The stack that the tests of drift read, and the spec that an apply of it would record."""

from __future__ import annotations

from pathlib import Path

from cortexctl.instance.codec import spec_to_label
from tests.reading import desired_from, model_text, stack_text
from tests.specs import new_spec

STACK = stack_text(model_text(publish='"127.0.0.1"').replace('publish = "127.0.0.1"\n', ""))
SPEC = new_spec(
    "image:v0.32.0", "/models/tiny", ("tiny",), version="0.32.0", env={"HF_HUB_OFFLINE": "1"}
)  # fmt: skip


def spec_of(tmp_path: Path, stack: str) -> str:
    """The label that an apply of this stack would write."""
    (tmp_path / "for-its-spec.toml").write_text(stack)
    return spec_to_label(desired_from(tmp_path / "for-its-spec.toml").instances[0].spec)
