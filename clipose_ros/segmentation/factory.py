"""Creation of the segmentation backend that the configuration names."""

from __future__ import annotations

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation.base import Segmenter, load_segmenter_spec
from clipose_ros.segmentation.propagation import PropagatingSegmenter


def create_segmenter(config: SegmentationConfig, categories: CategorySet, device: str = "auto") -> Segmenter:
    """Build the backend ``config.backend``; if ``config.every_n`` exceeds 1, it runs on every n-th frame only.

    The module of a backend, and with it ultralytics or torchvision, is imported only when that backend is built.

    Args:
        config: Backend, weights, class map and thresholds.
        categories: Categories of the pose network; only their instances are returned.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ignored by backends without a network.

    Raises:
        SegmentationError: Weights or library of the backend are missing, or its classes do not fit ``class_map``.
        ConfigError: The backend does not exist or cannot be imported, or ``class_map`` is malformed or names an
            unknown category.
    """
    segmenter = load_segmenter_spec(config.backend).create(config, categories, device)
    return segmenter if config.every_n == 1 else PropagatingSegmenter(segmenter, config)
