"""Object with a pose for the tests of the view."""

from __future__ import annotations

from dataclasses import dataclass

from clipose_ros.types import FloatArray


@dataclass(frozen=True)
class Posed:
    """The least that the view needs of an object."""

    T_frame_object: FloatArray
    size: FloatArray
    covariance: FloatArray
    name: str = "mug_1"
    category: str = "mug"
    score: float = 0.5
