"""Differences of the calibration of cameras, from the objects that both see.

If the poses of two cameras in the common frame are right, the tracks of an object agree. The rigid motion that maps the
tracks of one camera to those of the other is fitted to the positions p and the axes y of all common objects::

    minimise sum |R (p_a - mean p_a) - (p_b - mean p_b)|^2 + AXIS_M^2 |R y_a - y_b|^2

The offset is the distance of the means, the angle that of R.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from clipose_ros.geometry.se3 import rotation_angle_deg
from clipose_ros.types import FloatArray, PosedObject

AXIS_M = 0.05
"""Length at which an error of an axis weighs as much as that of a position, metres: 5 mm and 6 degrees are typical."""
WINDOW = 600
"""Number of common objects of the last images that are used."""
MIN_SAMPLES = 30
"""Fewest of them."""
MIN_OBJECTS = 2
"""Fewest different objects."""


@dataclass(frozen=True, slots=True)
class CameraDifference:
    """Difference of two cameras.

    Attributes:
        first: Name of a camera.
        second: Name of the other camera.
        offset_m: Mean distance of their tracks of the same objects, after random errors have averaged out, metres.
        angle_deg: Angle between their poses, degrees.
    """

    first: str
    second: str
    offset_m: float
    angle_deg: float

    def exceeds(self, offset_m: float, angle_deg: float) -> bool:
        """Return True if offset or angle are larger than allowed."""
        return self.offset_m > offset_m or self.angle_deg > angle_deg


@dataclass(slots=True, eq=False)
class CameraOffsets:
    """Collects the tracks of common objects for each pair of cameras."""

    _samples: dict[tuple[str, str], deque[tuple[str, FloatArray, FloatArray]]] = field(default_factory=dict)

    def add(self, name: str, tracks: Mapping[str, PosedObject]) -> None:
        """Take the tracks of an object by camera."""
        for first, second in itertools.combinations(sorted(tracks), 2):
            samples = self._samples.setdefault((first, second), deque(maxlen=WINDOW))
            pair = np.stack([tracks[camera].T_frame_object[:3, [3, 1]] for camera in (first, second)])
            samples.append((name, pair[..., 0], pair[..., 1]))

    def reset(self) -> None:
        """Forget all tracks, as after a change of the calibration."""
        self._samples.clear()

    def differences(self) -> list[CameraDifference]:
        """Return the difference of each pair of cameras with enough common objects."""
        found = []
        for (first, second), samples in self._samples.items():
            if len(samples) < MIN_SAMPLES or len({name for name, _, _ in samples}) < MIN_OBJECTS:
                continue
            p = np.stack([position for _, position, _ in samples])
            y = np.stack([axis for _, _, axis in samples])
            centred = p - p.mean(axis=0)
            # Kabsch: R maximises trace(R H).
            H = centred[:, 0].T @ centred[:, 1] + AXIS_M**2 * y[:, 0].T @ y[:, 1]
            U, _, Vt = np.linalg.svd(H)
            d = np.sign(np.linalg.det(Vt.T @ U.T))
            R = Vt.T @ np.diag([1.0, 1.0, d]) @ U.T
            offset_m = float(np.linalg.norm((p[:, 1] - p[:, 0]).mean(axis=0)))
            found.append(CameraDifference(first, second, offset_m, float(rotation_angle_deg(R, np.eye(3)))))
        return found


def describe_differences(differences: Sequence[CameraDifference], offset_m: float, angle_deg: float) -> str | None:
    """Return which cameras differ by more than allowed, with the figures; None if none do.

    With three cameras or more, the one that differs from all others is named as the cause.
    """
    wrong = [each for each in differences if each.exceeds(offset_m, angle_deg)]
    if not wrong:
        return None
    figures = "; ".join(
        f"'{each.first}' and '{each.second}' differ by {100 * each.offset_m:.1f} cm and {each.angle_deg:.1f} degrees"
        for each in sorted(wrong, key=lambda each: -each.offset_m)
    )
    cameras = {name for each in differences for name in (each.first, each.second)}
    suspects = [
        camera
        for camera in sorted(cameras)
        if all(camera in (each.first, each.second) for each in wrong)
        and len(wrong) == sum(camera in (each.first, each.second) for each in differences) > 1
    ]
    return f"{figures}: calibrate '{suspects[0]}' again" if len(suspects) == 1 else f"{figures}: calibrate them again"
