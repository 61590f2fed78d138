"""The vLLM release of an image without a telling tag: from its labels, or from a server that runs it."""

from __future__ import annotations

import pytest

from cortexctl.desired.stack import Desired, Host, Instance
from cortexctl.observed.container_list import parse_named_release
from cortexctl.observed.host import ImageFacts
from cortexctl.operations.image_release import releases_on
from cortexctl.plan.diff import diff
from cortexctl.stack.load import Releases, load_stack
from tests.fakes.daemon import FakeDaemon, FakeDaemons
from tests.reading import model_text, stack_text
from tests.specs import new_spec


@pytest.mark.parametrize(
    ("config", "release"),
    [
        ({"Labels": {"org.opencontainers.image.version": "vllm/vllm-openai:v0.21.0"}}, "0.21.0"),
        ({"Labels": {"ai.vllm.image.tag": "vllm/vllm-openai:v0.23.0-cu129"}}, "0.23.0"),
        ({"Env": ["PATH=/bin", "VLLM_IMAGE_TAG=vllm/vllm-openai-cpu:v0.32.0"]}, "0.32.0"),
        ({"Labels": {"org.opencontainers.image.version": "22.04"}}, ""),
        ({"Labels": {"org.opencontainers.image.version": "1.2.3"}}, ""),
        ({"Labels": {"ai.vllm.image.tag": "vllm/vllm-openai:nightly"}}, ""),
        ({"Labels": None, "Env": None}, ""),
        ({}, ""),
    ],
)
def test_an_image_reports_its_release(config: dict[str, object], release: str) -> None:
    assert parse_named_release(config) == release


def desired(*hosts: str, image: str = "mine/vllm:latest") -> Desired:
    instances = tuple(Instance(h, "m", new_spec(image, "/models/m", ("m",))) for h in hosts)
    return Desired("lab", "stack.toml", tuple(Host(h, "unix:///x") for h in hosts), instances)


class Daemons(FakeDaemons):
    """Daemons with images that report their release."""

    def __init__(self, releases: dict[str, str]) -> None:
        super().__init__({host: FakeDaemon(host, "lab") for host in releases})
        self.releases = releases

    def image(self, host: str, reference: str) -> ImageFacts:
        return ImageFacts(reference, "local", id="sha256:1", release=self.releases[host])


def test_the_release_that_all_hosts_agree_on() -> None:
    releases, problems = releases_on(desired("a", "b"), Daemons({"a": "0.31.0", "b": "0.31.0"}))  # type: ignore[arg-type]
    assert (releases, problems) == ({"mine/vllm:latest": "0.31.0"}, [])


def test_hosts_that_differ_are_a_problem() -> None:
    _, problems = releases_on(desired("a", "b"), Daemons({"a": "0.31.0", "b": "0.32.0"}))  # type: ignore[arg-type]
    assert [(d.rule, d.summary) for d in problems] == [
        ("CX314", 'the image "mine/vllm:latest" contains vLLM 0.31.0 on a and 0.32.0 on b')
    ]


def test_arguments_are_checked_against_the_release_that_an_image_reports() -> None:
    text = stack_text(model_text(image='"mine/vllm:latest"', args="{ swap_space = 4.0 }"))

    def rules(releases: Releases) -> list[str]:
        _, diagnostics = load_stack(
            "s.toml", default_docker="unix:///x", secret_value=None, text=text, releases=releases
        )
        return [d.rule for d in diagnostics]

    assert rules(Releases()) == ["CX209"]
    assert rules(Releases(reported={"mine/vllm:latest": "0.32.0"})) == ["CX301", "CX209"]
    assert rules(Releases(reported={"other/vllm:latest": "0.32.0"})) == ["CX209"]
    assert "CX301" not in rules(Releases(reported={"mine/vllm:latest": "0.32.0"}, instead="0.7.3"))


def test_a_newly_known_release_of_an_image_is_not_a_difference() -> None:
    before = new_spec("i:latest", "m", ("m",), None)
    assert diff(before, new_spec("i:latest", "m", ("m",), "0.32.0")) == ()
    changed = diff(new_spec("i:v0.31.0", "m", ("m",), "0.31.0"), new_spec("i:v0.32.0", "m", ("m",), "0.32.0"))
    assert [c.path for c in changed] == ["image", "vllm_version"]
