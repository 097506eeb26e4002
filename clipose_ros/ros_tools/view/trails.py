"""Recent positions of the tracks, as lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from clipose_ros.ros_tools.view.scene import MAX_OBJECTS, Lines, is_drawable
from clipose_ros.types import FloatArray, PosedObject
from clipose_ros.visualization.draw import category_colour
from clipose_ros.visualization.labels import Colour

_MAX_POINTS = 300
"""Number of positions that are kept of a track."""


class Trails:
    """History of positions by track. It starts anew if time jumps back, or the frame of the poses changes."""

    def __init__(self) -> None:
        self._positions: dict[str, deque[tuple[int, FloatArray]]] = {}
        self._colours: dict[str, Colour] = {}
        self._newest_ns, self._frame_id = 0, ""

    def add(self, stamp_ns: int, frame_id: str, objects: Iterable[PosedObject]) -> None:
        """Add the objects of a frame."""
        if stamp_ns < self._newest_ns or frame_id != self._frame_id:
            self.clear()
        self._newest_ns, self._frame_id = stamp_ns, frame_id
        for item in objects:
            if not is_drawable(item) or (item.name not in self._positions and len(self._positions) >= MAX_OBJECTS):
                continue
            track = self._positions.setdefault(item.name, deque(maxlen=_MAX_POINTS))
            track.append((stamp_ns, np.array(item.T_frame_object)[:3, 3]))
            self._colours[item.name] = category_colour(item.category)

    def clear(self) -> None:
        """Forget all positions."""
        self._positions, self._colours = {}, {}

    def lines(self, seconds: float) -> Lines:
        """Return the positions of the last seconds as lines; tracks without any are forgotten."""
        oldest_ns = self._newest_ns - round(1e9 * seconds)
        segments, colours = [], []
        for name, track in list(self._positions.items()):
            while track and track[0][0] < oldest_ns:
                track.popleft()
            if not track:
                del self._positions[name], self._colours[name]
                continue
            points = np.array([position for _, position in track])
            segments.append(np.stack([points[:-1], points[1:]], axis=1))
            colours.append(np.full((len(points) - 1, 2, 3), self._colours[name], np.uint8))
        if not segments:
            return Lines(np.empty((0, 2, 3), np.float32), np.empty((0, 2, 3), np.uint8))
        return Lines(np.concatenate(segments).astype(np.float32), np.concatenate(colours))
