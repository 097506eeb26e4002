"""Interface of the engines, which compute the pose network: clouds in, raw predictions out, NumPy on both sides.

All engines share the weights of one network and differ in how they compute with them. ``pytorch`` is the network's own
PyTorch module and defines the result that every other engine reproduces. With NumPy arrays on both sides, an engine may
use any library, and its callers need none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clipose_ros.categories import CategorySet
from clipose_ros.types import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True)
class RawPoses:
    """Raw predictions for a batch of B clouds, float32, camera optical frame.

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

    def select(self, rows: BoolArray) -> RawPoses:
        """Return the predictions of the clouds in ``rows`` ``(B,)``."""
        return RawPoses(
            axis_y=self.axis_y[rows],
            axis_x=self.axis_x[rows],
            confidence_y=self.confidence_y[rows],
            confidence_x=self.confidence_x[rows],
            translation=self.translation[rows],
            size=self.size[rows],
        )


class Engine(Protocol):
    """Network that is ready to compute on one device.

    ``inference.engines.registry`` lists the engines and describes how another package adds one. An engine is called
    from one thread at a time.
    """

    @property
    def name(self) -> str:
        """Return the name under which the engine is registered."""
        ...

    @property
    def device(self) -> str:
        """Return the device that computes: ``cpu`` or ``cuda:N``."""
        ...

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the network was trained on."""
        ...

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict axes, confidences, translations and sizes. Each object's result is independent of the others.

        Args:
            points_camera: ``(B, N, 3)`` float32, contiguous, metres, camera optical frame, in random order; N a
                multiple of 16, at least 128.
            category: ``(B,)`` int64, index of each object's category in ``categories``.

        Raises:
            ShapeError: The points have another shape.
        """
        ...

    def warm_up(self, points: int) -> None:
        """Compile kernels and allocate buffers for clouds of ``points`` points."""
        ...
