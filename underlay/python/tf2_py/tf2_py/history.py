"""What is known of one frame over time, and rigid transforms as a translation and a quaternion."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rigid:
    """Maps child coordinates into parent coordinates."""

    translation: Array
    """``(3,)`` metres."""
    quat_xyzw: Array
    """``(4,)``, unit length."""

    def rotate(self, vector: Array) -> Array:
        """``vector`` turned by the rotation alone."""
        axis, w = self.quat_xyzw[:3], self.quat_xyzw[3]
        cross = 2.0 * _cross(axis, vector)
        return np.asarray(vector + w * cross + _cross(axis, cross))

    def __matmul__(self, other: Rigid) -> Rigid:
        axis_a, w_a, axis_b, w_b = self.quat_xyzw[:3], self.quat_xyzw[3], other.quat_xyzw[:3], other.quat_xyzw[3]
        axis = w_a * axis_b + w_b * axis_a + _cross(axis_a, axis_b)
        quat = np.append(axis, w_a * w_b - axis_a @ axis_b)
        return Rigid(self.translation + self.rotate(other.translation), quat / np.linalg.norm(quat))

    def inverse(self) -> Rigid:
        """Return the transform from parent to child coordinates."""
        turned_back = Rigid(np.zeros(3), self.quat_xyzw * (-1.0, -1.0, -1.0, 1.0))
        return Rigid(-turned_back.rotate(self.translation), turned_back.quat_xyzw)

    def towards(self, other: Rigid, fraction: float) -> Rigid:
        """``fraction`` of the way to ``other``: straight in translation, shortest turn in rotation."""
        cosine = float(self.quat_xyzw @ other.quat_xyzw)
        end = other.quat_xyzw if cosine >= 0.0 else -other.quat_xyzw
        angle = float(np.arccos(min(abs(cosine), 1.0)))
        if angle < 1e-9:  # the sines below vanish, and so does the difference
            quat = self.quat_xyzw
        else:
            quat = (np.sin((1.0 - fraction) * angle) * self.quat_xyzw + np.sin(fraction * angle) * end) / np.sin(angle)
        return Rigid(self.translation + fraction * (other.translation - self.translation), quat / np.linalg.norm(quat))


def _cross(a: Array, b: Array) -> Array:
    """Return the cross product of two vectors; NumPy's own takes ten times as long for one."""
    (a_x, a_y, a_z), (b_x, b_y, b_z) = a.tolist(), b.tolist()
    return np.array([a_y * b_z - a_z * b_y, a_z * b_x - a_x * b_z, a_x * b_y - a_y * b_x])


IDENTITY = Rigid(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))


@dataclass(frozen=True)
class Sample:
    """One transform as received."""

    stamp_ns: int
    parent: str
    pose: Rigid
    """Child in parent."""


class History:
    """Samples of one child frame, sorted by stamp.

    Args:
        static: Holds at all times; the newest sample replaces the one before.
        keep_ns: How far behind the newest stamp a sample is kept.
    """

    def __init__(self, static: bool, keep_ns: int) -> None:
        self.static = static
        self._keep_ns = keep_ns
        self._samples: list[Sample] = []

    @property
    def latest(self) -> Sample:
        """The newest sample."""
        return self._samples[-1]

    @property
    def oldest(self) -> Sample:
        """The oldest sample."""
        return self._samples[0]

    def insert(self, sample: Sample) -> bool:
        """Take in ``sample``; False if it is older than what is kept."""
        if self.static:
            self._samples = [sample]
            return True
        if self._samples and sample.stamp_ns < self.latest.stamp_ns - self._keep_ns:
            return False
        bisect.insort(self._samples, sample, key=lambda other: other.stamp_ns)
        limit = self.latest.stamp_ns - self._keep_ns
        del self._samples[: bisect.bisect_left(self._samples, limit, key=lambda other: other.stamp_ns)]
        return True

    def at(self, stamp_ns: int) -> Sample | None:
        """Return the transform at ``stamp_ns``, interpolated between its neighbours; None outside what is stored."""
        if self.static:
            return self.latest
        after = bisect.bisect_left(self._samples, stamp_ns, key=lambda other: other.stamp_ns)
        if after == len(self._samples):
            return None
        newer = self._samples[after]
        if newer.stamp_ns == stamp_ns:
            return newer
        if after == 0:
            return None
        older = self._samples[after - 1]
        if older.parent != newer.parent:  # the frame was hung elsewhere in between: nothing to interpolate
            return older
        fraction = (stamp_ns - older.stamp_ns) / (newer.stamp_ns - older.stamp_ns)
        return Sample(stamp_ns, older.parent, older.pose.towards(newer.pose, fraction))
