"""The backend ``detections``: boxes of another program become masks by the depth inside them."""

from __future__ import annotations

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.segmentation.box_masks import box_mask
from clipose_ros.segmentation.class_map import parse_class_map
from clipose_ros.segmentation.overlap import suppress_overlaps
from clipose_ros.types import DetectedBox, InstanceMask, Rejection, RejectionReason, RgbdFrame


class BoxSegmenter:
    """Segmenter that reads ``frame.boxes``. Classes are mapped by ``class_map``; others are ignored."""

    def __init__(self, config: SegmentationConfig, categories: CategorySet) -> None:
        """Parse the class map.

        Raises:
            ConfigError: ``class_map`` is malformed or names an unknown category.
        """
        self._config = config
        self._categories = parse_class_map(config.class_map, categories)

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply thresholds and the number of instances."""
        self._config = config

    def segment(self, frame: RgbdFrame) -> list[InstanceMask | Rejection]:
        """Return the instances by descending score, and a rejection for each box without an object in its depth.

        Raises:
            SegmentationError: The frame has no boxes.
        """
        if frame.boxes is None:
            raise SegmentationError(
                "backend 'detections' needs boxes with every frame, got none: publish segmentation/detections "
                "(vision_msgs/Detection2DArray with the stamp of the image), or choose another segmentation.backend"
            )
        known = [box for box in frame.boxes if box.class_name in self._categories]
        best = sorted((box for box in known if box.score >= self._config.score_threshold), key=lambda box: -box.score)
        found = [self._segment_box(frame, box) for box in best[: self._config.max_instances]]
        instances = suppress_overlaps((f for f in found if isinstance(f, InstanceMask)), self._config.iou_threshold)
        return [*instances, *(f for f in found if isinstance(f, Rejection))]

    def _segment_box(self, frame: RgbdFrame, detected: DetectedBox) -> InstanceMask | Rejection:
        """Return the mask of a box, cropped to its own box."""
        category, (height, width) = self._categories[detected.class_name], frame.depth.shape
        x0, y0 = max(detected.box[0], 0), max(detected.box[1], 0)
        x1, y1 = min(detected.box[2], width), min(detected.box[3], height)
        if x0 >= x1 or y0 >= y1:
            detail = f"the box {detected.box} lies outside of the image, {width}x{height} pixels"
            return Rejection(category, RejectionReason.NO_DEPTH, detail)
        mask = np.zeros(frame.depth.shape, dtype=bool)
        mask[y0:y1, x0:x1] = box_mask(frame.depth, (x0, y0, x1, y1))
        instance = InstanceMask.from_full(category, min(max(detected.score, 0.0), 1.0), mask)
        if instance is None:
            detail = f"no object stands out by its depth in the box {(x0, y0, x1, y1)}"
            return Rejection(category, RejectionReason.NO_DEPTH, detail)
        return instance


DETECTIONS = SegmenterSpec(lambda config, categories, device: BoxSegmenter(config, categories))
"""The backend ``detections``; it has no network, so the device is ignored."""
