"""Creates a container under the name of its image, so that `docker ps` shows the name and not the id.

A name can move to another image at any moment, so it is used only while it names the planned one.
"""

from __future__ import annotations

from typing import Any

import docker
import docker.errors

from cortexctl.instance.launch import Launch
from cortexctl.observed.daemon_json import CREATED


def create(api: docker.APIClient, launch: Launch, **settings: Any) -> str:
    """The id of the new container, which has the launch's image in any case. Raises docker-py's APIError."""
    name = launch.spec.container.image
    if not _names(api, name, launch.image):
        return str(CREATED(api.create_container(image=launch.image, **settings))["Id"])
    created = str(CREATED(api.create_container(image=name, **settings))["Id"])
    if _plain(api.inspect_container(created).get("Image")) == _plain(launch.image):
        return created
    api.remove_container(created)  # the name moved meanwhile
    return str(CREATED(api.create_container(image=launch.image, **settings))["Id"])


def _names(api: docker.APIClient, name: str, image: str) -> bool:
    """Whether the daemon has the image of this id under the name."""
    if not image.startswith("sha256:"):
        return False
    try:
        named: dict[str, Any] = api.inspect_image(name)  # type: ignore[no-untyped-call]
    except docker.errors.NotFound:
        return False
    return _plain(named.get("Id")) == _plain(image)


def _plain(id_: object) -> str:
    """Podman's ids have no algorithm before them."""
    return str(id_).removeprefix("sha256:")
