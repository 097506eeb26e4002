"""Builds the segmentation backend that the configuration names."""

from __future__ import annotations

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.segmentation.propagation import PropagatingSegmenter


def create_segmenter(config: SegmentationConfig, categories: CategorySet, device: str = "auto") -> Segmenter:
    """Build the backend ``config.backend``, which rests between every ``config.every_n`` frames.

    Args:
        config: Backend, weights, class map and thresholds.
        categories: The categories that can be posed; nothing else is returned.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; only networks use it.

    Raises:
        SegmentationError: Weights or library of the backend are missing, or its classes do not fit ``class_map``.
        ConfigError: ``class_map`` is malformed or names an unknown category.
    """
    backend = _backend(config, categories, device)
    return backend if config.every_n == 1 else PropagatingSegmenter(backend, config)


def _backend(config: SegmentationConfig, categories: CategorySet, device: str) -> Segmenter:
    """What detects. Its libraries load only here: who segments by labels needs neither ultralytics nor torchvision."""
    if config.backend == "labels":
        from clipose_ros.segmentation.labels import LabelSegmenter

        return LabelSegmenter(config, categories)
    if config.backend == "mask_rcnn":
        from clipose_ros.segmentation.mask_rcnn import MaskRcnnSegmenter

        return MaskRcnnSegmenter(config, categories, device)
    from clipose_ros.segmentation.yolo import YoloSegmenter

    return YoloSegmenter(config, categories, device)
