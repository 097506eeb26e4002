"""Elements of the view as properties: they move with the objects, have their sizes, and are finite for any input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from posed_objects import Posed

from clipose_ros.geometry.boxes import BOX_EDGES
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import exp_se3, rotate_covariance, transform_points
from clipose_ros.ros_tools.view.scene import (
    CONFIDENCE_95,
    MAX_OBJECTS,
    MAX_RADIUS_M,
    build_scene,
    colored_points,
    moved,
    plain_text,
)
from clipose_ros.types import CameraIntrinsics, FloatArray, RgbdFrame

TWISTS = arrays(np.float64, 6, elements=st.floats(-2.0, 2.0))
SIZES = arrays(np.float64, 3, elements=st.floats(0.01, 0.5))
ROOTS = arrays(np.float64, (6, 6), elements=st.floats(-0.05, 0.05))


@st.composite
def objects(draw: st.DrawFn) -> Posed:
    root = draw(ROOTS)
    return Posed(exp_se3(draw(TWISTS)), draw(SIZES), root @ root.T + 1e-8 * np.eye(6))


@given(objects())
def test_box_and_axes_have_the_size_of_the_object(item: Posed) -> None:
    scene = build_scene([item])
    lengths = np.linalg.norm(np.diff(scene.boxes.points, axis=1)[:, 0], axis=1)
    expected = np.repeat(item.size, 4)
    np.testing.assert_allclose(np.sort(lengths), np.sort(expected), atol=1e-5)
    tips = scene.axes.points[:, 1] - scene.axes.points[:, 0]
    np.testing.assert_allclose(np.linalg.norm(tips, axis=1), item.size, atol=1e-5)
    assert scene.boxes.points.shape == scene.boxes.colours.shape == (len(BOX_EDGES), 2, 3)
    assert scene.axes.points.shape == scene.axes.colours.shape == (3, 2, 3)


@given(st.lists(objects(), max_size=4), TWISTS)
def test_scene_moves_with_its_objects(items: list[Posed], twist: FloatArray) -> None:
    T = exp_se3(twist)
    there = [
        replace(item, T_frame_object=T @ item.T_frame_object, covariance=rotate_covariance(item.covariance, T[:3, :3]))
        for item in items
    ]
    before, after = build_scene(items), build_scene(there)
    for lines, moved_lines in ((before.boxes, after.boxes), (before.axes, after.axes)):
        np.testing.assert_allclose(transform_points(T, lines.points), moved_lines.points, atol=1e-4)
    for label, moved_label in zip(before.labels, after.labels, strict=True):
        np.testing.assert_allclose(transform_points(T, label.position[None])[0], moved_label.position, atol=1e-6)
    for one, other in zip(before.ellipsoids, after.ellipsoids, strict=True):
        np.testing.assert_allclose(one.radii, other.radii, atol=1e-6)


@given(objects(), arrays(np.float64, 3, elements=st.floats(-1.0, 1.0)))
def test_surface_of_an_ellipsoid_has_the_distance_of_95_per_cent(item: Posed, direction: FloatArray) -> None:
    (ellipsoid,) = build_scene([item]).ellipsoids
    unit = direction / max(float(np.linalg.norm(direction)), 1e-9)
    if np.linalg.norm(unit) < 0.5 or ellipsoid.radii.max() >= MAX_RADIUS_M:
        return
    offset = ellipsoid.R @ (ellipsoid.radii * unit)
    distance = np.sqrt(offset @ np.linalg.solve(item.covariance[:3, :3], offset))
    assert distance == pytest.approx(CONFIDENCE_95, rel=1e-3)
    assert np.linalg.det(ellipsoid.R) == pytest.approx(1.0) and np.linalg.norm(ellipsoid.quat_wxyz) == pytest.approx(1)


ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(
        st.builds(
            Posed,
            st.one_of(arrays(np.float64, (4, 4), elements=ANY), TWISTS.map(exp_se3)),
            st.one_of(arrays(np.float64, 3, elements=ANY), SIZES),
            arrays(np.float64, (6, 6), elements=ANY),
            st.text(),
            st.text(),
            ANY,
        ),
        max_size=3,
    )
)
def test_any_values_give_a_scene_that_can_be_drawn(items: list[Posed]) -> None:
    scene = build_scene(items)
    assert np.isfinite(scene.boxes.points).all() and np.isfinite(scene.axes.points).all()
    for ellipsoid in scene.ellipsoids:
        assert np.isfinite(ellipsoid.radii).all() and np.isfinite(ellipsoid.quat_wxyz).all()
        assert (ellipsoid.radii <= MAX_RADIUS_M).all()
    assert all(label.text.isprintable() and len(label.text) < 500 for label in scene.labels)


def test_number_of_objects_is_bounded() -> None:
    item = Posed(np.eye(4), np.ones(3), np.eye(6))
    assert len(build_scene([item] * (MAX_OBJECTS + 5)).labels) == MAX_OBJECTS


@given(st.integers(1, 2000), st.floats(0.3, 3.0))
def test_points_have_the_colour_of_their_pixel_and_are_no_more_than_asked_for(number: int, far: float) -> None:
    rng = np.random.default_rng(number)
    k = CameraIntrinsics(60.0, 61.0, 31.0, 22.0, 64, 48)
    depth = rng.choice([0.0, np.nan, 0.5, 1.0, 2.5], (48, 64)).astype(np.float32)
    rgb = rng.integers(0, 255, (48, 64, 3), np.uint8)
    cloud = colored_points(RgbdFrame(rgb=rgb, depth=depth, intrinsics=k, stamp_ns=1, frame_id="a"), number, far)
    assert len(cloud.points) == len(cloud.colours) <= number
    pixels = np.rint(project(cloud.points, k)).astype(int)
    assert (cloud.points[:, 2] <= far).all()
    np.testing.assert_array_equal(rgb[pixels[:, 1], pixels[:, 0]], cloud.colours)
    T = exp_se3(np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
    np.testing.assert_allclose(moved(cloud, T).points, transform_points(T, cloud.points), atol=1e-5)


@given(st.text())
def test_text_from_outside_is_one_short_printable_line(text: str) -> None:
    assert plain_text(text).isprintable() and len(plain_text(text)) <= 80
