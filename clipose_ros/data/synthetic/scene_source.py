"""Synthetic scenes as a scene source for shard generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CloudConfig
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.samples import simulate_scene


@dataclass(frozen=True)
class SimulatedScenes:
    """A ``SceneSource`` of the scenes that ``generate_samples`` simulates.

    Attributes:
        seed: Seed of the scenes; scene i of a seed is always the same.
        image_side: Side of each object's image, pixels; 0 for no images.
        object_library: Source of the objects.
        library_record: Description of the object library in the manifest, compared when a folder of shards is extended.
    """

    seed: int
    image_side: int = 0
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY
    library_record: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    @property
    def categories(self) -> CategorySet:
        """Return the category set of the object library."""
        return self.object_library.categories

    def as_record(self) -> Mapping[str, Any]:
        """Return seed, image side and objects."""
        return {"seed": self.seed, "image_side": self.image_side, "objects": dict(self.library_record)}

    def generate_clouds(self, scene: int) -> Iterator[CloudSample]:
        """Generate the clouds of all views of a scene."""
        rng = np.random.default_rng([self.seed, scene])
        library = self.object_library
        return simulate_scene(rng, library.drawable, CloudConfig(), library, self.image_side)
