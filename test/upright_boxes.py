"""Clouds of boxes for tests of training."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.samples import CloudSamples


def make_upright_boxes(count: int = 24, points_each: int = 128) -> CloudSamples:
    """Make clouds of flat boxes that stand upright before the camera: easy enough to learn in seconds."""
    rng = np.random.default_rng(4)
    size = np.tile(np.array([0.05, 0.2, 0.1], np.float32), (count, 1))
    T = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    T[:, :3, 3] = rng.uniform(-0.2, 0.2, (count, 3)) + np.array([0, 0, 0.8])
    points = rng.uniform(-0.5, 0.5, (count, points_each, 3)) * size[:, None] + T[:, None, :3, 3]
    index = np.arange(count, dtype=np.int64) % 6
    return CloudSamples(points.astype(np.float32), index, T, size, np.ones(count, bool), np.ones(count, np.float32))
