"""Boxes, axes, masks and labels of tracked objects on their colour image."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.types import (
    BoolArray,
    ByteArray,
    CameraIntrinsics,
    FloatArray,
    FrameResult,
    InstanceMask,
    Rejection,
    TrackedObject,
)
from clipose_ros.visualization.labels import Colour, IntArray, Label, draw_labels
from clipose_ros.visualization.lines import EDGES, project_object_lines

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

REJECTED_COLOUR: Colour = (150, 150, 150)
"""R G B of instances that got no pose."""

_SUBPIXEL = 4  # bits of the fraction of a pixel that OpenCV draws with


def category_colour(category: str) -> Colour:
    """Return the colour of a category, R G B: deterministic and bright."""
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
    rejections: Sequence[Rejection] = (),
) -> ByteArray:
    """Draw tracked objects and rejected instances onto a copy of a colour image.

    Near objects are drawn over far ones. Edges on the far side of a box are thin. An object that this frame did not
    observe is dimmed. A rejected instance is a grey mask with the reason as its label.

    Args:
        rgb: ``(H, W, 3)`` uint8, R G B; it is not changed.
        tracks: Objects to draw, in the camera frame.
        intrinsics: Intrinsics of ``rgb``.
        masks: Instances to tint in the colours of their categories.
        rejections: Rejected instances; those without a mask are not drawn.

    Returns:
        A new ``(H, W, 3)`` uint8 image, R G B: box, axes (x red, y green, z blue), name, score and size in centimetres.
    """
    image = np.array(rgb, dtype=np.uint8, order="C")
    rejected = [(rejection, rejection.instance) for rejection in rejections if rejection.instance is not None]
    for _, instance in rejected:
        _tint(image, instance, REJECTED_COLOUR)
    for mask in masks:
        _tint(image, mask, category_colour(mask.category))
    labels = _draw_objects(image, tracks, intrinsics) if tracks else []
    labels += [_rejection_label(rejection, instance) for rejection, instance in rejected]  # objects get better places
    draw_labels(image, labels)
    return image


def draw_result(rgb: ByteArray, result: FrameResult, intrinsics: CameraIntrinsics) -> ByteArray:
    """Draw the poses, masks and rejected instances of a single frame onto a copy of its colour image.

    Args:
        rgb: ``(H, W, 3)`` uint8, R G B; it is not changed.
        result: Result of ``PosePipeline.process`` for the frame.
        intrinsics: Intrinsics of ``rgb``.

    Returns:
        A new ``(H, W, 3)`` uint8 image as ``draw_tracks`` draws it. The objects of a category are numbered from 1 in
        order of detection score.
    """
    numbers: Counter[str] = Counter()
    tracks = []
    for pose in result.poses:
        numbers[pose.category] += 1
        number, T, uncertainty = numbers[pose.category], pose.T_camera_object, np.zeros((6, 6))
        tracks.append(TrackedObject(number, pose.category, T, pose.size, pose.score, uncertainty, 0.0, True))
    masks = [cloud.instance for cloud in result.clouds]
    return draw_tracks(rgb, tracks, intrinsics, masks, result.rejections)


def _draw_objects(image: ByteArray, tracks: Sequence[TrackedObject], intrinsics: CameraIntrinsics) -> list[Label]:
    """Draw boxes and axes from far to near; return the labels of visible objects from near to far."""
    ordered = sorted(tracks, key=lambda track: -float(track.T_frame_object[2, 3]))
    lines = project_object_lines(
        np.array([t.T_frame_object for t in ordered]), np.array([t.size for t in ordered]), intrinsics
    )
    ends = np.rint(lines.pixels * 2**_SUBPIXEL).clip(-(2**30), 2**30).astype(np.int32)
    for k, track in enumerate(ordered):
        _draw_box(image, track, ends[k, :EDGES], lines.shown[k, :EDGES], lines.facing[k])
        _draw_axes(image, track, ends[k, EDGES:], lines.shown[k, EDGES:], lines.far_first[k])
    inside = [_overlaps_image(bounds, intrinsics) for bounds in lines.bounds()]
    return [
        Label(_label_lines(ordered[k]), lines.pixels[k][lines.shown[k]].reshape(-1, 2), _colour(ordered[k]))
        for k in reversed(range(len(ordered)))
        if inside[k]
    ]


def _tint(image: ByteArray, instance: InstanceMask, colour: Colour) -> None:
    """Blend a colour into the pixels of a mask and trace its outline."""
    x0, y0, x1, y1 = instance.box
    window, mask = image[y0:y1, x0:x1], instance.mask.view(np.uint8)
    red, green, blue = (0.35 * value for value in colour)
    mixture = np.array([[0.65, 0.0, 0.0, red], [0.0, 0.65, 0.0, green], [0.0, 0.0, 0.65, blue]])
    cv2.copyTo(cv2.transform(window, mixture), mask, window)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))
    cv2.drawContours(image, outlines, -1, colour, 1)


def _draw_box(image: ByteArray, track: TrackedObject, ends: IntArray, shown: BoolArray, facing: BoolArray) -> None:
    """Draw the hidden edges of a box, thin, and then its visible edges; ``ends`` is ``(12, 2, 2)``."""
    thickness = _thickness(image)
    colour = _colour(track)
    shade: Colour = (round(0.6 * colour[0]), round(0.6 * colour[1]), round(0.6 * colour[2]))
    cv2.polylines(image, list(ends[shown & ~facing]), False, shade, thickness, cv2.LINE_AA, _SUBPIXEL)
    cv2.polylines(image, list(ends[shown & facing]), False, colour, 2 * thickness, cv2.LINE_AA, _SUBPIXEL)


def _draw_axes(
    image: ByteArray, track: TrackedObject, ends: IntArray, shown: BoolArray, far_first: NDArray[np.intp]
) -> None:
    """Draw the axes as arrows ``(3, 2, 2)`` from the centre, the farthest tip first."""
    thickness = 2 * _thickness(image)
    for k in far_first.tolist():
        if shown[k]:
            colour = AXIS_COLOURS[k] if track.seen else _dimmed(AXIS_COLOURS[k])
            start, tip = ends[k].tolist()
            cv2.arrowedLine(image, start, tip, colour, thickness, cv2.LINE_AA, _SUBPIXEL, 0.18)


def _overlaps_image(bounds: FloatArray, intrinsics: CameraIntrinsics) -> bool:
    """Return True if a pixel rectangle (u0, v0, u1, v1) overlaps the image."""
    x0, y0, x1, y1 = bounds.tolist()
    return bool(x1 >= 0 and y1 >= 0 and x0 <= intrinsics.width - 1 and y0 <= intrinsics.height - 1)


def _label_lines(track: TrackedObject) -> tuple[str, str]:
    """Return the two lines of a label: name and score; size."""
    x, y, z = 100.0 * np.asarray(track.size)
    return f"{track.name}  {track.score:.2f}" + ("" if track.seen else "  unseen"), f"{x:.1f} x {y:.1f} x {z:.1f} cm"


def _rejection_label(rejection: Rejection, instance: InstanceMask) -> Label:
    """Return the label of a rejected instance: category and reason."""
    x0, y0, x1, y1 = instance.box
    corners = np.array([(x0, y0), (x1 - 1, y0), (x1 - 1, y1 - 1), (x0, y1 - 1)], dtype=np.float64)
    return Label((f"{rejection.category} rejected", rejection.short_reason), corners, REJECTED_COLOUR)


def _colour(track: TrackedObject) -> Colour:
    colour = category_colour(track.category)
    return colour if track.seen else _dimmed(colour)


def _dimmed(colour: Colour) -> Colour:
    """Blend a colour halfway to grey."""
    return (colour[0] // 2 + 64, colour[1] // 2 + 64, colour[2] // 2 + 64)


def _thickness(image: ByteArray) -> int:
    """Return the width of a thin line, pixels."""
    return int(max(1, round(image.shape[1] / 960)))
