"""The table is found under objects, whatever else a view shows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.manipulation.plane import Plane, find_obstacles, fit_table

sys.path.insert(0, str(Path(__file__).parent))
from scenes import motions, upright

from clipose_ros.data.synthetic.viewpoints import look_at

T_CAMERA_WORLD = invert_transform(look_at(np.array([-0.4, 0.1, 0.6]), np.array([0.5, 0.0, 0.0]), 3.0))


def view(rng: np.random.Generator, noise_m: float, outliers: float, wall: bool = True) -> np.ndarray:
    """Points of a table, of a can on it, of a wall that has more points than the table, and of nothing."""
    table = np.column_stack([rng.uniform(0.1, 0.9, 4000), rng.uniform(-0.4, 0.4, 4000), np.zeros(4000)])
    can = upright("can").T_frame_object[:3, 3] + rng.uniform(-0.5, 0.5, (1500, 3)) * [0.06, 0.06, 0.12]
    back = np.column_stack([np.full(6000, 1.6), rng.uniform(-2, 2, 6000), rng.uniform(-0.5, 2, 6000)])
    noise = rng.uniform(-1.0, 1.5, (int(outliers * 4000), 3))
    points = np.concatenate([table + rng.normal(0, noise_m, table.shape), can, *([back] if wall else []), noise])
    points[rng.integers(0, len(points), 50)] = np.nan
    return transform_points(T_CAMERA_WORLD, points)


@pytest.mark.parametrize(("noise_m", "outliers"), [(0.0, 0.0), (0.002, 0.2), (0.003, 0.5)])
def test_table_is_found_beside_a_larger_wall(noise_m, outliers):
    points = view(np.random.default_rng(1), noise_m, outliers)
    plane = fit_table(points, [upright("can").moved(T_CAMERA_WORLD)])
    assert plane is not None
    truth = Plane(np.array([0.0, 0.0, 1.0]), 0.0).transformed(T_CAMERA_WORLD)
    assert np.degrees(np.arccos(min(plane.normal @ truth.normal, 1.0))) < 0.5
    here = transform_points(T_CAMERA_WORLD, np.array([[0.5, 0.0, 0.0]]))
    assert abs(float(plane.height(here)[0])) < 0.003


def test_obstacles_are_points_that_stand_on_the_table_beside_the_objects():
    rng = np.random.default_rng(4)
    books = np.column_stack([rng.uniform(0.6, 0.7, 300), rng.uniform(0.1, 0.3, 300), np.full(300, 0.05)])
    points = np.concatenate([view(rng, 0.002, 0.0), transform_points(T_CAMERA_WORLD, books)])
    item = upright("can").moved(T_CAMERA_WORLD)
    plane = fit_table(points, [item])
    assert plane is not None
    found = find_obstacles(points, plane, [item])
    assert len(found) == 300
    np.testing.assert_allclose(plane.height(found), 0.05, atol=0.005)
    assert not len(find_obstacles(points, plane, []))


def test_no_table_is_no_plane():
    item = upright("can").moved(T_CAMERA_WORLD)
    assert fit_table(np.zeros((0, 3)), [item]) is None
    assert fit_table(np.full((5000, 3), np.nan), [item]) is None
    assert fit_table(np.tile([0.0, 0.0, 1.0], (5000, 1)), [item]) is None, "one point spans no plane"
    cloud = transform_points(T_CAMERA_WORLD, np.random.default_rng(0).uniform(-5, 5, (5000, 3)))
    assert fit_table(cloud, [item]) is None, "a cloud without a plane"


def test_the_same_points_give_the_same_plane():
    points = view(np.random.default_rng(2), 0.002, 0.2)
    first, second = (fit_table(points, [upright("can").moved(T_CAMERA_WORLD)]) for _ in range(2))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.normal, second.normal)


@given(motions, motions, st.floats(-1.0, 1.0))
@settings(deadline=None, max_examples=50)
def test_heights_do_not_depend_on_the_frame(T, T_table, height):
    plane = Plane.from_frame(T_table)
    point = T_table[:3, 3] + height * T_table[:3, 2] + 0.7 * T_table[:3, 0]
    assert plane.height(point) == pytest.approx(height, abs=1e-9)
    moved = plane.transformed(T)
    assert moved.height(transform_points(T, point[None])[0]) == pytest.approx(height, abs=1e-9)


def test_many_objects_and_points_take_bounded_work():
    points = view(np.random.default_rng(3), 0.002, 0.0)
    crowd = [replace(upright("can").moved(T_CAMERA_WORLD), name=str(k)) for k in range(50)]
    assert fit_table(np.tile(points, (20, 1)), crowd) is not None
