"""Inputs of the benchmarks: one rendered frame with five objects and their point clouds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig, SegmentationConfig
from clipose_ros.data.synthetic.sequence import SequenceConfig, render_sequence
from clipose_ros.errors import DataError
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import FloatArray, InstanceMask, ObjectCloud, RgbdFrame

OBJECTS = 5
"""Number of objects in the frame."""


@dataclass(frozen=True)
class BenchmarkInputs:
    """A rendered frame with the masks and clouds of its objects.

    Attributes:
        frame: 640x480 colour image, simulated depth and label image.
    """

    frame: RgbdFrame

    @classmethod
    def rendered(cls) -> BenchmarkInputs:
        """Render the frame; every call returns the same frame."""
        rendered = next(iter(render_sequence(SequenceConfig(objects=OBJECTS, frames=2, workers=1))))
        return cls(replace(rendered.frame, frame_id="camera_color_optical_frame"))

    @cached_property
    def instances(self) -> list[InstanceMask]:
        """Return the masks of all objects."""
        segmented = LabelSegmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES).segment(self.frame)
        return [item for item in segmented if isinstance(item, InstanceMask)]

    def object_clouds(self, points: int = 1024) -> list[ObjectCloud]:
        """Return the clouds of the objects.

        Raises:
            DataError: No object has a cloud.
        """
        results = [extract_cloud(self.frame, item, CloudConfig(points=points)) for item in self.instances]
        clouds = [result for result in results if isinstance(result, ObjectCloud)]
        if not clouds:
            raise DataError(f"expected clouds of {OBJECTS} rendered objects, got none: check depth and masks")
        return clouds

    def batch(self, size: int, points: int) -> tuple[FloatArray, list[str]]:
        """Return ``(size, points, 3)`` float32 clouds and their categories; objects are repeated as needed."""
        clouds = self.object_clouds(points)
        chosen = [clouds[i % len(clouds)] for i in range(size)]
        return np.stack([cloud.points_camera for cloud in chosen]), [cloud.instance.category for cloud in chosen]
