"""Images of predicted boxes on validation clouds."""

from __future__ import annotations

import cv2
import numpy as np

from clipose_ros.data.samples import CloudSamples
from clipose_ros.geometry.boxes import BOX_EDGES, box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.training.validation import PredictFn
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray, PoseEstimate, TrackedObject
from clipose_ros.visualization.draw import draw_tracks

PIXELS = 320
"""Width and height of an image."""
BACKGROUND, POINT, TRUTH = 24, (130, 130, 130), (235, 235, 235)
"""Colours of background, points and true box."""
PER_CATEGORY = 1
"""Number of clouds drawn for each category."""


def box_pictures(predict_fn: PredictFn, samples: CloudSamples) -> dict[str, ByteArray]:
    """Draw the first cloud of each category with its predicted box in colour and the true box in white: RGB by name."""
    pictures = {}
    for place, name in enumerate(samples.categories.names):
        for row in np.flatnonzero(samples.category_index == place)[:PER_CATEGORY].tolist():
            estimate = predict_fn(slice(row, row + 1))[0]
            pictures[f"validation/{name}"] = box_picture(
                samples.points[row], estimate, samples.T_camera_object[row], samples.size[row]
            )
    return pictures


def box_picture(points_camera: FloatArray, estimate: PoseEstimate, T_true: FloatArray, size: FloatArray) -> ByteArray:
    """Draw one cloud ``(N, 3)`` with its true and its predicted box: ``(PIXELS, PIXELS, 3)`` RGB."""
    intrinsics = _camera(T_true[:3, 3], float(np.linalg.norm(size)))
    image = np.full((PIXELS, PIXELS, 3), BACKGROUND, np.uint8)
    for u, v in _project_to_pixels(points_camera, intrinsics):
        cv2.circle(image, (u, v), 1, POINT, -1)
    corners = _project_to_pixels(box_corners(T_true.astype(np.float64), size.astype(np.float64)), intrinsics)
    for a, b in BOX_EDGES:
        cv2.line(image, corners[a], corners[b], TRUTH, 1, cv2.LINE_AA)
    track = TrackedObject(
        0, estimate.category, estimate.T_camera_object, estimate.size, estimate.score, np.zeros((6, 6)), 0.0, True
    )
    return draw_tracks(image, [track], intrinsics)


def _camera(centre: FloatArray, diagonal_m: float) -> CameraIntrinsics:
    """Create the camera of the cloud, zoomed so that the box fills two thirds of the picture."""
    x, y, z = centre.astype(float).tolist()
    focal = 0.66 * PIXELS * max(z, 0.05) / max(diagonal_m, 1e-3)
    middle = 0.5 * (PIXELS - 1)
    return CameraIntrinsics(focal, focal, middle - focal * x / z, middle - focal * y / z, PIXELS, PIXELS)


def _project_to_pixels(points_camera: FloatArray, intrinsics: CameraIntrinsics) -> list[tuple[int, int]]:
    """Project points to integer pixels, clipped to a margin around the image."""
    in_front = np.maximum(points_camera, [-np.inf, -np.inf, 0.01])
    pixels = np.rint(project(in_front, intrinsics)).clip(-PIXELS, 2 * PIXELS).astype(int)
    return [(int(u), int(v)) for u, v in pixels]
