"""Frozen values that the stages of the pipeline exchange.

``RgbdFrame`` -> ``InstanceMask`` -> ``ObjectCloud`` -> ``PoseEstimate`` -> ``TrackedObject``. An instance without a
pose is a ``Rejection`` with a reason, not None. Arrays are passed without a copy and must not be modified.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clipose_ros.errors import FrameError, ShapeError

FloatArray: TypeAlias = NDArray[np.floating]
BoolArray: TypeAlias = NDArray[np.bool_]
ByteArray: TypeAlias = NDArray[np.uint8]
LabelArray: TypeAlias = NDArray[np.uint16] | NDArray[np.int32]
IndexArray: TypeAlias = NDArray[np.int64]
FlatIndexArray: TypeAlias = NDArray[np.intp]
"""Indices in the type that ``numpy.flatnonzero`` and ``numpy.argsort`` return."""

LABEL_BASE = 1000
"""Factor of the category id in a label image: category id x LABEL_BASE + instance number; 0 is the background."""

HANDLE_VISIBLE = "handle_visible"
"""Class id of the second hypothesis of a true pose; its score is 1 if a mug's handle is visible, else 0."""

AXIS_CONFIDENCE_DECAY = 13.7
"""Decay k of the axis confidence exp(-k d^2), with the distance d between predicted and true unit axis (GPV-Pose)."""

TIME_JUMP_NS = 100_000_000
"""Backward step of the stamps, nanoseconds, above which a clock or bag has restarted; smaller steps are reordering."""


@dataclass(frozen=True, slots=True)
class CameraIntrinsics:
    """Intrinsics of a pinhole camera with rectified images, pixels. Pixel centres have integer coordinates.

    Attributes:
        fx: Focal length along x.
        fy: Focal length along y.
        cx: Column of the principal point.
        cy: Row of the principal point.
        width: Image width.
        height: Image height.

    Raises:
        FrameError: A focal length or the image size is not positive, or a value is not finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (self.fx > 0.0 and self.fy > 0.0 and np.isfinite([self.fx, self.fy, self.cx, self.cy]).all()):
            raise FrameError(
                f"camera intrinsics need positive focal lengths, got fx={self.fx} fy={self.fy} cx={self.cx} "
                f"cy={self.cy}: calibrate the camera, or check its CameraInfo"
            )
        if self.width <= 0 or self.height <= 0:
            raise FrameError(f"camera intrinsics need a positive image size, got {self.width}x{self.height}")

    @property
    def K(self) -> FloatArray:
        """Return the intrinsic matrix ``(3, 3)`` float64."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, slots=True)
class DetectedBox:
    """One detection of another program: a class and a box, without a mask.

    Attributes:
        class_name: Name or number of the class, in the words of the detector.
        score: Detection confidence in [0, 1].
        box: Pixel box (x0, y0, x1, y1), x1 and y1 exclusive; may exceed the image.
    """

    class_name: str
    score: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class RgbdFrame:
    """A colour image with a registered depth image.

    Attributes:
        rgb: ``(H, W, 3)`` uint8, channels R, G, B.
        depth: ``(H, W)`` float32, metres along the optical axis; invalid pixels are NaN, infinite, zero or negative.
        intrinsics: The camera of both images.
        stamp_ns: Time of exposure, nanoseconds.
        frame_id: Camera optical frame: x right, y down, z forward (REP-103).
        labels: ``(H, W)`` uint16 or int32 label values, 0 for the background, or None without a label image.
        boxes: Detections of another program on the colour image, or None without them.
    """

    rgb: ByteArray
    depth: FloatArray
    intrinsics: CameraIntrinsics
    stamp_ns: int = 0
    frame_id: str = ""
    labels: LabelArray | None = None
    boxes: tuple[DetectedBox, ...] | None = None

    def __post_init__(self) -> None:
        expected = (self.intrinsics.height, self.intrinsics.width)
        if self.rgb.shape != (*expected, 3) or self.rgb.dtype != np.uint8:
            raise ShapeError(f"rgb must be uint8 of shape {(*expected, 3)}, got {self.rgb.dtype} {self.rgb.shape}")
        if self.depth.shape != expected or self.depth.dtype != np.float32:
            raise ShapeError(f"depth must be float32 of shape {expected}, got {self.depth.dtype} {self.depth.shape}")
        if self.labels is not None and (
            self.labels.shape != expected or self.labels.dtype not in (np.uint16, np.int32)
        ):
            raise ShapeError(
                f"labels must be uint16 or int32 of shape {expected}, got {self.labels.dtype} {self.labels.shape}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMask:
    """One detected instance: a mask cropped to its box.

    Attributes:
        category: Name of the category.
        score: Detection confidence in [0, 1].
        box: Pixel box (x0, y0, x1, y1), x1 and y1 exclusive, inside the image.
        mask: ``(y1 - y0, x1 - x0)`` bool.
    """

    category: str
    score: float
    box: tuple[int, int, int, int]
    mask: BoolArray

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if self.mask.shape != (y1 - y0, x1 - x0) or self.mask.dtype != np.bool_:
            raise ShapeError(
                f"mask of box {self.box} must be bool {(y1 - y0, x1 - x0)}, got {self.mask.dtype} {self.mask.shape}"
            )

    @classmethod
    def from_full(
        cls, category: str, score: float, mask: BoolArray, origin: tuple[int, int] = (0, 0)
    ) -> InstanceMask | None:
        """Create an instance from a mask of the image, or of a part of it; None if no pixel is set.

        Args:
            category: Name of the category.
            score: Detection confidence in [0, 1].
            mask: ``(H, W)`` bool.
            origin: (x, y) of the mask's first pixel in the image.
        """
        rows = np.flatnonzero(mask.any(axis=1))
        if rows.size == 0:
            return None
        y0, y1 = int(rows[0]), int(rows[-1]) + 1
        cols = np.flatnonzero(mask[y0:y1].any(axis=0))
        x0, x1 = int(cols[0]), int(cols[-1]) + 1
        left, top = origin
        return cls(category, score, (x0 + left, y0 + top, x1 + left, y1 + top), mask[y0:y1, x0:x1].copy())


class RejectionReason(Enum):
    """Reasons for which an instance gets no pose."""

    UNKNOWN_LABEL = "label values that mean no category"
    TOO_FEW_POINTS = "too few valid depth points under the mask"
    NO_DEPTH = "no valid depth under the mask"
    CENTRE_OUTSIDE_POINTS = "the predicted centre lies far from the observed points"
    SIZE_CONTRADICTS_POINTS = "the predicted size contradicts the observed points"
    TOO_LARGE_FOR_CATEGORY = "the predicted size is too large for the category"
    NOT_FINITE = "an output of the network is not finite"
    LOW_SCORE = "the score lies below the threshold"


@dataclass(frozen=True, slots=True, eq=False)
class Rejection:
    """An instance without a pose, with the reason.

    Attributes:
        category: Name of the category.
        reason: Reason of the rejection.
        detail: Measured values and thresholds, for messages to the user.
        instance: The rejected instance; None if the rejection belongs to no single mask.
    """

    category: str
    reason: RejectionReason
    detail: str
    instance: InstanceMask | None = None

    @property
    def short_reason(self) -> str:
        """Return the reason in a few words, for labels: ``too few points``."""
        return self.reason.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True, eq=False)
