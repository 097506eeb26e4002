"""Detection of a depth image that is shifted against its colour image, from the edges of both.

At a quarter of VGA resolution, depth edges are neighbours whose depths differ by more than 5 %. For each shift of at
most ``_RADIUS`` cells, the score is the mean gradient of the colour image under the shifted depth edges, relative to
the gradients around. Where depth and colour agree, the score is largest at no shift.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.types import BoolArray, ByteArray, FloatArray, RgbdFrame

_WIDTH = 160
"""Width at which edges are compared, cells."""
_RADIUS = 6
"""Largest shift that is searched, cells."""
_MIN_EDGES = 150
_EDGE_RATIO = 0.05
"""Relative difference of neighbouring depths at an edge."""
_MIN_SCORE = 3.0
"""Least score of a shift above the median of all, in median deviations."""
_MIN_MARGIN = 1.0
"""Least score of a shift above that of no shift and its neighbours, in median deviations; 0.13 in aligned frames."""
EVERY_N = 15
"""Each such frame is tested."""
_AGREEING = 5
"""Number of successive tests that must find the same shift."""


@dataclass(frozen=True, slots=True)
class DepthShift:
    """Shift of the depth image against the colour image, pixels of the full image.

    Attributes:
        right: Shift to the right.
        down: Shift downward.
    """

    right: int
    down: int


class ShiftDetector:
    """Tests every ``EVERY_N``-th frame; reports a shift that several successive tests agree on."""

    def __init__(self) -> None:
        self._frames = 0
        self._shifts: deque[DepthShift | None] = deque(maxlen=_AGREEING)
        self._cell = 1

    def update(self, frame: RgbdFrame) -> DepthShift | None:
        """Take the next frame; return the shift of depth against colour, or None if there is none or no evidence."""
        if self._frames % EVERY_N == 0:
            self._cell = cell_size(frame.depth)
            scores = score_shifts(frame.rgb, frame.depth)
            if scores is not None:
                self._shifts.append(find_shift(scores, self._cell))
        self._frames += 1
        return self._agreed_shift()

    def _agreed_shift(self) -> DepthShift | None:
        shifts = [shift for shift in self._shifts if shift is not None]
        if len(shifts) < _AGREEING:
            return None
        right, down = [shift.right for shift in shifts], [shift.down for shift in shifts]
        if max(np.ptp(right), np.ptp(down)) > self._cell:
            return None
        return DepthShift(int(np.median(right)), int(np.median(down)))


def cell_size(depth: FloatArray) -> int:
    """Return the side of a cell of the comparison, pixels."""
    return max(1, round(int(depth.shape[1]) / _WIDTH))


def score_shifts(rgb: ByteArray, depth: FloatArray) -> FloatArray | None:
    """Score shifts of the colour image against the depth image.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        depth: ``(H, W)`` float32, metres; invalid pixels are not finite or <= 0.

    Returns:
        ``(2 R + 1, 2 R + 1)`` scores of the shifts (rows down, columns right) from -R to R cells; None with too few
        depth edges, or for an image that is too small.
    """
    cell = cell_size(depth)
    if min(*depth.shape, *rgb.shape[:2]) // cell <= 2 * _RADIUS:  # no edge has all shifts within the image
        return None
    edges, gradient = _depth_edges(depth, cell), _relative_gradient(rgb, cell)
    height, width = np.minimum(edges.shape, gradient.shape)
    inner = edges[_RADIUS : height - _RADIUS, _RADIUS : width - _RADIUS]
    v, u = np.nonzero(inner)
    if v.size < _MIN_EDGES:
        return None
    shifts = range(2 * _RADIUS + 1)
    return np.array([[gradient[v + down, u + right].mean() for right in shifts] for down in shifts])


def find_shift(scores: FloatArray, cell: int) -> DepthShift | None:
    """Return the shift of depth against colour that scores are evidence of; None if depth may be aligned.

    Args:
        scores: Result of ``score_shifts``.
        cell: Side of a cell, pixels.
    """
    median = np.median(scores)
    deviation = 1.4826 * np.median(np.abs(scores - median))
    near = scores[_RADIUS - 1 : _RADIUS + 2, _RADIUS - 1 : _RADIUS + 2].max()
    best = scores.max()
    if best - median < _MIN_SCORE * deviation or best - near < _MIN_MARGIN * deviation or best <= near:
        return None
    down, right = np.unravel_index(int(scores.argmax()), scores.shape)
    # Colour moved by the best shift meets depth, so depth is off by its opposite.
    return DepthShift(int(_RADIUS - right) * cell, int(_RADIUS - down) * cell)


def _depth_edges(depth: FloatArray, cell: int) -> BoolArray:
    """Return both sides of each edge between valid depths, one sample per cell."""
    sparse = depth[cell // 2 :: cell, cell // 2 :: cell]
    is_valid = np.isfinite(sparse) & (sparse > 0.0)
    logarithm = np.log(np.where(is_valid, sparse, 1.0))
    edges = np.zeros(sparse.shape, dtype=np.bool_)
    for axis in (0, 1):
        first, second = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        is_edge = (np.abs(np.diff(logarithm, axis=axis)) > _EDGE_RATIO) & is_valid[first] & is_valid[second]
        edges[first] |= is_edge
        edges[second] |= is_edge
    return edges


def _relative_gradient(rgb: ByteArray, cell: int) -> FloatArray:
    """Return the gradient of the grey image relative to its surroundings, at the resolution of the cells."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = grey.shape[1] // cell, grey.shape[0] // cell
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    gradient = np.hypot(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    gradient = cv2.GaussianBlur(np.minimum(gradient, 200.0), (0, 0), 0.7)
    return np.asarray(gradient / (cv2.blur(gradient, (25, 25)) + 5.0))
