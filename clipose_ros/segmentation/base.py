"""What every segmentation backend offers."""

from __future__ import annotations

from typing import Protocol

from clipose_ros.config import SegmentationConfig
from clipose_ros.types import InstanceMask, RgbdFrame


class Segmenter(Protocol):
    """Finds the instances of known categories in a frame."""

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """The instances of a frame, at most ``max_instances``, best first.

        Args:
            frame: One registered colour and depth image, with labels where the backend reads them.

        Returns:
            Masks cropped to their boxes, in pixels of ``frame``; an empty list where nothing was found.

        Raises:
            SegmentationError: The frame lacks what the backend reads, or holds values it cannot interpret.
        """
        ...

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over the settings that may change while running: thresholds and number of instances."""
        ...
