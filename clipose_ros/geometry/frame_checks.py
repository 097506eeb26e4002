"""Cheap tests of a frame for mistakes that no format reveals: the unit of depth, and axes that are not optical."""

from __future__ import annotations

import math

import numpy as np

from clipose_ros.types import FloatArray

_GRID_STEP = 8
_UP = 0.7
"""Cosine of the angle to the vertical above which an axis points upward."""


def median_depth(depth: FloatArray) -> float:
    """Return the median of the valid depths on every eighth row and column, metres; NaN without any."""
    sparse = depth[::_GRID_STEP, ::_GRID_STEP]
    valid = sparse[np.isfinite(sparse) & (sparse > 0.0)]
    return float(np.median(valid)) if valid.size else math.nan


def points_up(T_fixed_camera: FloatArray) -> bool:
    """Return True if the z axis of the camera points upward in a frame whose z axis is up."""
    return bool(T_fixed_camera[2, 2] > _UP)
