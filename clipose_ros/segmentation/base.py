"""What every segmentation backend offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from clipose_ros.config import SegmentationConfig
from clipose_ros.types import InstanceMask, Rejection, RgbdFrame


class Segmenter(Protocol):
    """Finds the instances of known categories in a frame."""

    def segment(self, frame: RgbdFrame) -> Sequence[InstanceMask | Rejection]:
        """The instances of a frame, at most ``max_instances``, best first, and what could not be made an instance.

        Args:
            frame: One registered colour and depth image, with labels where the backend reads them.

        Returns:
            Masks cropped to their boxes, in pixels of ``frame``; empty where nothing was found. Pixels that the backend
            cannot interpret come as a rejection and cost the other instances nothing.

        Raises:
            SegmentationError: The frame lacks what the backend reads.
        """
        ...

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over the settings that may change while running: thresholds and number of instances."""
        ...
