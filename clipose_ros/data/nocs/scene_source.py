"""Frames of the NOCS data as a source of clouds for the shard writer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.samples import draw_frame_order, extract_frame_clouds


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
        self._order = draw_frame_order(dataset, seed)

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

    def generate_clouds(self, scene: int) -> Iterator[CloudSample]:
        """Clouds of the frame at that place of the order."""
        return extract_frame_clouds(self._dataset, int(self._order[scene]), self._seed, image_side=self._image_side)
