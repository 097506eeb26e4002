"""The tree of frames over time."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_py.exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)
from tf2_py.history import IDENTITY, History, Rigid, Sample

_MAX_DEPTH = 1000
_QUATERNION_TOLERANCE = 1e-2


class BufferCore:
    """Stores transforms and answers for any pair of frames and any time within what is stored.

    Args:
        cache_time: How far back transforms are kept; 10 s if not given.
    """

    def __init__(self, cache_time: Duration | None = None) -> None:
        self._keep_ns = int(10e9) if cache_time is None else int(cache_time.nanoseconds)
        self._histories: dict[str, History] = {}
        self._frames: set[str] = set()
        self._lock = threading.RLock()

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at its stamp; one that is unusable is logged."""
        self._insert(transform, authority, static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Take in a transform that holds at all times."""
        self._insert(transform, authority, static=True)

    def clear(self) -> None:
        """Forget everything but static transforms."""
        with self._lock:
            self._histories = {name: history for name, history in self._histories.items() if history.static}

    def all_frames_as_yaml(self) -> str:
        """Every frame with its parent and the stamps of its oldest and newest transform."""
        with self._lock:
            lines = [
                f"{name}: \n  parent: '{history.latest.parent}'\n"
                f"  most_recent_transform: {history.latest.stamp_ns / 1e9:.6f}\n"
                f"  oldest_transform: {history.oldest.stamp_ns / 1e9:.6f}\n"
                for name, history in sorted(self._histories.items())
            ]
        return "".join(lines) or "[]"

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Time | TimeMessage) -> TransformStamped:
        """Return the transform from ``source_frame`` to ``target_frame`` at ``time``; 0 is the latest.

        Raises:
            TransformException: One of its kinds says why there is none.
        """
        with self._lock:
            stamp_ns, pose = self._lookup(target_frame, source_frame, _nanoseconds(time))
        return _message(target_frame, source_frame, stamp_ns, pose)

    def lookup_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> TransformStamped:
        """Return the transform between two frames at two times, through ``fixed_frame``, which stands still."""
        with self._lock:
            stamp_ns, target = self._lookup(target_frame, fixed_frame, _nanoseconds(target_time))
            _, source = self._lookup(fixed_frame, source_frame, _nanoseconds(source_time))
        return _message(target_frame, source_frame, stamp_ns, target @ source)

    def can_transform_core(self, target_frame: str, source_frame: str, time: Any) -> tuple[bool, str]:
        """Whether the transform can be given, and if not, why."""
        try:
            self.lookup_transform_core(target_frame, source_frame, time)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def can_transform_full_core(
        self, target_frame: str, target_time: Any, source_frame: str, source_time: Any, fixed_frame: str
    ) -> tuple[bool, str]:
        """Whether the transform over two times can be given, and if not, why."""
        try:
            self.lookup_transform_full_core(target_frame, target_time, source_frame, source_time, fixed_frame)
        except TransformException as error:
            return False, str(error)
        return True, ""

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the newest time at which the transform is known; 0 if it is static."""
        with self._lock:
            self._check(target_frame)
            self._check(source_frame)
            return Time(nanoseconds=self._latest_common_ns(target_frame, source_frame))

    def _insert(self, message: TransformStamped, authority: str, static: bool) -> None:
        child, parent = message.child_frame_id.lstrip("/"), message.header.frame_id.lstrip("/")
        moved, turned = message.transform.translation, message.transform.rotation
        pose = Rigid(np.array([moved.x, moved.y, moved.z]), np.array([turned.x, turned.y, turned.z, turned.w]))
        fault = _fault(child, parent, pose)
        if fault is None:
            unit = Rigid(pose.translation, pose.quat_xyzw / np.linalg.norm(pose.quat_xyzw))
            with self._lock:
                history = self._histories.get(child)
                if history is None or history.static != static:
                    history = self._histories[child] = History(static, self._keep_ns)
                if not history.insert(Sample(_nanoseconds(message.header.stamp), parent, unit)):
                    fault = f"its stamp is more than {self._keep_ns / 1e9:g} s older than the newest"
                self._frames |= {child, parent}
        if fault is not None:
            get_logger("tf2_buffer").error(f"transform of '{child}' in '{parent}' from '{authority}' ignored: {fault}")

    def _lookup(self, target: str, source: str, stamp_ns: int) -> tuple[int, Rigid]:
        """Stamp and pose of ``source`` in ``target``."""
        for name in (target, source):
            if not name or name.startswith("/"):
                raise InvalidArgumentException(f"expected a frame's name without a leading slash, got '{name}'")
        if target == source:  # true of any frame, heard of or not
            known = self._histories.get(source)
            return (known.latest.stamp_ns if known and not stamp_ns else stamp_ns), IDENTITY
        self._check(target)
        self._check(source)
        if stamp_ns == 0:
            stamp_ns = self._latest_common_ns(target, source)
        up_source, fault_source = self._ascend(source, stamp_ns)
        up_target, fault_target = self._ascend(target, stamp_ns)
        common = next((name for name in up_source if name in up_target), None)
        if common is None:
            fault = fault_source or fault_target
            if fault is not None:
                raise ExtrapolationException(f"{fault}, when looking up '{source}' in '{target}'")
            raise self._unconnected(target, source)
        return stamp_ns, up_target[common].inverse() @ up_source[common]

    def _ascend(self, frame: str, stamp_ns: int) -> tuple[dict[str, Rigid], str | None]:
        """Pose of ``frame`` in itself and in each ancestor as far as known at that time, and why no further."""
        poses = {frame: IDENTITY}
        while (history := self._histories.get(frame)) is not None:
            sample = history.at(stamp_ns)
            if sample is None:
                oldest, latest = history.oldest.stamp_ns, history.latest.stamp_ns
                return (
                    poses,
                    f"time {stamp_ns / 1e9:.6f} lies outside {oldest / 1e9:.6f} to {latest / 1e9:.6f} of '{frame}'",
                )
            if sample.parent in poses or len(poses) > _MAX_DEPTH:
                raise LookupException(f"the frames form a loop through '{frame}'")
            poses[sample.parent] = sample.pose @ poses[frame]
            frame = sample.parent
        return poses, None

    def _latest_common_ns(self, target: str, source: str) -> int:
        """Newest stamp known for every moving frame on the way; 0 if none moves."""
        if target == source:
            return self._histories[source].latest.stamp_ns if source in self._histories else 0
        chains = [self._chain(source), self._chain(target)]
        common = next((name for name in chains[0] if name in chains[1]), None)
        if common is None:
            raise self._unconnected(target, source)
        way = [name for chain in chains for name in chain[: chain.index(common)]]
        return min(
            (self._histories[name].latest.stamp_ns for name in way if not self._histories[name].static), default=0
        )

    def _chain(self, frame: str) -> list[str]:
        """``frame`` and its ancestors by the newest transforms."""
        chain = [frame]
        while frame in self._histories:
            frame = self._histories[frame].latest.parent
            if frame in chain:
                raise LookupException(f"the frames form a loop through '{frame}'")
            chain.append(frame)
        return chain

    def _check(self, frame: str) -> None:
        if frame not in self._frames:
            raise LookupException(
                f"frame '{frame}' does not exist; there are {', '.join(sorted(self._frames)) or 'none'}"
            )

    def _unconnected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(f"'{source}' and '{target}' are not in one tree")


def _fault(child: str, parent: str, pose: Rigid) -> str | None:
    """Return why a received transform is unusable."""
    if not child or not parent:
        return "a frame's name is empty"
    if child == parent:
        return "the two frames are the same"
    if np.isnan(pose.translation).any() or np.isnan(pose.quat_xyzw).any():
        return f"it holds NaN: {pose.translation}, {pose.quat_xyzw}"
    if abs(float(pose.quat_xyzw @ pose.quat_xyzw) - 1.0) >= _QUATERNION_TOLERANCE:
        return f"expected a quaternion of length 1, got {pose.quat_xyzw}"
    return None


def _nanoseconds(time: Time | TimeMessage) -> int:
    """Of either kind of time."""
    if isinstance(time, TimeMessage):
        return int(time.sec) * 1_000_000_000 + int(time.nanosec)
    return int(time.nanoseconds)


def _message(target: str, source: str, stamp_ns: int, pose: Rigid) -> TransformStamped:
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = target, source
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    moved, turned = message.transform.translation, message.transform.rotation
    moved.x, moved.y, moved.z = (float(value) for value in pose.translation)
    turned.x, turned.y, turned.z, turned.w = (float(value) for value in pose.quat_xyzw)
    return message
