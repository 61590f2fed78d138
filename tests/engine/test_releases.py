"""Which vLLM an image holds, asked of a real daemon: the image's labels, and a server that runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.conftest import StackFile
from tests.live import LiveDaemon

pytestmark = pytest.mark.engine


@pytest.fixture
def untold(live: LiveDaemon) -> Iterator[str]:
    """The stand-in under a name that does not tell its release, and as an image of its own: others run the stand-in."""
    name = f"{live.stack}-image:latest"
    live.run_foreign(f"{live.stack}-start")
    live.docker_cli("commit", "-c", f"LABEL cxt.image={live.stack}", f"{live.stack}-start", name)
    live.docker_cli("rm", "-f", f"{live.stack}-start")
    yield name
    live.clean()
    live.docker_cli("image", "rm", "--force", name)


def labelled(live: LiveDaemon, name: str, said: str) -> None:
    """An image of that name whose label says what it is."""
    live.run_foreign(f"{live.stack}-base")
    live.docker_cli("commit", "-c", f"LABEL ai.vllm.image.tag={said}", f"{live.stack}-base", name)


def test_the_label_of_an_image_tells_its_release(live: LiveDaemon, stack: StackFile, untold: str) -> None:
    stack.write(image=untold, more=stack.args(swap_space=4.0))
    unknown = live.cortexctl("plan", str(stack))
    assert (unknown.code, "CX301" in unknown.err) == (0, False)
    labelled(live, untold, "vllm/vllm-openai:v0.32.0")
    told = live.cortexctl("plan", str(stack))
    assert (told.code, "Error[CX301] swap_space is gone in vLLM 0.32.0" in told.err) == (1, True)


def test_a_server_tells_the_release_of_its_image(live: LiveDaemon, stack: StackFile, untold: str) -> None:
    stack.write(image=untold, more=stack.args(max_model_len=1024))
    applied = live.cortexctl("apply", str(stack), "--auto-approve")
    assert applied.code == 0, applied.err
    again = live.cortexctl("plan", str(stack), "--detailed-exitcode")
    assert again.code == 0, "what is found out afterwards is no difference"
    stack.write(image=untold, more=stack.args(max_model_len=1024, swap_space=4.0))
    assert "Error[CX301] swap_space is gone in vLLM 0.32.0" in live.cortexctl("plan", str(stack)).err
