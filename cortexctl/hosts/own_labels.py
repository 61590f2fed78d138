"""Whether a container's labels are its own, read from its daemon right before it is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortexctl.hosts.daemon_api import DaemonApi, Missing
from cortexctl.instance import labels
from cortexctl.observed.container_list import parse_labels
from cortexctl.observed.daemon_json import IMAGE


class OwnLabels:
    """For one daemon. An image never changes, so each is read once."""

    def __init__(self, api: DaemonApi) -> None:
        self._api = api
        self._of_images: dict[str, Mapping[str, str] | None] = {}
        """By id; None: the image is gone."""

    def has(self, inspected: Mapping[str, Any]) -> bool:
        """`inspected`: the inspected container. If its image is gone, only the name decides. Raises
        Refusal.
        """
        of_image = self._of_image(inspected["Image"])
        if of_image is None:
            return labels.is_name_of_ours(inspected["Name"].lstrip("/"))
        return labels.are_own(parse_labels(inspected), of_image)

    def _of_image(self, image: str) -> Mapping[str, str] | None:
        if image not in self._of_images:
            try:
                self._of_images[image] = parse_labels(IMAGE(self._api.inspect_image(image)))
            except Missing:
                self._of_images[image] = None
        return self._of_images[image]
