"""Frames of estimated poses, in which a refiner sees clouds and predicts corrections.

The coarse network poses an object from anywhere. A refiner, a network of the same architecture, then sees the same
points in the frame of that estimate, where every object of a category looks nearly alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_MIN_ACROSS = 1e-4
"""Least sine of the angle between predicted axes that gives a direction across the y axis."""
_TURN_M = 1e-6
"""Metres of another direction added to a viewing ray: a ray along the y axis then gives a frame, too."""


@dataclass(frozen=True)
class EstimateFrames:
    """Frames of B estimated poses: x along the object's x axis, y against its y axis, z completes the frame.

    So turned, an upright object that is seen from its front looks as it does in the camera frame. The frame of an
    axially symmetric object is turned about its axis until z points away from the camera.

    Attributes:
        R: ``(B, 3, 3)`` rotations, columns are the axes of the frame in the camera frame.
        t: ``(B, 3)`` metres, origins of the frames in the camera frame: the estimated centres.
    """

    R: Tensor
    t: Tensor

    @classmethod
    def from_axes(cls, axis_y: Tensor, axis_x: Tensor, translation: Tensor, axial: Tensor) -> EstimateFrames:
        """Build the frames from raw predictions; the x axis is made orthogonal to the y axis.

        Args:
            axis_y: ``(B, 3)`` y axes of the objects, camera frame, of length 1.
            axis_x: ``(B, 3)`` x axes of the objects, camera frame, of length 1. Along the y axis they tell no
                direction; the viewing ray takes their place.
            translation: ``(B, 3)`` metres, centres of the objects, camera frame.
            axial: ``(B,)`` bool, True for axially symmetric objects.
        """
        y = -axis_y
        # z of an axial object is its viewing ray, x of another one its own x axis, both without their parts along y.
        along = torch.linalg.cross(axis_x, y).norm(dim=1) < _MIN_ACROSS
        turn = torch.where(along.unsqueeze(1), y.roll(1, dims=1), axis_x)
        seen = torch.where((axial | along).unsqueeze(1), translation + _TURN_M * turn, axis_x)
        across = F.normalize(seen - (seen * y).sum(dim=1, keepdim=True) * y, dim=1)
        x = torch.where(axial.unsqueeze(1), torch.linalg.cross(y, across), across)
        return cls(torch.stack([x, y, torch.linalg.cross(x, y)], dim=2), translation)

    def from_camera(self, points_camera: Tensor) -> Tensor:
        """Transform points ``(B, N, 3)`` from the camera frame to the frames."""
        return (points_camera - self.t.unsqueeze(1)) @ self.R

    def pose_to_camera(self, axis_y: Tensor, axis_x: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Transform poses that a refiner predicts in the frames to the camera frame.

        Args:
            axis_y: ``(B, 3)`` y axes of the objects.
            axis_x: ``(B, 3)`` x axes of the objects.
            offset: ``(B, 3)`` metres, centres of the objects.

        Returns:
            The same in the camera frame.
        """
        return self.rotate_to_camera(axis_y), self.rotate_to_camera(axis_x), self.t + self.rotate_to_camera(offset)

    def rotate_to_camera(self, vectors: Tensor) -> Tensor:
        """Rotate vectors ``(B, 3)`` from the frames to the camera frame."""
        return (self.R @ vectors.unsqueeze(2)).squeeze(2)
