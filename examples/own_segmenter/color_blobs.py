"""Segmentation backend that finds connected regions of one hue, for objects of a known colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import ConfigNode, SegmentationConfig, option
from clipose_ros.segmentation import SegmenterSpec
from clipose_ros.types import InstanceMask, RgbdFrame


@dataclass(frozen=True)
class ColorBlobsConfig(ConfigNode):
    """Settings of the backend; ROS parameters ``segmentation.color_blobs.*``."""

    category: str = option("mug", "Category of every blob.")
    hue_deg: float = option(0.0, "Hue of the objects, degrees: 0 is red, 120 green.", low=0.0, high=360.0, live=True)
    hue_tolerance_deg: float = option(
        15.0, "Largest difference of a pixel's hue, degrees.", low=0.0, high=180.0, live=True
    )
    min_saturation: float = option(0.5, "Smallest saturation of a pixel, in [0, 1].", low=0.0, high=1.0, live=True)
    min_area_px: int = option(200, "Smaller blobs are ignored, pixels.", low=1, high=10_000_000, live=True)


class ColorBlobSegmenter:
    """Segments connected regions of one hue; implements the ``Segmenter`` protocol."""

    def __init__(self, config: SegmentationConfig, categories: CategorySet, device: str) -> None:
        """Check the category; this backend has no network, so the device is ignored.

        Raises:
            ConfigError: The pose network has no such category.
        """
        self._category = categories[config.settings_as(ColorBlobsConfig).category].name
        self.reconfigure(config)

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply the settings that may change at run time."""
        self._settings = config.settings_as(ColorBlobsConfig)
        self._max_instances = config.max_instances

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """Return one instance per blob, largest first."""
        settings = self._settings
        hsv = cv2.cvtColor(np.ascontiguousarray(frame.rgb), cv2.COLOR_RGB2HSV)  # hue in steps of 2 degrees
        difference = np.abs((2.0 * hsv[..., 0] - settings.hue_deg + 180.0) % 360.0 - 180.0)
        matches = (difference <= settings.hue_tolerance_deg) & (hsv[..., 1] >= 255.0 * settings.min_saturation)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(matches.astype(np.uint8))
        blobs = []
        for label, (x, y, width, height, area) in enumerate(stats.tolist()):
            if label > 0 and area >= settings.min_area_px:  # label 0 is the background
                mask = labels[y : y + height, x : x + width] == label
                blobs.append((area, InstanceMask(self._category, 1.0, (x, y, x + width, y + height), mask)))
        blobs.sort(key=lambda blob: -blob[0])
        return [instance for _, instance in blobs[: self._max_instances]]


COLOR_BLOBS = SegmenterSpec(create=ColorBlobSegmenter, settings_type=ColorBlobsConfig)
"""The object that the entry point names."""
