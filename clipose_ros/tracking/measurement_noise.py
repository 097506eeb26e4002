"""Noise of single-frame poses, calibrated on simulated sequences.

The errors of one pass of the network over sequences of table scenes (see docs) fit these models:

- The tilt of the y axis and the turn about it follow from the axis confidences, as the loss defines them: a confidence
  c = exp(-k d^2) stands for an axis error d.
- The errors of position and size grow with the box diagonal and with the error of the y axis.
- A part of each variance is independent from frame to frame, the rest belongs to the view (``biased_filter``).
- The probability that the rotation is a different one altogether (front and back, upright and upside down, the handle
  on the other side) grows with the lower axis confidence.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.geometry.se3 import transform_points
from clipose_ros.inference.rotation_correction import rotation_variance
from clipose_ros.tracking.biased_filter import NoiseVariance
from clipose_ros.types import BoolArray, FloatArray

VIEW_CORRELATION_RAD = math.radians(50.0)
"""Change of the view after which the biases of position and rotation are correlated by 1/e."""
BIAS_DECAY_S = 60.0
"""Time after which the biases of an unchanged view are correlated by 1/e, seconds."""
_BIAS_SHARE = 0.35  # of the variances of position and rotation
_SIZE_BIAS_SHARE = 0.75
_POSITION_FLOOR, _POSITION_SLOPE = 0.00074, 0.0022
_SIZE_FLOOR, _SIZE_SLOPE = 0.0019, 0.0035
"""Variances relative to the squared box diagonal, and their growth with -ln of the confidence of the y axis."""
USUAL_COVERAGE = 0.57
"""Coverage of objects in full view; variances of position and size grow with the inverse square of the coverage."""
_MAX_SLOPE = 1e3
"""Largest image coordinate in units of the focal length; farther from the axis, a projection tells nothing."""
_MIN_FLIP, _MAX_FLIP, _FLIP_SCALE, _FLIP_POWER = 0.002, 0.5, 0.6, 1.5
_BOX_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class MeasurementNoise:
    """Noise of B single-frame poses.

    Attributes:
        position: ``(B, 3)`` variances along the axes of any frame, m^2.
        rotation: ``(B, 3)`` variances of the turn about the object's x, y and z axes, rad^2; huge about y for
            axially symmetric shapes.
        size: ``(B, 3)`` variances, m^2.
        flip_probability: ``(B,)`` probability in (0, 0.5] that the rotation is another one altogether.
    """

    position: NoiseVariance
    rotation: NoiseVariance
    size: NoiseVariance
    flip_probability: FloatArray

    def row(self, index: int) -> MeasurementNoise:
        """Return the noise of one pose: arrays ``(3,)``, and the probability as a float."""
        return MeasurementNoise(
            self.position.row(index), self.rotation.row(index), self.size.row(index), self.flip_probability[index]
        )

    def with_rotation(self, variance: FloatArray) -> MeasurementNoise:
        """Return the noise with other variances ``(B, 3)`` of the rotation, rad^2."""
        return dataclasses.replace(self, rotation=_split(variance, _BIAS_SHARE))


def estimate_noise(
    size: FloatArray, axis_confidences: FloatArray, axial_y: BoolArray, coverage: FloatArray
) -> MeasurementNoise:
    """Estimate the noise of single-frame poses.

    Args:
        size: ``(B, 3)`` metres.
        axis_confidences: ``(B, 2)`` of the y and of the x axis, in [0, 1].
        axial_y: ``(B,)`` true for axially symmetric shapes.
        coverage: ``(B,)`` from ``silhouette_coverage``.
    """
    log_y, log_x = -np.log(np.clip(axis_confidences, 1e-4, 1.0)).T
    diagonal = np.linalg.norm(size, axis=1)
    hidden = np.square(USUAL_COVERAGE / np.clip(coverage, 0.25, 0.75))
    position = hidden * np.square(diagonal) * (_POSITION_FLOOR + _POSITION_SLOPE * log_y)
    extent = hidden * np.square(diagonal) * (_SIZE_FLOOR + _SIZE_SLOPE * log_y)
    doubt = np.where(axial_y, log_y, np.maximum(log_y, log_x))
    return MeasurementNoise(
        position=_split(np.repeat(position[:, None], 3, axis=1), _BIAS_SHARE),
        rotation=_split(rotation_variance(axis_confidences, axial_y), _BIAS_SHARE),
        size=_split(np.repeat(extent[:, None], 3, axis=1), _SIZE_BIAS_SHARE),
        flip_probability=_MIN_FLIP - (_MAX_FLIP - _MIN_FLIP) * np.expm1(-((doubt / _FLIP_SCALE) ** _FLIP_POWER)),
    )


def _split(total: FloatArray, bias_share: float) -> NoiseVariance:
    return NoiseVariance((1.0 - bias_share) * total, bias_share * total)


def bias_correlation(view_change_rad: float, dt_s: float) -> float:
    """Compute the correlation of the biases of two views.

    Args:
        view_change_rad: Angle between the directions from which the object is seen, in its own frame.
        dt_s: Seconds between the views.
    """
    return math.exp(-view_change_rad / VIEW_CORRELATION_RAD - dt_s / BIAS_DECAY_S)


def silhouette_coverage(points_camera: FloatArray, T_camera_object: FloatArray, size: FloatArray) -> float:
    """Compute the share of a predicted box's silhouette that the observed points cover.

    Both are projected onto the plane across the ray to the box centre; their areas are those of their convex hulls.

    Args:
        points_camera: ``(N, 3)`` metres.
        T_camera_object: ``(4, 4)`` pose of the box.
        size: ``(3,)`` metres.

    Returns:
        Ratio of the areas, about 0.6 for an object in full view, less for a hidden or truncated one; ``USUAL_COVERAGE``
        if a point or a corner of the box does not lie in front of the camera, or almost beside it.
    """
    box = transform_points(T_camera_object, _BOX_SIGNS * size / 2.0)
    if min(points_camera[:, 2].min(), box[:, 2].min()) <= 0.0:
        return USUAL_COVERAGE
    projections = [(p.T[:2] / p.T[2]).T for p in (points_camera, box)]
    # OpenCV raises an exception for points at infinity.
    if not all(np.abs(projection).max() < _MAX_SLOPE for projection in projections):
        return USUAL_COVERAGE
    observed, predicted = (_hull_area(projection) for projection in projections)
    return observed / predicted if predicted > 0.0 else USUAL_COVERAGE


def _hull_area(points: FloatArray) -> float:
    """Compute the area of the convex hull of ``(N, 2)`` points; 0 if they coincide."""
    hull = cv2.convexHull(points.astype(np.float32, order="C"))
    # OpenCV returns no hull for points at 0 and -0.
    return cv2.contourArea(hull) if hull is not None else 0.0
