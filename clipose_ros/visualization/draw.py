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
from clipose_ros.visualization.labels import Colour, IntArray, Label, LabelOffsets, draw_labels
from clipose_ros.visualization.lines import EDGES, project_object_lines

CATEGORY_COLOURS: dict[str, Colour] = {
    "bottle": (90, 190, 255),
    "bowl": (255, 170, 60),
    "camera": (200, 130, 255),
    "can": (255, 110, 130),
    "laptop": (150, 225, 110),
    "mug": (255, 225, 80),
}
"""R, G, B of the NOCS categories; ``category_colour`` derives the colours of other categories from their names."""

AXIS_COLOURS: tuple[Colour, Colour, Colour] = ((255, 40, 40), (40, 220, 40), (60, 90, 255))
"""R, G, B of the axes x, y, z."""

REJECTED_COLOUR: Colour = (150, 150, 150)
"""R, G, B of instances without a pose."""

_SUBPIXEL_BITS = 4
"""Number of fractional bits of the coordinates that are passed to OpenCV."""


def category_colour(category: str) -> Colour:
    """Return the bright colour of a category, R, G, B; equal names give equal colours."""
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
    label_offsets: LabelOffsets | None = None,
) -> ByteArray:
    """Draw tracked objects and rejected instances onto a copy of a colour image.

    Near objects are drawn over far ones. Edges on the far side of a box are thin. An object that was not observed in
    this frame is dimmed. A rejected instance is drawn as a grey mask with the reason as its label.

    Args:
        rgb: ``(H, W, 3)`` uint8, channels R, G, B; not modified.
        tracks: Objects to draw; ``T_frame_object`` must be in the camera frame.
        intrinsics: Intrinsics of ``rgb``.
        masks: Instances to tint in the colours of their categories.
        rejections: Rejected instances; those without a mask are not drawn.
        label_offsets: Places of the labels in the previous image of a sequence, empty at first; it is updated. Labels
            then move less.

    Returns:
        A new ``(H, W, 3)`` uint8 image with the box, axes (x red, y green, z blue), name, score and size (cm) of each
        object.
    """
    image = np.array(rgb, dtype=np.uint8, order="C")
    rejected = [(rejection, rejection.instance) for rejection in rejections if rejection.instance is not None]
    for _, instance in rejected:
        _tint(image, instance, REJECTED_COLOUR)
    for mask in masks:
        _tint(image, mask, category_colour(mask.category))
    labels = _draw_objects(image, tracks, intrinsics) if tracks else []
    # Earlier labels get better places, so those of rejections come last.
    labels += [_make_rejection_label(rejection, instance) for rejection, instance in rejected]
    draw_labels(image, labels, label_offsets)
    return image