class ObjectCloud:
    """Input points of the network for one instance.

    Attributes:
        instance: Instance whose depth gives the points.
        points_camera: ``(N, 3)`` float32, metres, camera optical frame.
    """

    instance: InstanceMask
    points_camera: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """Pose and size of one instance in one frame, before tracking.

    Attributes:
        category: Name of the category.
        T_camera_object: ``(4, 4)`` float64, maps object coordinates (NOCS axes, box centre) into camera coordinates.
        size: ``(3,)`` float64, full extent (x, y, z) in metres, object frame.
        score: Detection score times the probability that the pose is right, in [0, 1]; an unknown detection score
            counts as 1. Models without a score calibration have a confidence in place of the probability.
        axis_confidences: Confidences in [0, 1] of the y axis and of the x axis, in that order.
        rotation_variance: ``(3,)`` variances of the turns about the object's x, y and z axes after a correction of the
            rotation, rad^2; None if it was not corrected: they then follow from the confidences.
    """

    category: str
    T_camera_object: FloatArray
    size: FloatArray
    score: float
    axis_confidences: tuple[float, float]
    rotation_variance: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """Pose of a tracked object.

    Attributes:
        track_id: Id that is constant over frames and unique within a category.
        category: Name of the category.
        T_frame_object: ``(4, 4)`` float64 pose in the reference frame, metres; the camera frame unless transformed.
        size: ``(3,)`` float64, full extent in metres, object frame.
        score: Smoothed ``PoseEstimate.score`` in [0, 1].
        covariance: ``(6, 6)`` float64 covariance of (x, y, z, rotation about X, Y, Z), m^2 and rad^2, about the fixed
            axes of the reference frame.
        age_s: Age of the track, seconds.
        seen: True if the object was observed in this frame, False if the pose is predicted from earlier frames.
        cloud: Observed points; None if the object was not observed in this frame.
    """

    track_id: int
    category: str
    T_frame_object: FloatArray
    size: FloatArray
    score: float
    covariance: FloatArray
    age_s: float
    seen: bool
    cloud: ObjectCloud | None = None

    @property
    def name(self) -> str:
        """Return category and id, the name of the TF frame: ``mug_3``."""
        return f"{self.category}_{self.track_id}"


class PosedObject(Protocol):
    """An object with pose, size and covariance, such as ``TrackedObject`` and ``client.objects.DetectedObject``."""

    @property
    def name(self) -> str:
        """Return the name of the track, such as ``mug_3``."""
        ...

    @property
    def category(self) -> str:
        """Return the name of the category."""
        ...

    @property
    def score(self) -> float:
        """Return the score in [0, 1]."""
        ...

    @property
    def T_frame_object(self) -> FloatArray:
        """Return the pose ``(4, 4)`` in the frame of the scene, metres."""
        ...

    @property
    def size(self) -> FloatArray:
        """Return the full extent ``(3,)`` along the axes of the object, metres."""
        ...

    @property
    def covariance(self) -> FloatArray:
        """Return the covariance ``(6, 6)`` of (x, y, z, turn about X, Y, Z) about the fixed axes of the frame."""
        ...


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Wall times of the stages of one frame, milliseconds.

    Attributes:
        segmentation_ms: Instance segmentation.
        cloud_ms: Extraction of the object clouds.
        network_ms: Pose network.
    """

    segmentation_ms: float
    cloud_ms: float
    network_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """Result of the pipeline for one frame.

    Attributes:
        poses: Poses of the instances.
        clouds: Cloud of each pose, in the same order.
        rejections: Instances without a pose.
        times: Wall times of the stages.
    """

    poses: tuple[PoseEstimate, ...]
    clouds: tuple[ObjectCloud, ...]
    rejections: tuple[Rejection, ...]
    times: StageTimes
