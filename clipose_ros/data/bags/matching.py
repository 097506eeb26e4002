"""Matching of the messages of a recording into frames by their stamps."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clipose_ros.types import TIME_JUMP_NS

_MAX_WAITING = 40
"""Largest number of colour images that wait for their other messages."""
COLOR, INFO = "color", "info"


@dataclass(frozen=True, slots=True, eq=False)
class MatchedSet:
    """Colour image with the messages that belong to it.

    Attributes:
        stamp_ns: Stamp of the colour image, nanoseconds.
        messages: Messages by role; a required role may be missing.
    """

    stamp_ns: int
    messages: Mapping[str, Any]


class FrameMatcher:
    """Finds for every colour image the other messages of its time; no colour image is dropped.

    A message of another role belongs to the colour image whose stamp is its own, else to the nearest within the slop.
    Each is used once. The calibration is the nearest one, however far away.

    Args:
        required: Roles that a frame needs, such as ``depth``; they are waited for.
        optional: Roles that are waited for and may be missing; only equal stamps match.
        slop_ns: Largest difference of stamps, nanoseconds.
    """

    def __init__(self, required: tuple[str, ...], optional: tuple[str, ...], slop_ns: int) -> None:
        self._slops = {**dict.fromkeys(required, slop_ns), **dict.fromkeys(optional, 0)}
        self._colors: deque[tuple[int, Any]] = deque()
        self._others: dict[str, deque[tuple[int, Any]]] = {role: deque() for role in self._slops}
        self._infos: deque[tuple[int, Any]] = deque(maxlen=_MAX_WAITING)
        self._newest: dict[str, int] = {}

    def add(self, role: str, stamp: int, message: Any) -> Iterator[MatchedSet]:
        """Add a message and yield the sets that it completes."""
        if stamp < self._newest.get(role, stamp) - TIME_JUMP_NS:  # the recorded clock was set back
            yield from self.finish()
        self._newest[role] = stamp
        if role == INFO:
            self._infos.append((stamp, message))
        elif role == COLOR:
            self._colors.append((stamp, message))
        else:
            self._others[role].append((stamp, message))
        while self._colors and (len(self._colors) > _MAX_WAITING or self._is_settled()):
            yield self._take()
        for waiting in self._others.values():
            while len(waiting) > 2 * _MAX_WAITING:
                waiting.popleft()

    def finish(self) -> Iterator[MatchedSet]:
        """Yield the sets of all colour images that wait, and begin anew."""
        while self._colors:
            yield self._take()
        for waiting in self._others.values():
            waiting.clear()
        self._newest.clear()

    def _is_settled(self) -> bool:
        """Return True if no later message can belong to the first colour image."""
        stamp = self._colors[0][0]
        return bool(self._infos) and all(
            any(other == stamp for other, _ in self._others[role])
            or self._newest.get(role, -1) > stamp + slop
            for role, slop in self._slops.items()
        )  # fmt: skip

    def _take(self) -> MatchedSet:
        """Remove the first colour image and its other messages."""
        stamp, color = self._colors.popleft()
        messages = {COLOR: color}
        following = self._colors[0][0] if self._colors else None
        for role, slop in self._slops.items():
            waiting = self._others[role]
            nearest = min(waiting, key=lambda item: abs(item[0] - stamp), default=None)
            # one that is nearer to the next colour image is left to it
            if nearest is not None and abs(nearest[0] - stamp) <= slop and (
                following is None or abs(nearest[0] - stamp) <= abs(nearest[0] - following)
            ):  # fmt: skip
                messages[role] = nearest[1]
                waiting.remove(nearest)
            while waiting and waiting[0][0] < stamp - slop:
                waiting.popleft()
        if self._infos:
            messages[INFO] = min(self._infos, key=lambda item: abs(item[0] - stamp))[1]
        return MatchedSet(stamp, messages)
