"""Transforms of a recording, and their lookup at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import numpy as np

from clipose_ros.data.bags.message_types import TRANSFORMS, decode
from clipose_ros.data.bags.records import RawMessage
from clipose_ros.decoding.messages import is_valid_stamp, stamp_ns
from clipose_ros.decoding.transforms import find_transform_fault
from clipose_ros.errors import FrameError, quoted
from clipose_ros.geometry.se3 import exp_so3, invert_transform, log_so3, make_transform, rotation_from_quat_xyzw
from clipose_ros.types import FloatArray

_MAX_FRAMES = 10_000
_MAX_TRANSFORMS = 1_000_000
_STATIC = "tf_static"


class TransformTree:
    """Transforms between the frames of a recording.

    A transform between two stamps is interpolated, as TF does; there is none before the first and after the last.

    Attributes:
        refused: Number of transforms that were not usable.
    """

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._fixed: dict[str, FloatArray] = {}
        self._moving: dict[str, list[tuple[int, FloatArray]]] = {}
        self._is_sorted = True
        self._count = self.refused = 0

    def add(self, message: RawMessage) -> None:
        """Add the transforms of a message; those that are not usable are counted.

        Raises:
            FrameError: The message cannot be decoded.
        """
        is_static = message.channel.topic.rpartition("/")[2] == _STATIC
        for transform in decode(message).transforms:
            self._add(transform, is_static)

    def _add(self, transform: Any, is_static: bool) -> None:
        stamp, child = transform.header.stamp, transform.child_frame_id.lstrip("/")
        known = child in self._parents
        if find_transform_fault(transform) or not (is_static or is_valid_stamp(stamp)) or (
            not known and len(self._parents) >= _MAX_FRAMES
        ) or self._count >= _MAX_TRANSFORMS:  # fmt: skip
            self.refused += 1
            return
        self._count += 1
        moved, turned = transform.transform.translation, transform.transform.rotation
        R = rotation_from_quat_xyzw([turned.x, turned.y, turned.z, turned.w])
        T = make_transform(R, [moved.x, moved.y, moved.z])
        self._parents[child] = transform.header.frame_id.lstrip("/")
        if is_static:
            self._fixed[child] = T
            return
        self._moving.setdefault(child, []).append((stamp_ns(stamp), T))
        self._is_sorted = False

    def lookup(self, target: str, source: str, stamp: int) -> FloatArray:
        """Return ``T_target_source`` ``(4, 4)`` at a stamp, nanoseconds.

        Raises:
            FrameError: The recording has no such transform at that time.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return np.eye(4)
        self._sort()
        above_source, above_target = list(self._ancestors(source)), list(self._ancestors(target))
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            known = ", ".join(quoted(frame) for frame in sorted({*self._parents, *self._parents.values()})[:10])
            raise FrameError(
                f"the recording's '/tf' connects {quoted(source)} and {quoted(target)} nowhere: it has "
                f"{known or 'no transforms'}; record /tf and /tf_static, or choose another frame"
            )
        T_common_source = self._climb(above_source[: above_source.index(common)], stamp)
        T_common_target = self._climb(above_target[: above_target.index(common)], stamp)
        return invert_transform(T_common_target) @ T_common_source

    def _sort(self) -> None:
        if not self._is_sorted:
            for samples in self._moving.values():
                samples.sort(key=lambda sample: sample[0])
            self._is_sorted = True

    def _ancestors(self, frame: str) -> Iterator[str]:
        """Yield a frame and those above it."""
        seen: set[str] = set()
        while frame not in seen:  # a damaged recording may hold a circle
            seen.add(frame)
            yield frame
            if frame not in self._parents:
                return
            frame = self._parents[frame]

    def _climb(self, frames: list[str], stamp: int) -> FloatArray:
        """Return the transform from the first of successive frames to the parent of the last."""
        T = np.eye(4)
        for frame in frames:
            T = self._at(frame, stamp) @ T
        return T

    def _at(self, frame: str, stamp: int) -> FloatArray:
        """Return ``T_parent_frame`` at a stamp."""
        if frame in self._fixed:
            return self._fixed[frame]
        samples = self._moving[frame]
        after = bisect_left(samples, stamp, key=lambda sample: sample[0])
        if after < len(samples) and samples[after][0] == stamp:
            return samples[after][1]
        if not 0 < after < len(samples):
            first, last = samples[0][0] * 1e-9, samples[-1][0] * 1e-9
            raise FrameError(
                f"the recording has transforms of {quoted(frame)} from {first:.3f} s to {last:.3f} s, none at the "
                f"image's {stamp * 1e-9:.3f} s: record /tf from before the first image to after the last"
            )
        (start, T0), (end, T1) = samples[after - 1], samples[after]
        return _interpolate(T0, T1, (stamp - start) / (end - start))


def is_transform(topic: str, kind: str) -> bool:
    """Return True for a topic of transforms."""
    return kind in TRANSFORMS and topic.rpartition("/")[2] in ("tf", _STATIC)


def _interpolate(T0: FloatArray, T1: FloatArray, share: float) -> FloatArray:
    """Return the transform between two others: position on the straight line, rotation on the shortest arc."""
    R0, R1 = T0[:3, :3], T1[:3, :3]
    R = R0 @ exp_so3(share * log_so3(R0.T @ R1))
    return make_transform(R, T0[:3, 3] + share * (T1[:3, 3] - T0[:3, 3]))
