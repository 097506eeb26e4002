"""Checks of transforms, which may come from anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from clipose_ros.decoding.messages import MAX_FRAME_ID_LENGTH, is_valid_stamp, stamp_ns

_MAX_DISTANCE_M = 1e8
"""Largest coordinate of a translation. Float64 resolves 15 nm there, and a micrometre not much farther away."""
_UNIT_TOLERANCE = 1e-2  # of the squared length of a quaternion, as in tf2


def find_transform_fault(transform: Any) -> str | None:
    """Return why a ``geometry_msgs/TransformStamped`` cannot be used; None if it can."""
    child, parent = transform.child_frame_id, transform.header.frame_id
    if not child or not parent or child == parent:
        return "expected the names of two frames"
    if max(len(child), len(parent)) > MAX_FRAME_ID_LENGTH:
        return f"a name has more than {MAX_FRAME_ID_LENGTH} characters"
    if not is_valid_stamp(transform.header.stamp) and stamp_ns(transform.header.stamp) != 0:
        return "its stamp is no time"
    moved, turned = transform.transform.translation, transform.transform.rotation
    values = [moved.x, moved.y, moved.z, turned.x, turned.y, turned.z, turned.w]
    if not np.isfinite(values).all() or max(map(abs, values[:3])) > _MAX_DISTANCE_M:
        return f"expected finite values and a translation of at most {_MAX_DISTANCE_M:g} m, got {values}"
    if abs(sum(value * value for value in values[3:]) - 1.0) >= _UNIT_TOLERANCE:
        return f"expected a quaternion of length 1, got {values[3:]}"
    return None
