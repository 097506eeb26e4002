"""Calibration of the images from ``CameraInfo``: intrinsics of the rectified image, and its undistortion."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clipose_ros.decoding.messages import CameraInfoMessage
from clipose_ros.errors import FrameError, quoted
from clipose_ros.geometry.camera import implausible_intrinsics
from clipose_ros.geometry.undistortion import LensDistortion, Undistorter
from clipose_ros.types import CameraIntrinsics, FloatArray

_RECTIFIED_NAME = re.compile(r"(?<![a-z])rect(?![a-z])|(?<![a-z])rectified(?![a-z])", re.IGNORECASE)
"""The word in the name of a topic of rectified images: ``image_rect``, ``image_rect_color``, ``rect/image``."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Calibration of the images of a frame.

    Attributes:
        intrinsics: Intrinsics of the rectified colour image.
        color: Undistortion of colour and label image; None if they are rectified already.
        depth: Undistortion of the depth image; None if it is rectified already.
        warnings: What makes the calibration doubtful.
    """

    intrinsics: CameraIntrinsics
    color: Undistorter | None = None
    depth: Undistorter | None = None
    warnings: tuple[str, ...] = ()


class CalibrationReader:
    """Reads calibrations and keeps the last one: its tables are computed once per content of the message.

    Args:
        rectify: Value of ``sync.rectify``.
        notify: Receives a sentence about each new calibration that needs an explanation.
    """

    def __init__(self, rectify: str = "auto", notify: Callable[[str], None] = lambda text: None) -> None:
        self._rectify, self._notify = rectify, notify
        self._key: tuple[object, ...] | None = None
        self._calibration: Calibration | None = None

    def read(self, message: CameraInfoMessage, topic: str, images: tuple[str, str]) -> Calibration:
        """Return the calibration.

        Args:
            message: The message.
            topic: Its topic, for error messages.
            images: Topics of the colour and of the depth image.

        Raises:
            FrameError: The calibration is not valid, or the images need a rectification that is not supported.
        """
        key = _content(message)
        if self._calibration is None or key != self._key:
            self._calibration = self._make(message, topic, images)
            self._key = key
        return self._calibration

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what makes the last calibration doubtful."""
        return () if self._calibration is None else self._calibration.warnings

    def _make(self, message: CameraInfoMessage, topic: str, images: tuple[str, str]) -> Calibration:
        intrinsics = read_intrinsics(message, topic)
        doubt = None if _has_roi(message) else implausible_intrinsics(intrinsics)
        question = f"is it the camera_info of '{images[0]}', at its resolution?"
        warnings = () if doubt is None else (f"'{topic}' {doubt}: {question}",)
        color, depth = (self._needs_rectification(message, image) for image in images)
        notes = [] if any(message.p) else ["its projection matrix P is all 0: the matrix K is used instead"]
        if color or depth:
            kinds = " and ".join(f"'{image}'" for image, needed in zip(images, (color, depth), strict=True) if needed)
            notes.append(
                f"its D is not 0 ({quoted(message.distortion_model)}), so {kinds} is rectified here: set sync.rectify "
                "to never if it is rectified already"
            )
        undistorter = _make_undistorter(message, topic, intrinsics) if color or depth else None
        if notes:
            self._notify(f"'{topic}': {'; '.join(notes)}")
        return Calibration(intrinsics, undistorter if color else None, undistorter if depth else None, warnings)

    def _needs_rectification(self, message: CameraInfoMessage, image: str) -> bool:
        """Return True if an image is distorted: by setting, or by D and the name of its topic."""
        if self._rectify == "auto":
            return any(message.d) and _RECTIFIED_NAME.search(image) is None
        return self._rectify == "always" and any(message.d)


