"""Correction of rotations by the normals of the measured surface.

The surfaces of manufactured objects are mostly flat or round: their normals are parallel to an axis of the object, or
perpendicular to its axis of symmetry. The normals of a cloud ``(n_i)``, in the predicted object frame, should therefore
have the components::

    parallel to an axis             the two others are 0    weight 1
    perpendicular to y (round)      n_y is 0                weight ``_SIDE_WEIGHT``, since sides are often slanted

A small turn that minimizes their squares is found by Gauss-Newton with robust weights. The predicted rotation enters
with its own variance, so that turns that no normal determines stay as predicted. Normals far from every axis, such as
those of lenses, handles and screens, count for nothing.

References:
    Holland, Welsch, "Robust regression using iteratively reweighted least-squares", 1977.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.geometry.se3 import exp_so3
from clipose_ros.inference.engines.cpu.kernels_graph import nearest_points
from clipose_ros.inference.normal_kernels import fit_normals
from clipose_ros.types import BoolArray, FloatArray

_POINTS, _NORMALS, _NEIGHBOURS = 1024, 128, 16
"""Points used of a cloud, points whose normals are estimated, and points that a normal is fitted to."""
MIN_POINTS = _NEIGHBOURS + 1
"""Points below which a cloud has no normals."""
_FLATNESS = 0.15
"""Largest ratio of the least to the middle variance of the neighbours of a flat spot."""
_CONE_COS, _CONE_SIN = math.cos(math.radians(20.0)), math.sin(math.radians(20.0))
"""Largest angle between a normal and the direction to which it counts, 20 degrees."""
_NORMAL_STD = math.radians(6.0)
"""Standard deviation of a normal, and scale of the robust weights."""
_INDEPENDENT = 60.0
"""Number of independent normals that those of a cloud are worth, because neighbours share their errors."""
_SIDE_WEIGHT = 0.3
_PRIOR_BOUNDS = (math.radians(4.0) ** 2, math.radians(8.0) ** 2)
"""Variances of a predicted rotation that are used; outside, normals would count for too little or mislead."""
_FIXED = 1e12
"""Information of a turn that must not change."""
_MIN_VARIANCE = math.radians(0.8) ** 2
_SQUARE_PREFERENCE = 0.3
"""Least mean of cos 4a over the side normals of angular objects, see ``_has_round_sides``."""
_ITERATIONS = 4


@dataclass(frozen=True, slots=True, eq=False)
class AlignedRotations:
    """Rotations that were corrected by normals.

    Attributes:
        R_camera_object: ``(B, 3, 3)``.
        variance: ``(B, 3)`` of the turns about the object's axes, rad^2, from the normals and the prediction.
    """

    R_camera_object: FloatArray
    variance: FloatArray


def estimate_normals(points_camera: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Estimate the normals of a surface at some of its points.

    Args:
        points_camera: ``(N, 3)`` metres, in random order.

    Returns:
        Unit normals ``(M, 3)``, and ``(M,)`` true where the surface is flat enough to have one; none for clouds of
        fewer than ``MIN_POINTS`` points.
    """
    points = np.ascontiguousarray(points_camera[:_POINTS], dtype=np.float64)
    if len(points) < MIN_POINTS:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.bool_)
    count = min(len(points), _NORMALS)
    neighbours = np.empty((count, _NEIGHBOURS - 1), dtype=np.int32)
    nearest_points(np.ascontiguousarray(points.T, dtype=np.float32), 0, count, neighbours)
    normals, flat = np.empty((count, 3)), np.empty(count, dtype=np.bool_)
    fit_normals(points, neighbours, _FLATNESS, normals, flat)
    return normals, flat


