"""Interface of the engines, which compute the pose network: clouds in, raw predictions out, NumPy on both sides.

All engines share the weights of one network and differ in how they compute with them. ``pytorch`` is the network's own
PyTorch module and defines the result that every other engine reproduces. With NumPy arrays on both sides, an engine may
use any library, and its callers need none of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from clipose_ros.categories import CategorySet
from clipose_ros.types import BoolArray, FloatArray, IndexArray

Poses = TypeVar("Poses", bound="PoseArrays")


@dataclass(frozen=True)
class PoseArrays:
    """Raw predictions for a batch of B clouds, float32: arrays ``(B, ...)`` by name, see ``RawPoses``."""

    axis_y: FloatArray
    axis_x: FloatArray
    confidence_y: FloatArray
    confidence_x: FloatArray
    translation: FloatArray
    size: FloatArray

    def map(self: Poses, function: Callable[..., FloatArray], *others: Poses) -> Poses:
        """Return the results of a function of each array and of the arrays of that name of other predictions."""
        arrays = {
            name: function(values, *(getattr(other, name) for other in others)) for name, values in vars(self).items()
        }
        return type(self)(**arrays)

    def select(self: Poses, rows: BoolArray | slice) -> Poses:
        """Return the predictions of the clouds in ``rows``, ``(B,)`` or a slice."""
        return self.map(lambda values: values[rows])

    def replace_rows(self: Poses, rows: BoolArray, replacements: Poses) -> Poses:
        """Return the predictions with those of the clouds in ``rows`` ``(B,)`` replaced."""

        def replace(values: FloatArray, others: FloatArray) -> FloatArray:
            result = values.copy()
            result[rows] = others
            return result

        return self.map(replace, replacements)


class RawPoses(PoseArrays):
    """Raw predictions for a batch of B clouds, float32, camera optical frame.

    Attributes:
        axis_y: ``(B, 3)`` unit vectors, the object's y axis.
        axis_x: ``(B, 3)`` unit vectors, the object's x axis; not yet orthogonal to y.
        confidence_y: ``(B,)`` in (0, 1).
        confidence_x: ``(B,)`` in (0, 1).
        translation: ``(B, 3)`` metres, box centre.
        size: ``(B, 3)`` metres, full extent.
    """


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
