"""Synthetic scenes as a scene source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_sample import CloudSample, stack_samples
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.simulators import (
    DEFAULT_SIMULATOR,
    RASTER_RENDERER,
    RAY_RENDERER,
    check_renderer,
    find_simulator,
)
from clipose_ros.errors import DataError


@dataclass(frozen=True)
class SimulatedScenes:
    """A ``SceneSource`` of simulated scenes.

    Attributes:
        seed: Seed of the scenes; scene i of a seed is always the same.
        image_side: Side of each object's image, pixels; 0 for no images.
        object_library: Source of the objects.
        library_record: Description of the object library in the manifest, compared when a folder of shards is extended.
        simulator: Key of ``SIMULATORS``.
        renderer: Key of ``RENDERERS``. Scenes with images are rendered by rays in any case.

    Raises:
        ConfigError: There is no such simulator or renderer.
    """

    seed: int
    image_side: int = 0
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY
    library_record: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})
    simulator: str = DEFAULT_SIMULATOR
    renderer: str = RASTER_RENDERER

    def __post_init__(self) -> None:
        find_simulator(self.simulator)
        check_renderer(self.renderer)
        if self.image_side:
            object.__setattr__(self, "renderer", RAY_RENDERER)

    @property
    def categories(self) -> CategorySet:
        """Return the category set of the object library."""
        return self.object_library.categories

    def as_record(self) -> Mapping[str, Any]:
        """Return simulator, seed, image side, renderer and objects."""
        return {
            "simulator": self.simulator,
            "seed": self.seed,
            "image_side": self.image_side,
            "renderer": self.renderer,
            "objects": dict(self.library_record),
        }

    def generate_clouds(self, scene: int) -> Iterator[CloudSample]:
        """Generate the clouds of all views of a scene."""
        rng = np.random.default_rng([self.seed, scene])
        return find_simulator(self.simulator)(rng, self.object_library, self.image_side, self.renderer)

    def generate_samples(self, scenes: int) -> CloudSamples:
        """Generate the clouds of the first scenes.

        Raises:
            DataError: No scene gave a cloud.
        """
        clouds = [sample for scene in range(scenes) for sample in self.generate_clouds(scene)]
        if not clouds:
            raise DataError(f"{scenes} scenes of seed {self.seed} gave no sample: request more scenes")
        return stack_samples(clouds, self.categories)
