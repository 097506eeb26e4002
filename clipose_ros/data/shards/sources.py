"""Protocol of the scene sources from which shards are generated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_sample import CloudSample


class SceneSource(Protocol):
    """Generator of the clouds of numbered scenes. It is pickled and sent to the worker processes."""

    @property
    def categories(self) -> CategorySet:
        """Return the category set of the clouds."""
        ...

    def as_record(self) -> Mapping[str, Any]:
        """Return the settings that determine the clouds, for the manifest. Equal sources return equal records."""
        ...

    def generate_clouds(self, scene: int) -> Iterator[CloudSample]:
        """Generate the clouds of a scene. Equal calls yield equal clouds."""
        ...