def read_intrinsics(message: CameraInfoMessage, topic: str) -> CameraIntrinsics:
    """Read the intrinsics of the rectified image: P, or K if P is all 0, shifted by the roi and divided by the binning.

    The fourth column of P, the baseline of a stereo camera, moves no pixel at infinity and is not used.

    Raises:
        FrameError: P, the size or the binning is not valid; the error names the topic.
    """
    p, name = (message.p, "projection matrix P") if any(message.p) else (_pad(message.k), "matrices P and K")
    if not np.isfinite(p).all():
        raise FrameError(
            f"'{topic}' has values that are not finite in its {name} {[float(v) for v in p]}: the "
            "camera is not calibrated, or its driver publishes a corrupt calibration"
        )
    if not (p[0] > 0.0 and p[5] > 0.0):
        raise FrameError(
            f"'{topic}' has focal lengths {p[0]} and {p[5]} in its {name}: the camera is not calibrated, "
            "or its driver does not publish the calibration of the rectified image"
        )
    return _in_image(message, topic, p)


def _make_undistorter(message: CameraInfoMessage, topic: str, intrinsics: CameraIntrinsics) -> Undistorter:
    """Make the tables that rectify the image; raise ``FrameError`` for a calibration that they cannot express."""
    rotation: FloatArray = np.reshape(message.r, (3, 3))
    if rotation.any() and not np.allclose(rotation, np.eye(3), atol=1e-6):
        raise FrameError(
            f"'{topic}' has a rectifying rotation R {[round(float(v), 4) for v in message.r]} other than the identity, "
            "as of a stereo camera, which also turns depth: use the rectified topics of the driver or of image_proc, "
            "or set sync.rectify to never if the images are rectified"
        )
    k = _pad(message.k)
    if not (np.isfinite(k).all() and k[0] > 0.0 and k[5] > 0.0):
        raise FrameError(
            f"'{topic}' has distortion coefficients D but focal lengths {k[0]} and {k[5]} in its matrix K: calibrate "
            "the camera, or set sync.rectify to never if the images are rectified"
        )
    try:
        lens = LensDistortion(message.distortion_model, tuple(float(value) for value in message.d))
    except FrameError as error:
        raise FrameError(f"'{topic}': {error}; set sync.rectify to never if the images are rectified") from error
    return Undistorter(_in_image(message, topic, k), lens, intrinsics)


def _pad(k: FloatArray) -> FloatArray:
    """Return K ``(9,)`` as a projection matrix ``(12,)``."""
    return np.hstack([np.reshape(k, (3, 3)), np.zeros((3, 1))]).ravel()


def _has_roi(message: CameraInfoMessage) -> bool:
    return bool(message.roi.width and message.roi.height)


def _in_image(message: CameraInfoMessage, topic: str, p: FloatArray) -> CameraIntrinsics:
    """Return intrinsics of the published image from a matrix of the full sensor."""
    # A roi of width or height 0 is the whole image, a binning of 0 is 1.
    roi = message.roi
    bin_x, bin_y = max(message.binning_x, 1), max(message.binning_y, 1)
    width, height = (roi.width, roi.height) if _has_roi(message) else (message.width, message.height)
    if width == 0 or height == 0:
        raise FrameError(
            f"'{topic}' describes an image of {width}x{height} pixels: the driver must fill in width and height"
        )
    if bin_x > width or bin_y > height:
        raise FrameError(
            f"'{topic}' has a binning of {bin_x}x{bin_y}, more than the {width}x{height} pixels of the image: the "
            "driver must publish the number of sensor pixels per image pixel"
        )
    left, top = (p[2] - roi.x_offset) / bin_x, (p[6] - roi.y_offset) / bin_y
    return CameraIntrinsics(
        float(p[0] / bin_x), float(p[5] / bin_y), float(left), float(top), width // bin_x, height // bin_y
    )


def _content(message: CameraInfoMessage) -> tuple[object, ...]:
    """Return all that a calibration depends on."""
    roi = message.roi
    matrices = (tuple(message.d), *(np.asarray(matrix).tobytes() for matrix in (message.k, message.r, message.p)))
    size = message.width, message.height, message.binning_x, message.binning_y
    return (*matrices, message.distortion_model, size, roi.x_offset, roi.y_offset, roi.width, roi.height)
