"""A container is created under the name of its image only while the name is that image."""

from __future__ import annotations

from typing import Any, cast

import docker
import docker.errors
import pytest

from cortexctl.hosts import named_image
from cortexctl.instance.launch import Launch
from cortexctl.instance.spec import Container, Server, Spec

PLANNED, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NAME = "vllm/vllm-openai:v0.32.0"


class Api:
    """A daemon with images by name. `moves_to`: what the name means from the first creation on."""

    def __init__(self, images: dict[str, str], moves_to: str = "") -> None:
        self.images = images
        self.moves_to = moves_to
        self.containers: dict[str, tuple[str, str]] = {}
        """Id -> the image's name, and its id."""

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name not in self.images:
            raise docker.errors.ImageNotFound("no such image")
        return {"Id": self.images[name]}

    def create_container(self, image: str, **settings: Any) -> dict[str, Any]:
        if self.moves_to:
            self.images[NAME] = self.moves_to
        created = f"c{len(self.containers)}"
        self.containers[created] = (image, self.images.get(image, image))
        return {"Id": created, "Name": settings["name"]}

    def inspect_container(self, container: str) -> dict[str, Any]:
        return {"Image": self.containers[container][1]}

    def remove_container(self, container: str) -> None:
        self.containers[container] = ("", "")


def launch(image: str = PLANNED) -> Launch:
    spec = Spec(Container(NAME, 8000), Server("vllm", "m", ("m",)))
    return Launch("c", image, (), (), spec, {})


@pytest.mark.parametrize(
    ("api", "image", "under"),
    [
        (Api({NAME: PLANNED}), PLANNED, (NAME, PLANNED)),
        (Api({NAME: PLANNED.removeprefix("sha256:")}), PLANNED, (NAME, PLANNED.removeprefix("sha256:"))),
        (Api({NAME: OTHER}), PLANNED, (PLANNED, PLANNED)),
        (Api({}), PLANNED, (PLANNED, PLANNED)),
        (Api({NAME: PLANNED}, moves_to=OTHER), PLANNED, (PLANNED, PLANNED)),
        (Api({NAME: PLANNED}), f"r@{PLANNED}", (f"r@{PLANNED}", f"r@{PLANNED}")),
    ],
    ids=["as planned", "an id of Podman", "moved", "only the id is there", "moves now", "a digest"],
)
def test_the_name_is_used_only_while_it_is_the_planned_image(api: Api, image: str, under: tuple[str, str]) -> None:
    created = named_image.create(cast("docker.APIClient", api), launch(image), name="c")
    assert api.containers[created] == under
    others = [c for c in api.containers if c != created]
    assert all(api.containers[c] == ("", "") for c in others), "one of another image is removed"
