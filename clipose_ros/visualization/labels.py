"""Text labels that cover neither labelled objects nor each other where the image has room.

Labels are placed one after the other on a coarse grid of cells. With ``n_object`` and ``n_label`` the numbers of cells
below a candidate rectangle that belong to an object or to an earlier label, ``n`` the number of its cells and ``d`` its
distance from the labelled object in label heights, the candidate with the least cost is taken::

    cost = (10 n_object + 100 n_label) / n + 0.3 d + 0.1 |horizontal offset| / width + 0.1 [below the object]

In a sequence of images ``min(0.2 m, 0.6)`` is added, where m is the distance to the label's place beside the object in
the previous image, in label heights: labels stay where they are until another place is clearly better. Sums over
rectangles come from integral images, so all candidates of a label are evaluated at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.types import ByteArray, FloatArray

Colour: TypeAlias = tuple[int, int, int]
LabelOffsets: TypeAlias = dict[str, tuple[float, float]]
"""By name of an object: upper left corner of its label relative to the centre of its outline, pixels."""
IntArray: TypeAlias = NDArray[np.int32]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CELLS = 100
"""Number of grid cells along the image width."""
_OBJECT_COST, _LABEL_COST = 10.0, 100.0
_DISTANCE_COST, _OFFSET_COST, _BELOW_COST = 0.3, 0.1, 0.1
_MOVE_COST, _MAX_MOVE_COST = 0.2, 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """Text that belongs to an object.

    Attributes:
        name: Name of the object, the key of its label's place in a sequence of images.
        lines: Lines of text.
        outline: ``(M, 2)`` points (u, v) around the object, pixels; may reach beyond the image.
        colour: Background colour, R G B; the text is black or white, whichever contrasts more.
    """

    name: str
    lines: tuple[str, ...]
    outline: FloatArray
    colour: Colour


class _LabelSize(NamedTuple):
    """Size of a label, pixels.

    Attributes:
        width: Width of the background.
        height: Height of the background.
        row: Height of a line of text.
    """

    width: int
    height: int
    row: int


@dataclass(frozen=True, slots=True)
class _TextStyle:
    """Style of all labels of an image.

    Attributes:
        scale: Font scale of OpenCV.
        thickness: Stroke width, pixels.
        pad: Space around the text, pixels.
    """

    scale: float
    thickness: int
    pad: int

    @classmethod
    def for_width(cls, width: int) -> _TextStyle:
        """Return the style of an image of the given width, pixels."""
        scale = max(0.4, 0.42 * width / 640.0)
        return cls(scale, max(1, round(scale)), max(3, round(7 * scale)))

    def measure(self, lines: Sequence[str]) -> _LabelSize:
        """Return the size of a label."""
        extents = [cv2.getTextSize(line, _FONT, self.scale, self.thickness)[0] for line in lines]
        row = round(1.65 * extents[0][1])
        return _LabelSize(max(extent[0] for extent in extents) + 2 * self.pad, row * len(lines) + self.pad, row)


def draw_labels(image: ByteArray, labels: Sequence[Label], offsets: LabelOffsets | None = None) -> None:
    """Draw labels next to their objects; a thin line connects a label that is farther away.

    Args:
        image: ``(H, W, 3)`` uint8, modified in place.
        labels: Labels; earlier ones get better places.
        offsets: Places of the labels in the previous image; replaced by those in this one. None for a single image.
    """
    style = _TextStyle.for_width(image.shape[1])
    hulls = [_clipped_hull(label.outline, image) for label in labels]
    plates = _place_labels(image, labels, hulls, {} if offsets is None else offsets)
    for label, hull, (x, y, width, height, _) in zip(labels, hulls, plates, strict=True):
        _draw_leader(image, (x, y, x + width - 1, y + height - 1), hull, label.colour)
    for label, (x, y, width, height, row) in zip(labels, plates, strict=True):
        cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), label.colour, cv2.FILLED)
        red, green, blue = label.colour
        ink = (0, 0, 0) if 0.30 * red + 0.59 * green + 0.11 * blue > 128 else (255, 255, 255)
        for k, line in enumerate(label.lines):
            origin = (x + style.pad, y + (k + 1) * row - style.pad // 4)
            cv2.putText(image, line, origin, _FONT, style.scale, ink, style.thickness, cv2.LINE_AA)


def _place_labels(
    image: ByteArray, labels: Sequence[Label], hulls: Sequence[IntArray], offsets: LabelOffsets
) -> list[tuple[int, int, int, int, int]]:
    """Return upper left corner, width, height and line height of each label; replace the offsets."""
    style, grid = _TextStyle.for_width(image.shape[1]), _PlacementGrid(image, hulls)
    previous = dict(offsets)
    offsets.clear()
    plates = []
    for label, hull in zip(labels, hulls, strict=True):
        width, height, row = style.measure(label.lines)
        u, v = (0.5 * (hull.min(axis=0) + hull.max(axis=0))).tolist()
        offset = previous.get(label.name)
        wanted = None if offset is None else (u + offset[0], v + offset[1])
        x, y = grid.place((width, height), hull, style.pad, wanted)
        offsets[label.name] = (x - u, y - v)
        plates.append((x, y, width, height, row))
    return plates


class _PlacementGrid:
    """Cells of an image that objects and labels occupy.

    Args:
        image: Image that the labels are drawn on.
        hulls: Convex hull ``(K, 2)`` of each object, pixels.
    """

    def __init__(self, image: ByteArray, hulls: Sequence[IntArray]) -> None:
        self._image_height, self._image_width = image.shape[:2]
        self._cell = max(2, round(self._image_width / _CELLS))
        self._shape = (-(-self._image_height // self._cell), -(-self._image_width // self._cell))
        self._cost = np.zeros(self._shape, np.float32)
        for hull in hulls:
            covered = np.zeros(self._shape, np.uint8)
            cv2.fillConvexPoly(covered, hull // self._cell, 1)
            self._cost[covered > 0] = _OBJECT_COST

    def place(
        self, extent: tuple[int, int], hull: IntArray, gap: int, wanted: tuple[float, float] | None
    ) -> tuple[int, int]:
        """Return the upper left corner of the best place for a label and occupy it.

        Args:
            extent: Width and height of the label, pixels.
            hull: ``(K, 2)`` hull of the labelled object, pixels.
            gap: Smallest distance between label and object, pixels.
            wanted: Upper left corner that the label had beside its object in the previous image, pixels.
        """
        cell, (width, height) = self._cell, extent
        rows, columns = min(-(-height // cell), self._shape[0]), min(-(-width // cell), self._shape[1])
        sums = cv2.integral(self._cost)
        occupied = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
        x = np.minimum(np.arange(occupied.shape[1]) * cell, max(self._image_width - width, 0))
        y = np.minimum(np.arange(occupied.shape[0]) * cell, max(self._image_height - height, 0))
        (x0, y0), (x1, y1) = hull.min(axis=0), hull.max(axis=0)
        # Distance between the label and the rectangle around the object; 0 if they overlap in that direction.
        apart_x = np.maximum(np.maximum(x0 - gap - (x + width), x - (x1 + gap)), 0)
        apart_y = np.maximum(np.maximum(y0 - gap - (y + height), y - (y1 + gap)), 0)
        offset = np.abs(x + 0.5 * width - 0.5 * (x0 + x1)) / width
        below = (y > y1).astype(np.float64)
        cost = occupied / (rows * columns) + _DISTANCE_COST / height * np.hypot(apart_x, apart_y[:, None])
        cost += _OFFSET_COST * offset + _BELOW_COST * below[:, None]
        if wanted is not None:
            moved = np.hypot(x - wanted[0], (y - wanted[1])[:, None]) / height
            cost += np.minimum(_MOVE_COST * moved, _MAX_MOVE_COST)
        row, column = divmod(int(cost.argmin()), cost.shape[1])
        self._cost[row : row + rows, column : column + columns] = _LABEL_COST
        return int(x[column]), int(y[row])


def _clipped_hull(outline: FloatArray, image: ByteArray) -> IntArray:
    """Return the convex hull ``(K, 2)`` of points, clipped to the image."""
    limits = np.array([image.shape[1] - 1, image.shape[0] - 1])
    points = np.clip(np.rint(outline), 0, limits).astype(np.int32)
    return np.asarray(cv2.convexHull(points), dtype=np.int32).reshape(-1, 2)


def _draw_leader(image: ByteArray, plate: tuple[int, int, int, int], hull: IntArray, colour: Colour) -> None:
    """Draw a line from a label to the nearest corner of its object, unless they touch."""
    x0, y0, x1, y1 = plate
    starts = np.stack([np.clip(hull[:, 0], x0, x1), np.clip(hull[:, 1], y0, y1)], axis=1)
    lengths = np.hypot(*(hull - starts).T)
    nearest = int(lengths.argmin())
    if lengths[nearest] > 0.0:
        cv2.line(image, starts[nearest].tolist(), hull[nearest].tolist(), colour, 1, cv2.LINE_AA)
