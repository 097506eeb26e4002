"""Text labels that stay inside the image and avoid each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import cv2

from clipose_ros.types import ByteArray

Colour: TypeAlias = tuple[int, int, int]
Rectangle: TypeAlias = tuple[int, int, int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(slots=True)
class LabelPainter:
    """Draws labels onto one image and avoids overlaps with earlier ones.

    Attributes:
        image: ``(H, W, 3)`` uint8, modified in place.
    """

    image: ByteArray
    _taken: list[Rectangle] = field(default_factory=list)

    def draw(self, lines: Sequence[str], anchor: Rectangle, colour: Colour) -> None:
        """Draw a label above a pixel rectangle, or at the nearest place with room.

        Args:
            lines: Lines of text.
            anchor: Rectangle of the labelled object (x0, y0, x1, y1); may reach beyond the image.
            colour: Background colour; the text is black or white, whichever contrasts more.
        """
        scale = max(0.4, 0.42 * self.image.shape[1] / 640.0)
        thickness = max(1, round(scale))
        extents = [cv2.getTextSize(line, _FONT, scale, thickness)[0] for line in lines]
        row, pad = round(1.65 * extents[0][1]), max(3, round(7 * scale))
        width, height = max(e[0] for e in extents) + 2 * pad, row * len(lines) + pad
        x, y = self._find_place(width, height, anchor, gap=pad)
        self._taken.append((x, y, x + width, y + height))
        cv2.rectangle(self.image, (x, y), (x + width - 1, y + height - 1), colour, cv2.FILLED)
        red, green, blue = colour
        ink = (0, 0, 0) if 0.30 * red + 0.59 * green + 0.11 * blue > 128 else (255, 255, 255)
        for k, line in enumerate(lines):
            origin = (x + pad, y + (k + 1) * row - pad // 4)
            cv2.putText(self.image, line, origin, _FONT, scale, ink, thickness, cv2.LINE_AA)

    def _find_place(self, width: int, height: int, anchor: Rectangle, gap: int) -> tuple[int, int]:
        """Return the upper left corner of a label: the first free candidate, else the one with the least overlap."""
        x0, y0, x1, y1 = anchor
        middle = (x0 + x1 - width) // 2
        wanted = [(middle, y0 - height - gap), (middle, y1 + gap), (x1 + gap, y0), (x0 - width - gap, y0)]
        wanted += [(middle, y0 - step * height - gap) for step in (2, 3)] + [(middle, y1 + height + gap)]
        right, bottom = self.image.shape[1] - width, self.image.shape[0] - height
        best, least = (0, 0), math.inf
        for x, y in wanted:
            x, y = max(0, min(x, right)), max(0, min(y, bottom))
            plate = (x, y, x + width, y + height)
            # other plates weigh more than the object itself, which may fill the whole image
            cost = 4 * sum(_overlap_area(plate, other) for other in self._taken) + _overlap_area(plate, anchor)
            if cost < least:
                best, least = (x, y), cost
            if not cost:
                break
        return best


def _overlap_area(a: Rectangle, b: Rectangle) -> int:
    """Return the area of the overlap of two rectangles, pixels."""
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
