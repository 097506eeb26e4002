"""What computes the network: clouds in, raw predictions out, NumPy on both sides.

Engines share the weights and differ in how they compute with them. ``reference`` is the network's own PyTorch module,
the readable definition of what every other engine has to give. ``fused`` is compiled loops for CPUs; ``fused_int8`` has
its larger matrix products in 8-bit integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import ENGINES as ENGINES
from clipose_ros.types import FloatArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class RawPoses:
    """What the network says of a batch of clouds, float32, camera optical frame.

    Attributes:
        axis_y: ``(B, 3)`` unit vectors, the object's y axis.
        axis_x: ``(B, 3)`` unit vectors, the object's x axis; not yet orthogonal to y.
        confidence_y: ``(B,)`` in (0, 1).
        confidence_x: ``(B,)`` in (0, 1).
        translation: ``(B, 3)`` metres, box centre.
        size: ``(B, 3)`` metres, full extent.
    """

    axis_y: FloatArray
    axis_x: FloatArray
    confidence_y: FloatArray
    confidence_x: FloatArray
    translation: FloatArray
    size: FloatArray


class Engine(Protocol):
    """A network ready to compute on one device. Not for several threads at once."""

    @property
    def name(self) -> str:
        """Which one it is, of ``ENGINES``."""
        ...

    @property
    def device(self) -> str:
        """Where it computes: ``cpu`` or ``cuda:N``."""
        ...

    @property
    def categories(self) -> CategorySet:
        """What the network was trained on."""
        ...

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict. An object's result does not depend on its companions in the batch.

        Args:
            points_camera: ``(B, N, 3)`` float32, contiguous, metres, camera optical frame, in random order; N a
                multiple of 16, at least 128.
            category: ``(B,)`` int64, place of each object's category in ``categories``.

        Raises:
            ShapeError: The points have another shape.
        """
        ...

    def warm_up(self, points: int) -> None:
        """Compile and allocate what the first clouds of so many points would have to wait for."""
        ...
