"""What is timed on: one rendered frame with five objects, and their clouds."""

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
"""On the table of the frame."""


@dataclass(frozen=True)
class BenchmarkInputs:
    """A frame and what is found in it.

    Attributes:
        frame: 640x480 colour, simulated depth and labels.
    """

    frame: RgbdFrame

    @classmethod
    def rendered(cls) -> BenchmarkInputs:
        """The same frame every time."""
        shown = next(iter(render_sequence(SequenceConfig(objects=OBJECTS, frames=2, workers=1))))
        return cls(replace(shown.frame, frame_id="camera_color_optical_frame"))

    @cached_property
    def instances(self) -> list[InstanceMask]:
        """Masks of all objects."""
        found = LabelSegmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES).segment(self.frame)
        return [item for item in found if isinstance(item, InstanceMask)]

    def object_clouds(self, points: int = 1024) -> list[ObjectCloud]:
        """The cloud of each object that has one."""
        results = [extract_cloud(self.frame, item, CloudConfig(points=points)) for item in self.instances]
        clouds = [result for result in results if isinstance(result, ObjectCloud)]
        if not clouds:
            raise DataError(f"expected clouds of {OBJECTS} rendered objects, got none: see the depth and the masks")
        return clouds

    def batch(self, size: int, points: int) -> tuple[FloatArray, list[str]]:
        """``(size, points, 3)`` float32 clouds and their categories; the objects repeat."""
        clouds = self.object_clouds(points)
        chosen = [clouds[i % len(clouds)] for i in range(size)]
        return np.stack([cloud.points_camera for cloud in chosen]), [cloud.instance.category for cloud in chosen]
