"""Elements of the 3D view of posed objects: boxes, axes, labels, uncertainty ellipsoids, trails, and the point cloud.

Everything is in the frame of the poses, metres. Objects with values that cannot be drawn are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.geometry.boxes import BOX_EDGES, box_corners
from clipose_ros.geometry.camera import backproject_pixels
from clipose_ros.geometry.se3 import quat_xyzw_from_rotation, transform_points
from clipose_ros.types import ByteArray, FloatArray, PosedObject, RgbdFrame
from clipose_ros.visualization.draw import AXIS_COLOURS, category_colour
from clipose_ros.visualization.labels import Colour

MAX_OBJECTS = 200
"""Largest number of objects that are drawn."""
MAX_EXTENT_M = 1e4
"""Objects farther away or larger than this are left out, metres."""
MAX_RADIUS_M = 1.0
"""Radii of ellipsoids are limited to this, metres."""
CONFIDENCE_95 = 2.7955
"""Radius of the 95 % region of a normal distribution of three dimensions, standard deviations."""
_MAX_TEXT = 80


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Line segments.

    Attributes:
        points: ``(N, 2, 3)`` float32 end points.
        colours: ``(N, 2, 3)`` uint8, R, G, B of the end points.
    """

    points: FloatArray
    colours: ByteArray


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """Text at a point.

    Attributes:
        text: One line.
        position: ``(3,)``.
    """

    text: str
    position: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoid:
    """Region that holds the centre of an object with a probability of 95 %.

    Attributes:
        position: ``(3,)`` centre.
        R: ``(3, 3)`` rotation whose columns are the principal axes.
        radii: ``(3,)`` radii along the principal axes.
        colour: R, G, B.
    """

    position: FloatArray
    R: FloatArray
    radii: FloatArray
    colour: Colour

    @property
    def quat_wxyz(self) -> FloatArray:
        """Return the rotation as a quaternion (w, x, y, z)."""
        return np.roll(quat_xyzw_from_rotation(self.R), 1)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All elements of the objects of a frame."""

    boxes: Lines
    axes: Lines
    labels: tuple[Label, ...]
    ellipsoids: tuple[Ellipsoid, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ColoredPoints:
    """Point cloud.

    Attributes:
        points: ``(N, 3)`` float32, metres.
        colours: ``(N, 3)`` uint8, R, G, B.
    """

    points: FloatArray
    colours: ByteArray


def build_scene(objects: Iterable[PosedObject]) -> Scene:
    """Make the elements of posed objects; those that cannot be drawn, and those above ``MAX_OBJECTS``, are left out."""
    shown = [item for item in objects if is_drawable(item)][:MAX_OBJECTS]
    poses = np.array([item.T_frame_object for item in shown], np.float64).reshape(-1, 4, 4)
    sizes = np.array([item.size for item in shown], np.float64).reshape(-1, 3)
    colours = np.array([category_colour(item.category) for item in shown], np.uint8).reshape(-1, 3)
    return Scene(_boxes(poses, sizes, colours), _axes(poses, sizes), _labels(shown, poses, sizes), _ellipsoids(shown))


def is_drawable(item: PosedObject) -> bool:
    """Return True if pose and size are finite, of the right shape and within ``MAX_EXTENT_M``."""
    T, size = np.asarray(item.T_frame_object), np.asarray(item.size)
    if T.shape != (4, 4) or size.shape != (3,) or not (np.isfinite(T).all() and np.isfinite(size).all()):
        return False
    if np.abs(T[:3, 3]).max() > MAX_EXTENT_M or np.abs(T[:3, :3]).max() > 2.0:
        return False
    is_rotation = bool(np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-3))
    return is_rotation and bool((size >= 0.0).all() and (size <= MAX_EXTENT_M).all())


def colored_points(frame: RgbdFrame, max_points: int, max_depth_m: float) -> ColoredPoints:
    """Compute the coloured points of a frame in its camera frame.

    Pixels are skipped evenly in rows and columns, so that at most ``max_points`` remain.

    Args:
        frame: Colour, depth and calibration.
        max_points: Largest number of points.
        max_depth_m: Farther pixels are left out, metres.
    """
    step = max(1, int(np.sqrt(frame.depth.size / max(max_points, 1))))
    while frame.depth[::step, ::step].size > max(max_points, 1):
        step += 1
    depth = frame.depth[::step, ::step]
    valid = np.isfinite(depth) & (depth > 0.0) & (depth <= max_depth_m)
    v, u = np.nonzero(valid)
    u_px, v_px = (step * u).astype(np.float64), (step * v).astype(np.float64)
    points = backproject_pixels(u_px, v_px, depth[valid].astype(np.float64), frame.intrinsics)
    return ColoredPoints(points.astype(np.float32), frame.rgb[::step, ::step][valid])


def _boxes(poses: FloatArray, sizes: FloatArray, colours: ByteArray) -> Lines:
    corners = box_corners(poses, sizes)
    edges = corners[:, BOX_EDGES].reshape(-1, 2, 3)
    return Lines(edges.astype(np.float32), np.repeat(colours, 2 * len(BOX_EDGES), axis=0).reshape(-1, 2, 3))


def _axes(poses: FloatArray, sizes: FloatArray) -> Lines:
    """Return the axes of each object, as long as its box."""
    origins = np.repeat(poses[:, None, :3, 3], 3, axis=1)
    tips = origins + np.swapaxes(poses[:, :3, :3], 1, 2) * sizes[:, :, None]
    points = np.stack([origins, tips], axis=2).reshape(-1, 2, 3)
    colours = np.repeat(np.array(AXIS_COLOURS, np.uint8), 2, axis=0).reshape(3, 2, 3)
    return Lines(points.astype(np.float32), np.tile(colours, (len(poses), 1, 1)))


def _labels(shown: Sequence[PosedObject], poses: FloatArray, sizes: FloatArray) -> tuple[Label, ...]:
    """Return name and score of each object, at the end of its y axis, which points up."""
    tops = poses[:, :3, 3] + 0.5 * sizes[:, 1:2] * poses[:, :3, 1]
    return tuple(
        Label(f"{plain_text(item.name or item.category)} {item.score:.2f}", top)
        for item, top in zip(shown, tops, strict=True)
    )


def _ellipsoids(shown: Sequence[PosedObject]) -> tuple[Ellipsoid, ...]:
    found = []
    for item in shown:
        covariance = np.asarray(item.covariance, np.float64)
        if covariance.shape != (6, 6) or not np.isfinite(covariance[:3, :3]).all():
            continue
        block = 0.5 * (covariance[:3, :3] + covariance[:3, :3].T)
        with np.errstate(over="ignore", invalid="ignore"):
            variances, R = np.linalg.eigh(np.clip(block, -1e12, 1e12))
        radii = np.minimum(CONFIDENCE_95 * np.sqrt(np.maximum(variances, 0.0)), MAX_RADIUS_M)
        R = R * np.sign(np.linalg.det(R))  # eigenvectors may be a mirrored basis
        found.append(Ellipsoid(np.asarray(item.T_frame_object)[:3, 3], R, radii, category_colour(item.category)))
    return tuple(found)


def moved(cloud: ColoredPoints, T_frame_camera: FloatArray) -> ColoredPoints:
    """Return a point cloud in another frame."""
    return ColoredPoints(transform_points(T_frame_camera, cloud.points).astype(np.float32), cloud.colours)


def plain_text(text: str) -> str:
    """Return text from outside as one short line of printable characters."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: _MAX_TEXT + 1])
    return shown if len(shown) <= _MAX_TEXT else f"{shown[: _MAX_TEXT - 1]}…"
