"""Boxes, axes, masks and labels of tracked objects on their colour image."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from clipose_ros.geometry.boxes import BOX_EDGES, BOX_SIGNS, box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import transform_points
from clipose_ros.types import BoolArray, ByteArray, CameraIntrinsics, FloatArray, InstanceMask, TrackedObject
from clipose_ros.visualization.labels import Colour, LabelPainter, Rectangle

CATEGORY_COLOURS: dict[str, Colour] = {
    "bottle": (90, 190, 255),
    "bowl": (255, 170, 60),
    "camera": (200, 130, 255),
    "can": (255, 110, 130),
    "laptop": (150, 225, 110),
    "mug": (255, 225, 80),
}
"""R G B of the categories; others get one made from their name by ``category_colour``."""

AXIS_COLOURS: tuple[Colour, Colour, Colour] = ((255, 40, 40), (40, 220, 40), (60, 90, 255))
"""R G B of the axes x, y, z."""

_NEAR_M = 0.02  # lines are cut off this far in front of the camera
_SUBPIXEL = 4  # bits of the fraction of a pixel that OpenCV draws with


def category_colour(category: str) -> Colour:
    """The colour of a category, R G B, always the same and never too dark to be seen."""
    if category in CATEGORY_COLOURS:
        return CATEGORY_COLOURS[category]
    hue = zlib.crc32(category.encode()) % 180
    red, green, blue = cv2.cvtColor(np.array([[[hue, 150, 255]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)


def draw_tracks(
    rgb: ByteArray,
    tracks: Sequence[TrackedObject],
    intrinsics: CameraIntrinsics,
    masks: Sequence[InstanceMask] = (),
) -> ByteArray:
    """Draw tracked objects onto a colour image.

    Near objects are drawn over far ones; edges on the far side of a box are thin; an object that this frame did not see
    is dimmed.

    Args:
        rgb: ``(H, W, 3)`` uint8, R G B; it is not changed.
        tracks: In the camera frame.
        intrinsics: The camera of ``rgb``.
        masks: Tinted in the colours of their categories.

    Returns:
        A new ``(H, W, 3)`` uint8 image, R G B: box, axes (x red, y green, z blue), name, score and size in centimetres.
    """
    image = np.array(rgb, dtype=np.uint8, order="C")
    for mask in masks:
        _tint(image, mask)
    ordered = sorted(tracks, key=lambda track: -float(track.T_frame_object[2, 3]))
    for track in ordered:
        _draw_box(image, track, intrinsics)
        _draw_axes(image, track, intrinsics)
    painter = LabelPainter(image)
    for track in reversed(ordered):  # the nearest chooses its place first
        anchor = _pixel_bounds(track, intrinsics)
        if anchor is not None:
            painter.draw(_label(track), anchor, _colour(track))
    return image


def _tint(image: ByteArray, instance: InstanceMask) -> None:
    """Colour a mask lightly and trace its outline."""
    x0, y0, x1, y1 = instance.box
    colour = category_colour(instance.category)
    window = image[y0:y1, x0:x1]
    window[instance.mask] = (0.65 * window[instance.mask] + 0.35 * np.array(colour)).astype(np.uint8)
    outlines, _ = cv2.findContours(
        instance.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x0, y0)
    )
    cv2.drawContours(image, outlines, -1, colour, 1, cv2.LINE_AA)


def _draw_box(image: ByteArray, track: TrackedObject, intrinsics: CameraIntrinsics) -> None:
    """Edges of the far side first and thin, then those that the camera sees."""
    corners = box_corners(track.T_frame_object, track.size)
    thickness = _thickness(image)
    colour = _colour(track)
    shade: Colour = (round(0.6 * colour[0]), round(0.6 * colour[1]), round(0.6 * colour[2]))
    visible = _visible_edges(track)
    for a, b in BOX_EDGES[~visible]:
        _draw_line(image, corners[a], corners[b], intrinsics, shade, thickness)
    for a, b in BOX_EDGES[visible]:
        _draw_line(image, corners[a], corners[b], intrinsics, colour, 2 * thickness)


def _visible_edges(track: TrackedObject) -> BoolArray:
    """``(12,)`` bool: which edges belong to a face that looks towards the camera."""
    R, t = track.T_frame_object[:3, :3], track.T_frame_object[:3, 3]
    eye = -R.T @ t  # the camera in object coordinates
    signs = BOX_SIGNS[BOX_EDGES]  # (12, 2, 3)
    on_face = signs[:, 0] == signs[:, 1]  # the two faces of an edge: the axes along which it does not run
    towards = signs[:, 0] * eye > 0.5 * np.asarray(track.size)
    return np.asarray((on_face & towards).any(axis=1))


def _draw_axes(image: ByteArray, track: TrackedObject, intrinsics: CameraIntrinsics) -> None:
    """Arrows from the centre, all of one length, the farthest tip first."""
    length = 0.6 * float(np.median(track.size))
    centre, *tips = transform_points(track.T_frame_object, np.vstack([np.zeros(3), length * np.eye(3)]))
    for k in sorted(range(3), key=lambda k: -float(tips[k][2])):
        colour = AXIS_COLOURS[k] if track.seen else _dimmed(AXIS_COLOURS[k])
        _draw_line(image, centre, tips[k], intrinsics, colour, 2 * _thickness(image), arrow=True)


def _draw_line(
    image: ByteArray,
    start: FloatArray,
    end: FloatArray,
    intrinsics: CameraIntrinsics,
    colour: Colour,
    thickness: int,
    arrow: bool = False,
) -> None:
    """A line between two points of the camera frame, cut off in front of the camera."""
    points = _in_front(start, end)
    if points is None:
        return
    a, b = np.rint(project(points, intrinsics) * 2**_SUBPIXEL).clip(-(2**30), 2**30).astype(int).tolist()
    if arrow:
        cv2.arrowedLine(image, a, b, colour, thickness, cv2.LINE_AA, shift=_SUBPIXEL, tipLength=0.18)
    else:
        cv2.line(image, a, b, colour, thickness, cv2.LINE_AA, shift=_SUBPIXEL)


def _in_front(start: FloatArray, end: FloatArray) -> FloatArray | None:
    """The part ``(2, 3)`` of a line that lies in front of the camera, or None."""
    if max(start[2], end[2]) < _NEAR_M:
        return None
    points = np.array([start, end])
    for this, other in ((0, 1), (1, 0)):
        if points[this, 2] < _NEAR_M:
            share = (_NEAR_M - points[this, 2]) / (points[other, 2] - points[this, 2])
            points[this] += share * (points[other] - points[this])
    return points


def _pixel_bounds(track: TrackedObject, intrinsics: CameraIntrinsics) -> Rectangle | None:
    """Pixel rectangle around a box as far as it is inside the image, or None where none of it is."""
    corners = box_corners(track.T_frame_object, track.size)
    parts = [part for a, b in BOX_EDGES if (part := _in_front(corners[a], corners[b])) is not None]
    if not parts:
        return None
    pixels = project(np.concatenate(parts), intrinsics)
    (x0, y0), (x1, y1) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    if x1 < 0 or y1 < 0 or x0 > intrinsics.width - 1 or y0 > intrinsics.height - 1:
        return None
    right, bottom = intrinsics.width - 1, intrinsics.height - 1
    return int(max(x0, 0)), int(max(y0, 0)), int(min(x1, right)), int(min(y1, bottom))


def _label(track: TrackedObject) -> tuple[str, str]:
    """Name and score; size."""
    x, y, z = 100.0 * np.asarray(track.size)
    return f"{track.name}  {track.score:.2f}" + ("" if track.seen else "  unseen"), f"{x:.1f} x {y:.1f} x {z:.1f} cm"


def _colour(track: TrackedObject) -> Colour:
    colour = category_colour(track.category)
    return colour if track.seen else _dimmed(colour)


def _dimmed(colour: Colour) -> Colour:
    """Halfway to grey."""
    return (colour[0] // 2 + 64, colour[1] // 2 + 64, colour[2] // 2 + 64)


def _thickness(image: ByteArray) -> int:
    """Pixels of a thin line on an image of that width."""
    return int(max(1, round(image.shape[1] / 960)))
