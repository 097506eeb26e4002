"""Masks for the frames between detections, carried along by what moved in the image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.types import ByteArray, FloatArray, InstanceMask, Rejection, RgbdFrame

_LONGEST_NS = 300_000_000  # masks older than this are not carried on: too much may have happened since
_FLOW_WIDTH = 320  # pixels: motion is looked for in an image about this wide
_RIM_PX = 8  # a mask is searched for this far beyond where it has moved
_DEPTH_M = 0.03  # depth that changed otherwise than the mask's by more than this, plus noise, is another surface
_NOISE_PER_M = 0.01  # grows with the square of depth
_NEARER = 0.15  # share of its depth by which an object may have come nearer or gone away
_LOST = 0.7  # a mask of which less than this share is found again is lost


@dataclass(frozen=True, slots=True, eq=False)
class _Detected:
    """The last detection and the frame it was made on."""

    frame: RgbdFrame
    grey: ByteArray
    instances: tuple[InstanceMask, ...]


class PropagatingSegmenter:
    """Detects on every n-th frame and carries the masks along on those between.

    Between, each pixel belongs to the mask to which it belonged on the frame of the last detection, as dense optical
    flow traces it back, unless its depth changed otherwise than the mask's. Nothing needs to be known of how camera and
    objects move. Where a mask is lost, time jumps or frames come too slowly, the frame is detected after all.

    Args:
        inner: What detects.
        config: ``every_n``; 1 detects on every frame.
    """

    def __init__(self, inner: Segmenter, config: SegmentationConfig) -> None:
        self._inner = inner
        self._every_n = config.every_n
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._detected: _Detected | None = None
        self._carried = 0

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over ``every_n`` and what the inner segmenter takes; the next frame is detected."""
        self._inner.reconfigure(config)
        self._every_n, self._detected = config.every_n, None

    def segment(self, frame: RgbdFrame) -> Sequence[InstanceMask | Rejection]:
        """The instances of a frame, detected or carried along.

        Raises:
            SegmentationError: The inner segmenter cannot use the frame.
        """
        if self._every_n == 1:
            return self._inner.segment(frame)
        grey, detected = _grey(frame.rgb), self._detected
        if detected is not None and self._carried + 1 < self._every_n and _follows(frame, detected.frame):
            carried = self._carry(detected, frame, grey)
            if carried is not None:
                self._carried += 1
                return carried
        found = self._inner.segment(frame)
        instances = tuple(item for item in found if isinstance(item, InstanceMask))
        self._detected, self._carried = _Detected(frame, grey, instances), 0
        return found

    def _carry(self, detected: _Detected, frame: RgbdFrame, grey: ByteArray) -> list[InstanceMask] | None:
        """The detected instances where they are now; None where one is lost."""
        if not detected.instances:
            return []
        flow = self._flow.calc(grey, detected.grey, None)  # from now back to then
        carried = []
        for instance in detected.instances:
            now = _moved(instance, flow, detected.frame.depth, frame.depth)
            if now is None:
                return None
            carried.append(now)
        return carried


def _grey(rgb: ByteArray) -> ByteArray:
    """What motion is looked for in: a small grey image."""
    scale = max(1, round(rgb.shape[1] / _FLOW_WIDTH))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = (rgb.shape[1] // scale, rgb.shape[0] // scale)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _follows(frame: RgbdFrame, before: RgbdFrame) -> bool:
    """Whether masks of one frame can be carried to another: the same camera, a moment later."""
    return frame.intrinsics == before.intrinsics and 0 <= frame.stamp_ns - before.stamp_ns <= _LONGEST_NS


def _moved(
    instance: InstanceMask, flow: FloatArray, depth_then: FloatArray, depth_now: FloatArray
) -> InstanceMask | None:
    """An instance where it is now; None where too little of it is found again.

    Args:
        instance: As it was then.
        flow: ``(h, w, 2)`` of a smaller image, in its pixels: from a pixel now to where it was then.
        depth_then: ``(H, W)`` metres.
        depth_now: ``(H, W)`` metres.
    """
    x0, y0, x1, y1 = _searched(instance.box, flow, depth_now.shape)
    per_u, per_v = flow.shape[1] / depth_now.shape[1], flow.shape[0] / depth_now.shape[0]
    u, v = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
    motion = cv2.remap(flow, (u + 0.5) * per_u - 0.5, (v + 0.5) * per_v - 0.5, cv2.INTER_LINEAR)
    u, v = u + motion[..., 0] / per_u, v + motion[..., 1] / per_v  # where each pixel was then
    left, top = instance.box[:2]
    mask = cv2.remap(instance.mask.view(np.uint8), u - left, v - top, cv2.INTER_NEAREST).view(np.bool_)
    then, now = cv2.remap(depth_then, u, v, cv2.INTER_NEAREST), depth_now[y0:y1, x0:x1]
    known = mask & (then > 0.0) & (now > 0.0)  # False for NaN
    if known.any():
        change = now - then
        nearer = float(np.median(change[known]))
        if abs(nearer) > _NEARER * float(np.median(now[known])):
            return None
        change -= nearer
        mask &= ~(known & (np.abs(change) > _DEPTH_M + _NOISE_PER_M * now * now))
    if np.count_nonzero(mask) < _LOST * np.count_nonzero(instance.mask):
        return None
    found = InstanceMask.from_full(instance.category, instance.score, mask)
    assert found is not None  # a share of something is something
    u0, v0, u1, v1 = found.box
    return dataclasses.replace(found, box=(u0 + x0, v0 + y0, u1 + x0, v1 + y0))


def _searched(box: tuple[int, int, int, int], flow: FloatArray, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1) in which an instance is searched for: its own, grown by the motion in it."""
    x0, y0, x1, y1 = box
    scale = shape[1] / flow.shape[1]
    motion = flow[int(y0 / scale) : math.ceil(y1 / scale), int(x0 / scale) : math.ceil(x1 / scale)]
    reach = math.ceil(scale * float(np.abs(motion).max())) + _RIM_PX
    return max(x0 - reach, 0), max(y0 - reach, 0), min(x1 + reach, shape[1]), min(y1 + reach, shape[0])
