"""What clouds are made of, scene by scene: simulation, or frames of the NOCS data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import CloudConfig
from clipose_ros.data.catalogue import NOCS_CATALOGUE, Catalogue
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.nocs import NocsDataset
from clipose_ros.data.nocs_samples import frame_clouds, frame_order
from clipose_ros.data.samples import scene_samples


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


@dataclass(frozen=True)
class SimulatedScenes:
    """Scenes as ``generate_samples`` simulates them.

    Attributes:
        seed: Scene i of a seed is always the same.
        image_side: Pixels of the side of each object's image; 0 makes none.
        catalogue: What is put on the tables.
        objects: What the manifest says of the catalogue, for people and to know it again.
    """

    seed: int
    image_side: int = 0
    catalogue: Catalogue = NOCS_CATALOGUE
    objects: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    @property
    def categories(self) -> CategorySet:
        """Those of the catalogue."""
        return self.catalogue.categories

    def as_record(self) -> Mapping[str, Any]:
        """Seed, images and objects."""
        return {"seed": self.seed, "image_side": self.image_side, "objects": dict(self.objects)}

    def clouds(self, scene: int) -> Iterator[CloudSample]:
        """Clouds from the three cameras around a scene."""
        rng = np.random.default_rng([self.seed, scene])
        drawable = self.catalogue.drawable
        for points, truth, handle, image in scene_samples(
            rng, drawable, CloudConfig(), self.catalogue, self.image_side
        ):
            pose, visible = truth.T_camera_object, truth.visible_fraction
            yield CloudSample(points, truth.category, pose, truth.size, handle, visible, image)


class NocsFrames:
    """Frames of a part of the NOCS data; a scene is a frame here.

    They come in random order, so that the first so many are a fair choice and more of them extend it.

    Args:
        dataset: The part.
        seed: Of the order and the masks' imperfections.
        image_side: Pixels of the side of each object's image; 0 makes none.
    """

    def __init__(self, dataset: NocsDataset, seed: int, image_side: int = 0) -> None:
        self._dataset, self._seed, self._image_side = dataset, seed, image_side
        self._order = frame_order(dataset, seed)

    @property
    def categories(self) -> CategorySet:
        """Those of the dataset."""
        return self._dataset.categories

    def as_record(self) -> Mapping[str, Any]:
        """Seed, images and frames; not where they lie."""
        frames = hashlib.sha256("\n".join(self._dataset.frames).encode()).hexdigest()
        mugs = "axis" if self._dataset.correct_mugs else "box"
        objects = {"nocs": self._dataset.subset.name, "frames": frames, "mug_centre": mugs}
        return {"seed": self._seed, "image_side": self._image_side, "objects": objects}

    def clouds(self, scene: int) -> Iterator[CloudSample]:
        """Clouds of the frame at that place of the order."""
        return frame_clouds(self._dataset, int(self._order[scene]), self._seed, image_side=self._image_side)
