"""Propagation of instance masks to the frames between detections, by dense optical flow and depth.

Each pixel p of a new frame is traced back by the flow f (from the new frame to the last detected one) to q = p + f(p),
and gets the mask value at q. It is removed from the mask if its depth change d_new(p) - d_old(q) differs from the
median change of the mask by more than ``_MAX_DEPTH_RESIDUAL_M`` + ``_DEPTH_NOISE_PER_M`` d_new(p)^2: then it belongs to
another surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.types import ByteArray, FloatArray, InstanceMask, Rejection, RgbdFrame

_MAX_AGE_NS = 300_000_000  # older masks are not propagated
_FLOW_WIDTH_PX = 320  # approximate width of the image that optical flow is computed on
_MIN_FLOW_SIDE_PX = 16  # optical flow does not work on images with a smaller side
_SEARCH_MARGIN_PX = 8  # the search window of a mask exceeds its largest motion by this margin
_MAX_DEPTH_RESIDUAL_M = 0.03  # see the module's docstring
_DEPTH_NOISE_PER_M = 0.01  # depth noise grows with the square of depth
_MAX_DEPTH_CHANGE_RATIO = 0.15  # largest change of an object's depth, relative to its depth
_MIN_KEPT_RATIO = 0.7  # a mask is lost if a smaller fraction of its pixels is kept


@dataclass(frozen=True, slots=True, eq=False)
class _Keyframe:
    """The last detected frame, its small grey image and its instances."""

    frame: RgbdFrame
    grey: ByteArray
    instances: tuple[InstanceMask, ...]


class PropagatingSegmenter:
    """Segmenter that runs another one on every n-th frame and propagates its masks to the frames between.

    The motion of the camera and of the objects need not be known. A frame is segmented, instead of propagated to, if a
    mask is lost, if time jumps, if the last detection is more than 0.3 s old, or if the image is too small for optical
    flow.

    Args:
        inner: Segmenter of the detected frames.
        config: ``every_n``; 1 segments every frame.
    """

    def __init__(self, inner: Segmenter, config: SegmentationConfig) -> None:
        self._inner = inner
        self._every_n = config.every_n
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._keyframe: _Keyframe | None = None
        self._since_keyframe = 0

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply ``every_n`` and the live settings of the inner segmenter; the next frame is segmented."""
        self._inner.reconfigure(config)
        self._every_n, self._keyframe = config.every_n, None

    def segment(self, frame: RgbdFrame) -> Sequence[InstanceMask | Rejection]:
        """Return the instances of a frame, detected or propagated.

        Raises:
            SegmentationError: The inner segmenter cannot use the frame.
        """
        if self._every_n == 1:
            return self._inner.segment(frame)
        grey, keyframe = _to_small_grey(frame.rgb), self._keyframe
        if grey is None:
            self._keyframe = None
            return self._inner.segment(frame)
        if keyframe is not None and self._since_keyframe + 1 < self._every_n and _can_propagate(keyframe.frame, frame):
            propagated = self._propagate(keyframe, frame, grey)
            if propagated is not None:
                self._since_keyframe += 1
                return propagated
        found = self._inner.segment(frame)
        instances = tuple(item for item in found if isinstance(item, InstanceMask))
        self._keyframe, self._since_keyframe = _Keyframe(frame, grey, instances), 0
        return found

    def _propagate(self, keyframe: _Keyframe, frame: RgbdFrame, grey: ByteArray) -> list[InstanceMask] | None:
        """Return the instances of the keyframe in another frame; None if one is lost or the flow is undefined."""
        if not keyframe.instances:
            return []
        flow = self._flow.calc(grey, keyframe.grey, None)  # from the new frame back to the keyframe
        if not np.isfinite(flow).all():  # occurs on low images without texture
            return None
        propagated = []
        for instance in keyframe.instances:
            moved = _propagate_mask(instance, flow, keyframe.frame.depth, frame.depth)
            if moved is None:
                return None
            propagated.append(moved)
        return propagated


def _to_small_grey(rgb: ByteArray) -> ByteArray | None:
    """Return a grey image of about ``_FLOW_WIDTH_PX`` width, reduced by an integer factor; None if it is too small."""
    scale = max(1, round(rgb.shape[1] / _FLOW_WIDTH_PX))
    size = (rgb.shape[1] // scale, rgb.shape[0] // scale)
    if min(size) < _MIN_FLOW_SIDE_PX:
        return None
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _can_propagate(keyframe: RgbdFrame, frame: RgbdFrame) -> bool:
    """Return True if a frame is of the same camera as the keyframe and at most ``_MAX_AGE_NS`` later."""
    return frame.intrinsics == keyframe.intrinsics and 0 <= frame.stamp_ns - keyframe.stamp_ns <= _MAX_AGE_NS


def _propagate_mask(
    instance: InstanceMask, flow: FloatArray, depth_old: FloatArray, depth_new: FloatArray
) -> InstanceMask | None:
    """Return an instance of the keyframe in the new frame; None if too few of its pixels are kept.

    Args:
        instance: Instance in the keyframe.
        flow: ``(h, w, 2)`` flow from the new frame to the keyframe, in pixels of a reduced image.
        depth_old: ``(H, W)`` depth of the keyframe, metres.
        depth_new: ``(H, W)`` depth of the new frame, metres.
    """
    x0, y0, x1, y1 = _search_window(instance.box, flow, depth_new.shape)
    per_u, per_v = flow.shape[1] / depth_new.shape[1], flow.shape[0] / depth_new.shape[0]
    u, v = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
    motion = cv2.remap(flow, (u + 0.5) * per_u - 0.5, (v + 0.5) * per_v - 0.5, cv2.INTER_LINEAR)
    u, v = u + motion[..., 0] / per_u, v + motion[..., 1] / per_v  # each pixel's position in the keyframe
    left, top = instance.box[:2]
    mask = cv2.remap(instance.mask.view(np.uint8), u - left, v - top, cv2.INTER_NEAREST).view(np.bool_)
    old, new = cv2.remap(depth_old, u, v, cv2.INTER_NEAREST), depth_new[y0:y1, x0:x1]
    known = mask & (old > 0.0) & (new > 0.0)  # False for NaN
    if known.any():
        change = new - old
        median_change = float(np.median(change[known]))
        if abs(median_change) > _MAX_DEPTH_CHANGE_RATIO * float(np.median(new[known])):
            return None
        change -= median_change
        mask &= ~(known & (np.abs(change) > _MAX_DEPTH_RESIDUAL_M + _DEPTH_NOISE_PER_M * new * new))
    if np.count_nonzero(mask) < _MIN_KEPT_RATIO * np.count_nonzero(instance.mask):
        return None
    # At least _MIN_KEPT_RATIO of a mask that is not empty.
    return InstanceMask.from_full(instance.category, instance.score, mask, (x0, y0))


def _search_window(
    box: tuple[int, int, int, int], flow: FloatArray, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Return the window (x0, y0, x1, y1) to search an instance in: its box, enlarged by the largest motion inside."""
    x0, y0, x1, y1 = box
    scale = shape[1] / flow.shape[1]
    # The last rows of the image may lie below the reduced one, whose height is rounded down.
    top = min(int(y0 / scale), flow.shape[0] - 1)
    motion = flow[top : math.ceil(y1 / scale), int(x0 / scale) : math.ceil(x1 / scale)]
    reach = math.ceil(scale * float(np.abs(motion).max())) + _SEARCH_MARGIN_PX
    return max(x0 - reach, 0), max(y0 - reach, 0), min(x1 + reach, shape[1]), min(y1 + reach, shape[0])
