"""Drawing of boxes, axes, masks and labels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipose_ros.geometry.boxes import BOX_EDGES, box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import exp_se3, exp_so3, make_transform
from clipose_ros.types import (
    CameraIntrinsics,
    FrameResult,
    InstanceMask,
    ObjectCloud,
    PoseEstimate,
    Rejection,
    RejectionReason,
    StageTimes,
    TrackedObject,
)
from clipose_ros.visualization import draw
from clipose_ros.visualization.draw import (
    AXIS_COLOURS,
    CATEGORY_COLOURS,
    REJECTED_COLOUR,
    category_colour,
    draw_result,
    draw_tracks,
)
from clipose_ros.visualization.labels import Label, draw_labels
from clipose_ros.visualization.lines import project_object_lines

CAMERA = CameraIntrinsics(577.5, 577.5, 319.5, 239.5, 640, 480)
UPRIGHT = exp_so3([0.4, 0.0, 0.0]) @ np.diag([1.0, -1.0, -1.0])


def blank():
    return np.zeros((480, 640, 3), np.uint8)


def track(t=(0.0, 0.0, 1.0), category="mug", size=(0.2, 0.15, 0.1), R=UPRIGHT, number=1, seen=True):
    return TrackedObject(number, category, make_transform(R, t), np.array(size), 0.8, np.eye(6), 1.0, seen)


def near(image, u, v, reach=2):
    return image[max(0, round(v) - reach) : round(v) + reach + 1, max(0, round(u) - reach) : round(u) + reach + 1]


def has_colour(patch, colour, tolerance=25):
    return (np.abs(patch.astype(int) - colour).max(axis=-1) <= tolerance).any()


@pytest.mark.parametrize(("yaw", "seen"), [(0.0, 6), (0.6, 7)])
def test_visible_corners_have_the_colour_of_the_category(yaw, seen):
    """The camera sees two faces from the front and three from the side."""
    thing = track(R=UPRIGHT @ exp_so3([0.0, yaw, 0.0]))
    image = draw_tracks(blank(), [thing], CAMERA)
    corners = box_corners(thing.T_frame_object, thing.size)
    hits = [has_colour(near(image, *p), CATEGORY_COLOURS["mug"]) for p in project(corners, CAMERA)]
    assert sum(hits) == seen


def test_axes_x_y_z_are_red_green_blue():
    thing = track(R=exp_so3([0.5, 0.3, 0.1]))
    image = draw_tracks(blank(), [thing], CAMERA)
    for axis, colour in enumerate(AXIS_COLOURS):
        middle = thing.T_frame_object[:3, 3] + 0.04 * thing.T_frame_object[:3, axis]
        assert has_colour(near(image, *project(middle[None], CAMERA)[0]), colour)


def test_input_image_is_not_modified():
    rgb = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    kept = rgb.copy()
    rgb.flags.writeable = False
    assert not np.shares_memory(draw_tracks(rgb, [track()], CAMERA), rgb)
    assert np.array_equal(rgb, kept)
    assert np.array_equal(draw_tracks(rgb, [], CAMERA), rgb)


def test_near_objects_are_drawn_over_far_objects():
    far, close = track((0, 0, 1.2), "can"), track((0.02, 0, 0.9), "bowl")
    one, other = draw_tracks(blank(), [far, close], CAMERA), draw_tracks(blank(), [close, far], CAMERA)
    assert np.array_equal(one, other)


def test_mask_is_tinted_inside_only():
    mask = InstanceMask("can", 0.9, (100, 50, 140, 100), np.ones((50, 40), np.bool_))
    grey = np.full((480, 640, 3), 100, np.uint8)
    image = draw_tracks(grey, [], CAMERA, [mask])
    assert np.allclose(image[75, 120], 0.65 * 100 + 0.35 * np.array(CATEGORY_COLOURS["can"]), atol=1)
    changed = (image != grey).any(axis=-1)
    assert changed[50:100, 100:140].all() and changed.sum() < 52 * 42


@pytest.mark.parametrize("t", [(0, 0, -1.0), (5.0, 0, 1.0), (0, -5.0, 1.0)])
def test_objects_outside_the_view_are_not_drawn(t):
    assert not draw_tracks(blank(), [track(t)], CAMERA).any()


def test_object_around_the_camera_is_clipped():
    """Corners behind the camera must not be projected as mirror images above the horizon."""
    floor = track((0.0, 0.5, 0.0), size=(0.3, 0.02, 4.0), R=np.eye(3))
    image = draw_tracks(blank(), [floor], CAMERA)
    box_rows = np.flatnonzero((np.abs(image.astype(int) - CATEGORY_COLOURS["mug"]).max(axis=-1) < 10).sum(axis=1))
    assert box_rows.min() > 240, "the floor lies below the horizon"


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, 6, elements=st.floats(-2, 2)), arrays(np.float64, 3, elements=st.floats(0.001, 5)))
def test_any_pose_can_be_drawn(twist, size):
    thing = TrackedObject(1, "laptop", exp_se3(twist), size, 1.0, np.eye(6), 0.0, True)
    image = draw_tracks(blank(), [thing], CAMERA)
    assert image.shape == (480, 640, 3) and image.dtype == np.uint8


def test_unseen_objects_are_dimmed():
    assert not np.array_equal(
        draw_tracks(blank(), [track()], CAMERA), draw_tracks(blank(), [track(seen=False)], CAMERA)
    )


def test_category_colours_are_bright_and_distinct():
    names = [*CATEGORY_COLOURS, "drill", "shoe", "banana"]
    colours = [category_colour(name) for name in names]
    assert colours == [category_colour(name) for name in names]
    assert len(set(colours)) == len(names)
    assert min(max(colour) for colour in colours) > 200
    apart = [np.abs(np.subtract(a, b)).max() for a, b in itertools.combinations(CATEGORY_COLOURS.values(), 2)]
    assert min(apart) > 40


def label(lines, rectangle, colour):
    x0, y0, x1, y1 = rectangle
    return Label(lines[0], tuple(lines), np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float), colour)


@pytest.mark.parametrize("rectangle", [(0, 0, 30, 20), (600, 0, 639, 20), (610, 450, 639, 479), (0, 0, 639, 479)])
def test_labels_stay_inside_the_image(rectangle):
    lines, colour = ["laptop_12  0.87", "33.1 x 22.0 x 33.5 cm"], (0, 200, 0)
    free, edge = blank(), blank()
    draw_labels(free, [label(lines, (300, 220, 340, 260), colour)])
    draw_labels(edge, [label(lines, rectangle, colour)])
    area = (free == colour).all(axis=-1).sum()
    assert abs(int((edge == colour).all(axis=-1).sum()) - int(area)) < 60, "but for the line to the object"
    assert len(np.unique(edge.reshape(-1, 3), axis=0)) > 2, "text"


def test_labels_do_not_overlap():
    lines = ["bottle_1  0.50", "8.0 x 20.0 x 8.0 cm"]
    labels = [label(lines, (300 + 6 * k, 200, 340 + 6 * k, 300), (10 * k + 50, 9, 9)) for k in range(5)]
    together = blank()
    draw_labels(together, labels)
    alone = blank()
    draw_labels(alone, labels[:1])
    expected = (alone == labels[0].colour).all(axis=-1).sum()
    for item in labels:
        assert (together == item.colour).all(axis=-1).sum() >= expected


def test_labels_avoid_objects_if_there_is_room():
    """Nine objects behind each other: the place above an object is another object's."""
    lines = ["mug_1  0.90", "10.0 x 9.0 x 8.0 cm"]
    places = [(160 + 110 * column, 110 + 100 * row) for row in range(3) for column in range(3)]
    labels = [label(lines, (x, y, x + 90, y + 90), (9, x // 3, y // 2)) for x, y in places]
    image = blank()
    draw_labels(image, labels)
    for x, y in places:
        covered = image[y + 4 : y + 86, x + 4 : x + 86].any(axis=-1).mean()
        assert covered < 0.04, "no more than the lines from labels to objects"


def test_label_far_from_its_object_is_connected_by_a_line():
    image, grey = blank(), (90, 90, 90)
    crowd = label(["around"], (200, 100, 400, 300), grey)
    inner = label(["mug_1  0.90", "10.0 x 9.0 x 8.0 cm"], (280, 190, 320, 220), (200, 60, 9))
    draw_labels(image, [crowd, inner])
    corners = [(280, 190), (320, 190), (280, 220), (320, 220)]
    assert any(has_colour(near(image, *corner, 3), inner.colour, 60) for corner in corners)


def test_text_contrasts_with_its_background():
    for colour, ink in (((255, 255, 120), 0), ((40, 20, 90), 255)):
        image = np.full((480, 640, 3), 128, np.uint8)
        draw_labels(image, [label(["mug_1"], (300, 200, 340, 240), colour)])
        assert (image == ink).all(axis=-1).any()


def clip_single_line(start, end, near=0.02):
    """Compute the part of one line in front of the camera, as a reference."""
    if max(start[2], end[2]) < near:
        return None
    points = [start, end]
    for this, other in ((start, end), (end, start)):
        if this[2] < near:
            cut = this + (near - this[2]) / (other[2] - this[2]) * (other - this)
            points[0 if this is start else 1] = cut
    return np.array(points)


@settings(deadline=None)
@given(arrays(np.float64, (3, 6), elements=st.floats(-2, 2)), arrays(np.float64, (3, 3), elements=st.floats(0.01, 3)))
def test_lines_of_a_batch_equal_those_of_single_objects(twists, sizes):
    T = exp_se3(twists)
    lines = project_object_lines(T, sizes, CAMERA)
    for k in range(3):
        corners = box_corners(T[k], sizes[k])
        arrows = [(T[k, :3, 3], T[k, :3, 3] + 0.6 * np.median(sizes[k]) * T[k, :3, axis]) for axis in range(3)]
        ends = [(corners[a], corners[b]) for a, b in BOX_EDGES] + arrows
        drawn = []
        for number, (start, end) in enumerate(ends):
            part = clip_single_line(start, end)
            assert lines.shown[k, number] == (part is not None)
            if part is not None:
                assert np.allclose(lines.pixels[k, number], project(part, CAMERA), rtol=1e-6, atol=1e-3)
                drawn += lines.pixels[k, number].tolist() if number < 12 else []
        expected = [*np.min(drawn, axis=0), *np.max(drawn, axis=0)] if drawn else [np.inf, np.inf, -np.inf, -np.inf]
        assert np.array_equal(lines.bounds()[k], expected)


def rejected(instance, reason=RejectionReason.TOO_FEW_POINTS):
    return Rejection("can", reason, "12 of 64 points", instance)


def test_rejected_mask_is_grey_with_its_reason(monkeypatch):
    texts = []

    def recorded(image, labels, offsets):
        texts.extend(item.lines for item in labels)
        draw_labels(image, labels, offsets)

    monkeypatch.setattr(draw, "draw_labels", recorded)
    mask = InstanceMask("can", 0.9, (100, 150, 140, 200), np.ones((50, 40), np.bool_))
    grey = np.full((480, 640, 3), (100, 50, 20), np.uint8)
    image = draw_tracks(grey, [track()], CAMERA, rejections=[rejected(mask)])
    assert np.allclose(image[175, 120], 0.65 * np.array([100, 50, 20]) + 0.35 * np.array(REJECTED_COLOUR), atol=1)
    assert (image[150, 100:140] == REJECTED_COLOUR).all(), "the outline"
    assert texts[-1] == ("can rejected", "too few points")
    assert (image[:145, 60:180] == REJECTED_COLOUR).all(axis=-1).sum() > 100, "the background of the label"
    assert not has_colour(image[150:200, 100:140], CATEGORY_COLOURS["can"])


def test_rejection_without_an_instance_is_not_drawn():
    assert not draw_tracks(blank(), [], CAMERA, rejections=[rejected(None, RejectionReason.UNKNOWN_LABEL)]).any()


def test_frame_result_is_drawn_as_numbered_tracks():
    mask = InstanceMask("mug", 0.9, (300, 200, 340, 260), np.ones((60, 40), np.bool_))
    small = InstanceMask("can", 0.9, (10, 10, 30, 30), np.ones((20, 20), np.bool_))
    lost = Rejection("can", RejectionReason.TOO_FEW_POINTS, "12 of 64 points", small)
    tracks = [track((0, 0, 1.0), number=1), track((0.3, 0, 1.0), number=2)]
    poses = tuple(PoseEstimate("mug", item.T_frame_object, item.size, item.score, (0.9, 0.9)) for item in tracks)
    clouds = tuple(ObjectCloud(mask, np.zeros((8, 3), np.float32)) for _ in poses)
    result = FrameResult(poses, clouds, (lost,), StageTimes(0.0, 0.0, 0.0))
    expected = draw_tracks(blank(), tracks, CAMERA, [mask, mask], [lost])
    assert np.array_equal(draw_result(blank(), result, CAMERA), expected)


@given(x=st.integers(0, 500), y=st.integers(0, 400), category=st.sampled_from(sorted(CATEGORY_COLOURS)))
@settings(max_examples=20)
def test_detected_instances_are_tinted_in_the_colour_of_their_category(x, y, category):
    image = blank()
    mask = InstanceMask(category, 0.5, (x, y, x + 60, y + 40), np.ones((40, 60), bool))
    drawn = draw.draw_instances(image, [mask])
    inside = drawn[y + 1 : y + 39, x + 1 : x + 59].reshape(-1, 3)
    tint = 0.35 * np.array(CATEGORY_COLOURS[category])
    assert (np.abs(inside - tint) <= 1).all(axis=1).mean() > 0.9  # a label may reach over the border
    assert not image.any() and drawn.shape == image.shape
    assert not draw.draw_instances(image, []).any()