def draw_result(rgb: ByteArray, result: FrameResult, intrinsics: CameraIntrinsics) -> ByteArray:
    """Draw the poses, masks and rejected instances of a single frame onto a copy of its colour image.

    Args:
        rgb: ``(H, W, 3)`` uint8, channels R, G, B; not modified.
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


def draw_instances(rgb: ByteArray, instances: Sequence[InstanceMask]) -> ByteArray:
    """Draw detected instances onto a copy of a colour image.

    Args:
        rgb: ``(H, W, 3)`` uint8, channels R, G, B; not modified.
        instances: Instances; the labels of earlier ones get better places.

    Returns:
        A new ``(H, W, 3)`` uint8 image with the mask, category and score of each instance.
    """
    image = np.array(rgb, dtype=np.uint8, order="C")
    labels = []
    for number, instance in enumerate(instances):
        colour = category_colour(instance.category)
        _tint(image, instance, colour)
        text = (f"{instance.category} {instance.score:.2f}",)
        labels.append(Label(str(number), text, _box_corners(instance), colour))
    draw_labels(image, labels)
    return image


def _draw_objects(image: ByteArray, tracks: Sequence[TrackedObject], intrinsics: CameraIntrinsics) -> list[Label]:
    """Draw boxes and axes from far to near; return the labels of visible objects from near to far."""
    ordered = sorted(tracks, key=lambda track: -float(track.T_frame_object[2, 3]))
    lines = project_object_lines(
        np.array([t.T_frame_object for t in ordered]), np.array([t.size for t in ordered]), intrinsics
    )
    ends = np.rint(lines.pixels * 2**_SUBPIXEL_BITS).clip(-(2**30), 2**30).astype(np.int32)
    for k, track in enumerate(ordered):
        _draw_box(image, track, ends[k, :EDGES], lines.shown[k, :EDGES], lines.facing[k])
        _draw_axes(image, track, ends[k, EDGES:], lines.shown[k, EDGES:], lines.far_first[k])
    inside = [_overlaps_image(bounds, intrinsics) for bounds in lines.bounds()]
    return [
        Label(track.name, _format_label(track), lines.pixels[k][lines.shown[k]].reshape(-1, 2), _track_colour(track))
        for k, track in reversed(list(enumerate(ordered)))
        if inside[k]
    ]


def _tint(image: ByteArray, instance: InstanceMask, colour: Colour) -> None:
    """Blend a colour into the pixels of a mask in place and draw its outline."""
    x0, y0, x1, y1 = instance.box
    window, mask = image[y0:y1, x0:x1], instance.mask.view(np.uint8)
    red, green, blue = (0.35 * value for value in colour)
    mixture = np.array([[0.65, 0.0, 0.0, red], [0.0, 0.65, 0.0, green], [0.0, 0.0, 0.65, blue]])
    cv2.copyTo(cv2.transform(window, mixture), mask, window)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))
    cv2.drawContours(image, outlines, -1, colour, 1)


def _draw_box(image: ByteArray, track: TrackedObject, ends: IntArray, shown: BoolArray, facing: BoolArray) -> None:
    """Draw the edges of a box: first those on the far side, thin and dark, then those that face the camera.

    Args:
        image: ``(H, W, 3)`` uint8, modified in place.
        track: The object.
        ends: ``(12, 2, 2)`` int32 end points (u, v) of the edges, fixed-point pixels.
        shown: ``(12,)`` bool, True for edges in front of the camera.
        facing: ``(12,)`` bool, True for edges of a face that faces the camera.
    """
    thickness = _line_width(image)
    colour = _track_colour(track)
    shade: Colour = (round(0.6 * colour[0]), round(0.6 * colour[1]), round(0.6 * colour[2]))
    cv2.polylines(image, list(ends[shown & ~facing]), False, shade, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.polylines(image, list(ends[shown & facing]), False, colour, 2 * thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _draw_axes(
    image: ByteArray, track: TrackedObject, ends: IntArray, shown: BoolArray, far_first: NDArray[np.intp]
) -> None:
    """Draw the axes as arrows from the centre, the arrow with the farthest tip first.

    Args:
        image: ``(H, W, 3)`` uint8, modified in place.
        track: The object.
        ends: ``(3, 2, 2)`` int32 start and tip (u, v) of the arrows, fixed-point pixels.
        shown: ``(3,)`` bool, True for arrows in front of the camera.
        far_first: ``(3,)`` order of the arrows.
    """
    thickness = 2 * _line_width(image)
    for k in far_first.tolist():
        if shown[k]:
            colour = AXIS_COLOURS[k] if track.seen else _dim(AXIS_COLOURS[k])
            start, tip = ends[k].tolist()
            cv2.arrowedLine(image, start, tip, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS, 0.18)


def _overlaps_image(bounds: FloatArray, intrinsics: CameraIntrinsics) -> bool:
    """Return True if a pixel rectangle (u0, v0, u1, v1) overlaps the image."""
    x0, y0, x1, y1 = bounds.tolist()
    return bool(x1 >= 0 and y1 >= 0 and x0 <= intrinsics.width - 1 and y0 <= intrinsics.height - 1)


def _format_label(track: TrackedObject) -> tuple[str, str]:
    """Return the two lines of a label: name and score; size."""
    x, y, z = 100.0 * np.asarray(track.size)
    return f"{track.name}  {track.score:.2f}" + ("" if track.seen else "  unseen"), f"{x:.1f} x {y:.1f} x {z:.1f} cm"


def _make_rejection_label(rejection: Rejection, instance: InstanceMask) -> Label:
    """Return the label of a rejected instance: category and reason."""
    text = (f"{rejection.category} rejected", rejection.short_reason)
    return Label(f"rejected {rejection.category}", text, _box_corners(instance), REJECTED_COLOUR)


def _box_corners(instance: InstanceMask) -> FloatArray:
    """Return the corners ``(4, 2)`` (u, v) of the box of an instance, pixels."""
    x0, y0, x1, y1 = instance.box
    return np.array([(x0, y0), (x1 - 1, y0), (x1 - 1, y1 - 1), (x0, y1 - 1)], dtype=np.float64)


def _track_colour(track: TrackedObject) -> Colour:
    """Return the colour of the category, dimmed for an object that was not observed."""
    colour = category_colour(track.category)
    return colour if track.seen else _dim(colour)


def _dim(colour: Colour) -> Colour:
    """Blend a colour halfway to grey."""
    return (colour[0] // 2 + 64, colour[1] // 2 + 64, colour[2] // 2 + 64)


def _line_width(image: ByteArray) -> int:
    """Return the width of a thin line, pixels."""
    return int(max(1, round(image.shape[1] / 960)))
