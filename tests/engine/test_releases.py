"""The vLLM release of an image, on a real daemon: from the image's labels, and from a server that runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import StackFile
from tests.live import LiveDaemon

pytestmark = pytest.mark.engine


@pytest.fixture
def unlabelled(live: LiveDaemon) -> Iterator[str]:
    """A separate image of the stand-in, whose tag does not name its release. Other tests run the stand-in itself."""
    name = f"{live.stack}-image:latest"
    live.run_foreign(f"{live.stack}-start")
    live.docker_cli("commit", "-c", f"LABEL cxt.image={live.stack}", f"{live.stack}-start", name)
    live.docker_cli("rm", "-f", f"{live.stack}-start")
    yield name
    live.clean()
    live.docker_cli("image", "rm", "--force", name)


def labelled(live: LiveDaemon, name: str, release: str) -> None:
    """Create an image of this name whose label names its release."""
    live.run_foreign(f"{live.stack}-base")
    live.docker_cli("commit", "-c", f"LABEL ai.vllm.image.tag={release}", f"{live.stack}-base", name)


def test_the_label_of_an_image_names_its_release(live: LiveDaemon, stack: StackFile, unlabelled: str) -> None:
    stack.write(image=unlabelled, more=stack.args(swap_space=4.0))
    unknown = live.cortexctl("plan", str(stack))
    assert (unknown.code, "CX301" in unknown.err) == (0, False)
    labelled(live, unlabelled, "vllm/vllm-openai:v0.32.0")
    refused = live.cortexctl("plan", str(stack))
    assert (refused.code, "Error[CX301] swap_space is gone in vLLM 0.32.0" in refused.err) == (1, True)


def test_a_server_reports_the_release_of_its_image(live: LiveDaemon, stack: StackFile, unlabelled: str) -> None:
    stack.write(image=unlabelled, more=stack.args(max_model_len=1024))
    applied = live.cortexctl("apply", str(stack), "--auto-approve")
    assert applied.code == 0, applied.err
    again = live.cortexctl("plan", str(stack), "--detailed-exitcode")
    assert again.code == 0, "a release that is learned afterwards is not a change"
    stack.write(image=unlabelled, more=stack.args(max_model_len=1024, swap_space=4.0))
    assert "Error[CX301] swap_space is gone in vLLM 0.32.0" in live.cortexctl("plan", str(stack)).err
