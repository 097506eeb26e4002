"""NOCS frames as a scene source for shard generation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.samples import draw_frame_order, extract_frame_clouds


class NocsFrames:
    """A ``SceneSource`` of the frames of a NOCS subset; each scene is one frame.

    The frames are in random order. The first n are therefore a random choice, and a larger n extends it.

    Args:
        dataset: The subset.
        seed: Seed of the order and of the mask augmentation.
        image_side: Side of each object's image, pixels; 0 for no images.
    """

    def __init__(self, dataset: NocsDataset, seed: int, image_side: int = 0) -> None:
        self._dataset, self._seed, self._image_side = dataset, seed, image_side
        self._order = draw_frame_order(dataset, seed)

    @property
    def categories(self) -> CategorySet:
        """Return the category set of the dataset."""
        return self._dataset.categories

    def as_record(self) -> Mapping[str, Any]:
        """Return seed, image side and a hash of the frame names, without the location of the files."""
        # A folder of shards may be continued on another machine, so paths are not part of the record.
        frames = hashlib.sha256("\n".join(self._dataset.frames).encode()).hexdigest()
        mugs = "axis" if self._dataset.correct_mugs else "box"
        objects = {"nocs": self._dataset.subset.name, "frames": frames, "mug_centre": mugs}
        return {"seed": self._seed, "image_side": self._image_side, "objects": objects}

    def generate_clouds(self, scene: int) -> Iterator[CloudSample]:
        """Extract the clouds of the frame at position ``scene`` of the random order."""
        return extract_frame_clouds(self._dataset, int(self._order[scene]), self._seed, image_side=self._image_side)
