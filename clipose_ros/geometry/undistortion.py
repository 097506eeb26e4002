"""Removal of lens distortion: images of a distorted camera become images of a pinhole camera.

A ray (x, y, 1) meets the distorted image at u = fx x' + cx, v = fy y' + cy. With r² = x² + y²:

- ``plumb_bob``: (x', y') = c (x, y) + tangential part, c = 1 + k1 r² + k2 r⁴ + k3 r⁶; D = (k1, k2, p1, p2[, k3]).
- ``rational_polynomial``: c is divided by 1 + k4 r² + k5 r⁴ + k6 r⁶; D goes on with k4, k5, k6, and with the terms of
  thin prisms and of a tilted sensor if it has 12 or 14 values.
- ``equidistant``: (x', y') = (x, y) a / r, a = θ (1 + k1 θ² + k2 θ⁴ + k3 θ⁶ + k4 θ⁸), θ = atan r; D = (k1, ..., k4).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.errors import FrameError, ShapeError, quoted
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray, LabelArray

COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
"""Numbers of coefficients that each supported distortion model may have."""


@dataclass(frozen=True, slots=True)
class LensDistortion:
    """Distortion of a lens.

    Attributes:
        model: Name of the model, see ``COEFFICIENTS``.
        coefficients: D, in the order of ``sensor_msgs/CameraInfo``.

    Raises:
        FrameError: The model is not supported, or D has another length or values that are not finite.
    """

    model: str
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in COEFFICIENTS:
            raise FrameError(
                f"distortion model {quoted(self.model)} is not supported, only {', '.join(COEFFICIENTS)} are: rectify "
                "the images in the driver or with image_proc"
            )
        lengths = COEFFICIENTS[self.model]
        if len(self.coefficients) not in lengths or not np.isfinite(self.coefficients).all():
            raise FrameError(
                f"distortion model '{self.model}' needs {' or '.join(map(str, lengths))} finite coefficients D, got "
                f"{len(self.coefficients)}: {list(self.coefficients[:14])}: calibrate the camera"
            )


class Undistorter:
    """Resamples images of a distorted camera as images of a pinhole camera of the same size, pose and frame.

    The tables are computed once. Pixels whose ray misses the distorted image become 0, which is no depth and no label.

    Args:
        raw: Intrinsics of the distorted image (matrix K).
        distortion: Distortion of its lens.
        rectified: Intrinsics of the pinhole camera (matrix P).
    """

    def __init__(self, raw: CameraIntrinsics, distortion: LensDistortion, rectified: CameraIntrinsics) -> None:
        size = rectified.width, rectified.height
        camera = raw.K, np.array(distortion.coefficients), np.eye(3), rectified.K, size, cv2.CV_32FC1
        is_fisheye = distortion.model == "equidistant"
        u, v = cv2.fisheye.initUndistortRectifyMap(*camera) if is_fisheye else cv2.initUndistortRectifyMap(*camera)
        self.pixels: FloatArray = np.stack([u, v], axis=-1)
        """``(H, W, 2)`` float32 pixel (u, v) of the distorted image for each pixel of the pinhole image."""
        self._smooth = cv2.convertMaps(u, v, cv2.CV_16SC2)
        self._nearest = cv2.convertMaps(u, v, cv2.CV_16SC2, nninterpolation=True)

    def undistort_color(self, rgb: ByteArray) -> ByteArray:
        """Resample a colour image ``(H, W, 3)`` uint8 with bilinear interpolation."""
        self._require_size(rgb.shape)
        return np.asarray(cv2.remap(rgb, *self._smooth, cv2.INTER_LINEAR), dtype=np.uint8)

    def undistort_depth(self, depth: FloatArray) -> FloatArray:
        """Resample a depth image ``(H, W)`` float32 by nearest neighbour: means across an edge are on no surface."""
        self._require_size(depth.shape)
        return np.asarray(cv2.remap(depth, *self._nearest, cv2.INTER_NEAREST), dtype=np.float32)

    def undistort_labels(self, labels: LabelArray) -> LabelArray:
        """Resample a label image ``(H, W)`` by nearest neighbour."""
        self._require_size(labels.shape)
        resampled = cv2.remap(labels, *self._nearest, cv2.INTER_NEAREST)
        return (
            resampled.astype(np.uint16, copy=False)
            if labels.dtype == np.uint16
            else resampled.astype(np.int32, copy=False)
        )

    def undistort_box(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Return the box around the pinhole pixels that lie in a box (x0, y0, x1, y1) of the distorted image.

        Ends are exclusive; a box that no pinhole pixel lies in becomes (0, 0, 0, 0).
        """
        u, v = self.pixels[..., 0], self.pixels[..., 1]
        x0, y0, x1, y1 = box
        inside = (u > x0 - 0.5) & (u < x1 - 0.5) & (v > y0 - 0.5) & (v < y1 - 0.5)  # a pixel is as wide as 1
        columns, rows = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
        if not columns.size:
            return 0, 0, 0, 0
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    def _require_size(self, shape: tuple[int, ...]) -> None:
        if shape[:2] != self.pixels.shape[:2]:
            raise ShapeError(f"expected an image of {self.pixels.shape[:2]} pixels, got {shape}")
