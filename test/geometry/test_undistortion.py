"""Undistorted images are those of a pinhole camera, for every supported model, against an independent forward model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.errors import FrameError, ShapeError
from clipose_ros.geometry.undistortion import LensDistortion, Undistorter
from clipose_ros.types import CameraIntrinsics

RAW = CameraIntrinsics(150.0, 140.0, 82.0, 57.0, 160, 120)


def distort(x, y, model, d):
    """Forward model of the definitions: normalised coordinates of the ray to those of the distorted image."""
    r2 = x * x + y * y
    if model == "equidistant":
        r = np.sqrt(r2)
        theta = np.arctan(r)
        powers = theta**2
        bent = theta * (1 + powers * (d[0] + powers * (d[1] + powers * (d[2] + powers * d[3]))))
        scale = np.where(r > 1e-9, bent / np.maximum(r, 1e-9), 1.0)
        return x * scale, y * scale
    k1, k2, p1, p2, k3, k4, k5, k6 = [*d, *[0.0] * 8][:8]
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


small = st.floats(-0.08, 0.08)
lenses = st.one_of(
    st.tuples(st.just("plumb_bob"), st.one_of(st.tuples(*[small] * 4), st.tuples(*[small] * 5))),
    st.tuples(st.just("rational_polynomial"), st.tuples(*[small] * 8)),
    st.tuples(st.just("equidistant"), st.tuples(*[small] * 4)),
)
pinholes = st.builds(
    CameraIntrinsics, st.floats(110, 200), st.floats(110, 200), st.floats(70, 90), st.floats(50, 70),
    st.just(160), st.just(120),
)  # fmt: skip


def rays(camera):
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy


@settings(deadline=None, max_examples=60)
@given(lenses, pinholes)
def test_each_pinhole_pixel_takes_the_distorted_pixel_of_its_ray(lens, pinhole):
    model, coefficients = lens
    undistorter = Undistorter(RAW, LensDistortion(model, coefficients), pinhole)
    x, y = distort(*rays(pinhole), model, coefficients)
    np.testing.assert_allclose(undistorter.pixels[..., 0], x * RAW.fx + RAW.cx, atol=2e-3)
    np.testing.assert_allclose(undistorter.pixels[..., 1], y * RAW.fy + RAW.cy, atol=2e-3)


@settings(deadline=None, max_examples=40)
@given(lenses)
def test_images_of_a_distorted_camera_become_those_of_the_pinhole(lens):
    """A smooth pattern: the distorted image is computed ray by ray, with the rays found by search."""
    model, coefficients = lens
    undistorter = Undistorter(RAW, LensDistortion(model, coefficients), RAW)
    goal = rays(RAW)
    x, y = goal
    for _ in range(60):  # fixed point of the inverse
        there = distort(x, y, model, coefficients)
        x, y = x + goal[0] - there[0], y + goal[1] - there[1]

    def pattern(x, y):
        return np.stack([120 + 90 * np.sin(3 * x + k) * np.cos(2 * y - k) for k in range(3)], axis=-1)

    rgb = undistorter.undistort_color(pattern(x, y).round().astype(np.uint8))
    depth = undistorter.undistort_depth((1.0 + 0.2 * x).astype(np.float32))
    labels = undistorter.undistort_labels((100 * (x > 0.1)).astype(np.uint16))
    u, v = undistorter.pixels[..., 0], undistorter.pixels[..., 1]
    inside = (u > 1) & (v > 1) & (u < 158) & (v < 118)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(rgb[inside], pattern(*goal)[inside], atol=2.5)
    np.testing.assert_allclose(depth[inside], (1.0 + 0.2 * goal[0])[inside], atol=0.2 * 0.6 / RAW.fx * 2.0)
    far = inside & (np.abs(goal[0] - 0.1) > 1.5 / RAW.fx)
    np.testing.assert_array_equal(labels[far], 100 * (goal[0] > 0.1)[far])


def test_nearest_neighbours_mix_no_depths_and_what_lies_outside_is_invalid():
    undistorter = Undistorter(RAW, LensDistortion("plumb_bob", (-0.3, 0.1, 0.0, 0.0, 0.0)), RAW)
    wide = Undistorter(RAW, LensDistortion("plumb_bob", (0.3, 0.1, 0.0, 0.0, 0.0)), RAW)
    rng = np.random.default_rng(0)
    depth = rng.choice(np.array([0.5, 2.0], np.float32), (120, 160))
    labels = rng.choice(np.array([1001, 6002], np.uint16), (120, 160))
    large = rng.choice(np.array([-(2**31), 2**31 - 1, 2**24 + 1], np.int32), (120, 160))
    assert set(np.unique(undistorter.undistort_labels(large))) == {-(2**31), 2**31 - 1, 2**24 + 1}
    assert set(np.unique(undistorter.undistort_depth(depth))) == {0.5, 2.0}
    assert set(np.unique(undistorter.undistort_labels(labels))) == {1001, 6002}
    assert wide.undistort_depth(depth)[0, 0] == 0.0 and wide.undistort_labels(labels)[0, 0] == 0


@pytest.mark.parametrize(
    ("model", "coefficients", "words"),
    [
        ("inverse_brown_conrady", (0.1,) * 5, "inverse_brown_conrady.*plumb_bob, rational_polynomial, equidistant"),
        ("", (0.1,) * 5, "not supported"),
        ("x" * 1000, (0.1,) * 5, "'x{79}…'"),
        ("plumb_bob", (0.1,) * 3, "4 or 5 finite.*got 3"),
        ("plumb_bob", (0.1, float("nan"), 0.0, 0.0), "finite.*nan"),
        ("equidistant", (0.1,) * 5, "needs 4 finite"),
    ],
)
def test_other_models_are_refused_by_name(model, coefficients, words):
    with pytest.raises(FrameError, match=words):
        LensDistortion(model, coefficients)


def test_an_image_of_another_size_is_refused():
    with pytest.raises(ShapeError, match="120, 160"):
        Undistorter(RAW, LensDistortion("plumb_bob", (0.1,) * 4), RAW).undistort_depth(np.zeros((60, 80), np.float32))


@settings(deadline=None, max_examples=40)
@given(lenses, st.integers(10, 80), st.integers(10, 60), st.integers(8, 60), st.integers(8, 50))
def test_box_holds_the_pinhole_pixels_of_the_distorted_box(lens, x0, y0, width, height):
    undistorter = Undistorter(RAW, LensDistortion(*lens), RAW)
    labels = np.zeros((120, 160), np.uint16)
    labels[y0 : y0 + height, x0 : x0 + width] = 1
    rows, columns = np.nonzero(undistorter.undistort_labels(labels))
    found = undistorter.undistort_box((x0, y0, x0 + width, y0 + height))
    expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.subtract(found, expected)).max() <= 1  # the tables of OpenCV round to 1/32 pixel


def test_box_outside_of_the_distorted_image_is_empty():
    undistorter = Undistorter(RAW, LensDistortion("plumb_bob", (0.0,) * 5), RAW)
    assert undistorter.undistort_box((500, 500, 600, 600)) == (0, 0, 0, 0)
    assert undistorter.undistort_box((20, 30, 50, 80)) == (20, 30, 50, 80)
