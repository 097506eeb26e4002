"""Selection of the sharpest frame of each interval of time."""

from __future__ import annotations

import cv2

from clipose_ros.types import TIME_JUMP_NS, ByteArray, RgbdFrame


def sharpness(rgb: ByteArray) -> float:
    """Return the variance of the Laplacian of an image ``(H, W, 3)``; blur of motion or focus lowers it."""
    # 32-bit floats instead of the usual 64: twice as fast, and only compared.
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


class SharpestFrameSelector:
    """Selector of one frame per interval, the sharpest one.

    Args:
        interval_ns: Length of the intervals, nanoseconds of the stamps; 0 selects every frame.
    """

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._best: tuple[float, RgbdFrame] | None = None
        self._start_ns = 0

    def add(self, frame: RgbdFrame) -> RgbdFrame | None:
        """Add a frame; return the sharpest frame of the interval that it ends, else None.

        The frame that ends an interval begins the next one. If stamps jump back, the interval begins anew.
        """
        if self._interval_ns <= 0:
            return frame
        score, selected = sharpness(frame.rgb), None
        age_ns = frame.stamp_ns - self._start_ns
        if self._best is not None and age_ns >= self._interval_ns:
            selected = self._best[1]
        if self._best is None or selected is not None or age_ns < -TIME_JUMP_NS:
            self._best, self._start_ns = (score, frame), frame.stamp_ns
        elif score > self._best[0]:
            self._best = score, frame
        return selected
