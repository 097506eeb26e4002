"""The protocol of a scene source: clouds by scene number, for the shard writer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_sample import CloudSample


class SceneSource(Protocol):
    """Gives the clouds of any scene, by number alone; sent to the processes that write shards."""

    @property
    def categories(self) -> CategorySet:
        """What the clouds are of."""
        ...

    def as_record(self) -> Mapping[str, Any]:
        """All that decides the clouds, as the manifest keeps it: equal sources give equal records."""
        ...

    def clouds(self, scene: int) -> Iterator[CloudSample]:
        """The clouds of a scene; the same at every call."""
        ...