def align_rotations(
    clouds: Sequence[FloatArray], R_camera_object: FloatArray, variance: FloatArray, axial_y: BoolArray
) -> AlignedRotations:
    """Correct predicted rotations by the normals of the clouds.

    Args:
        clouds: B clouds ``(N, 3)``, camera frame.
        R_camera_object: ``(B, 3, 3)`` predicted rotations.
        variance: ``(B, 3)`` of the predicted turns about the object's axes, rad^2.
        axial_y: ``(B,)`` true for axially symmetric shapes; their turn about y stays as predicted.
    """
    count = len(clouds)
    normals, weights = np.zeros((count, _NORMALS, 3)), np.zeros((count, _NORMALS))
    for i, cloud in enumerate(clouds):
        found, flat = estimate_normals(cloud)
        normals[i, : len(found)], weights[i, : len(found)] = found, flat
    weights *= _INDEPENDENT / _NORMALS
    R: FloatArray = np.array(R_camera_object, dtype=np.float64)
    turn = np.zeros((count, 3))
    round_y = axial_y | _has_round_sides(normals @ R, weights)
    prior = 1.0 / np.clip(variance, *_PRIOR_BOUNDS)
    prior[round_y, 1] = _FIXED
    information: FloatArray = np.zeros((count, 3, 3))
    for iteration in range(_ITERATIONS):
        scale = _NORMAL_STD * (2.0 if iteration == 0 else 1.0)
        information, gradient = _linearize(normals @ R, weights, round_y, scale)
        information[:, [0, 1, 2], [0, 1, 2]] += prior
        step = -np.linalg.solve(information, (gradient + prior * turn)[..., None])[..., 0]
        turn += step
        R = R @ exp_so3(step)
    # a prediction that is less sure than the bounds allow stays so where no normal determines the turn
    corrected = np.diagonal(np.linalg.inv(information), axis1=1, axis2=2)
    ignored = np.maximum(variance - 1.0 / prior, 0.0)
    return AlignedRotations(R, np.maximum(corrected + ignored * np.square(corrected * prior), _MIN_VARIANCE))


def _has_round_sides(normals: FloatArray, weights: FloatArray) -> BoolArray:
    """Return ``(B,)`` true where the normals across y of an object do not prefer its x and z axes, as those of a mug.

    The mean of cos 4a, where a is the angle of a normal from the x axis, is 1 if all lie along the axes, and about 0 if
    they point everywhere.

    Args:
        normals: ``(B, M, 3)`` in the object frame.
        weights: ``(B, M)``.
    """
    across = weights * (np.abs(normals[..., 1]) < _CONE_SIN)
    x, z = np.square(normals[..., 0]), np.square(normals[..., 2])
    preference = 1.0 - 8.0 * x * z / np.maximum(np.square(x + z), 1e-12)
    return np.asarray((across * preference).sum(axis=1) < _SQUARE_PREFERENCE * across.sum(axis=1))


def _linearize(
    normals: FloatArray, weights: FloatArray, axial_y: BoolArray, scale: float
) -> tuple[FloatArray, FloatArray]:
    """Return information ``(B, 3, 3)`` and gradient ``(B, 3)`` of a small turn.

    Args:
        normals: ``(B, M, 3)`` in the object frame.
        weights: ``(B, M)``.
        axial_y: ``(B,)``.
        scale: Scale of the robust weights, radians.
    """
    size = np.abs(normals)
    axis = np.where(axial_y[:, None], 1, size.argmax(axis=2))
    along = np.take_along_axis(size, axis[..., None], axis=2)[..., 0]
    parallel, side = along > _CONE_COS, axial_y[:, None] & (along < _CONE_SIN)
    # the components that should be 0: those across the axis, or that along it
    zero = (np.arange(3) != axis[..., None]) & parallel[..., None]
    zero |= (np.arange(3) == axis[..., None]) & side[..., None]
    residual = np.where(zero, normals, 0.0)
    weights = weights * np.where(side, _SIDE_WEIGHT, 1.0) / _NORMAL_STD**2
    weights = weights / np.square(1.0 + np.square(residual).sum(axis=2) / scale**2)
    # a turn w of the object changes its normals n by n x w
    x, y, z = np.moveaxis(normals, 2, 0)
    none = np.zeros_like(x)
    rows = np.stack([none, -z, y, z, none, -x, -y, x, none], axis=-1).reshape(*normals.shape, 3)
    rows = (rows * (zero * np.sqrt(weights)[..., None])[..., None]).reshape(len(normals), -1, 3)
    errors = (residual * np.sqrt(weights)[..., None]).reshape(len(normals), -1, 1)
    transposed = np.swapaxes(rows, 1, 2)
    return transposed @ rows, (transposed @ errors)[..., 0]
