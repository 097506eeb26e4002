"""Fusion of cameras: more certain than each, independent of the frame, one id an object, aligned in time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.geometry.se3 import (
    exp_se3,
    exp_so3,
    log_so3,
    make_transform,
    rotate_covariance,
    rotation_angle_deg,
)
from clipose_ros.tracking.camera_offsets import CameraOffsets, describe_differences
from clipose_ros.tracking.merging import MergeLimits, TrackMerger, fuse

AXIAL = {"bowl": True, "mug": False}
SECOND = 1_000_000_000
seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Item:
    """A track of a camera."""

    name: str
    T_frame_object: np.ndarray
    covariance: np.ndarray
    category: str = "mug"
    score: float = 0.8
    size: np.ndarray = field(default_factory=lambda: np.array([0.1, 0.08, 0.07]))

    def moved(self, T: np.ndarray):
        covariance = rotate_covariance(self.covariance, T[:3, :3])
        return replace(self, T_frame_object=T @ self.T_frame_object, covariance=covariance)


def random_covariance(rng, position=0.01, rotation=0.1) -> np.ndarray:
    A = rng.normal(size=(2, 3, 3))
    C = np.zeros((6, 6))
    C[:3, :3] = position**2 * (A[0] @ A[0].T + 0.1 * np.eye(3))
    C[3:, 3:] = rotation**2 * (A[1] @ A[1].T + 0.1 * np.eye(3))
    return C


def observe(rng, truth: np.ndarray, covariance: np.ndarray, name="mug_1", **more) -> Item:
    error = rng.multivariate_normal(np.zeros(6), covariance)
    T = make_transform(exp_so3(error[3:]) @ truth[:3, :3], truth[:3, 3] + error[:3])
    return Item(name, T, covariance, **more)


def at(position, name="mug_1", category="mug", std=0.003) -> Item:
    return Item(name, make_transform(np.eye(3), position), np.diag([std**2] * 3 + [0.01] * 3), category)


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_one_track_is_itself(seed):
    rng = np.random.default_rng(seed)
    item = observe(rng, exp_se3(rng.normal(size=6)), random_covariance(rng))
    merged = fuse([item], AXIAL)
    np.testing.assert_allclose(merged.T_frame_object, item.T_frame_object, atol=1e-9)
    np.testing.assert_allclose(merged.covariance, item.covariance, rtol=1e-4, atol=1e-8)


@given(seeds, st.integers(2, 4))
@settings(deadline=None, max_examples=50)
def test_fusion_is_more_certain_than_each_camera_and_does_not_depend_on_their_order(seed, number):
    rng = np.random.default_rng(seed)
    truth = exp_se3(rng.normal(size=6))
    items = [observe(rng, truth, random_covariance(rng, rotation=0.03)) for _ in range(number)]
    merged, reverse = fuse(items, AXIAL), fuse(items[::-1], AXIAL)
    np.testing.assert_allclose(merged.T_frame_object, reverse.T_frame_object, atol=1e-9)
    for item in items:
        less = item.covariance[:3, :3] - merged.covariance[:3, :3]
        assert np.linalg.eigvalsh(less).min() > -1e-9


@given(seeds)
@settings(deadline=None, max_examples=50)
def test_fusion_moves_with_the_frame(seed):
    rng = np.random.default_rng(seed)
    truth, T = exp_se3(rng.normal(size=6)), exp_se3(rng.normal(size=6))
    items = [observe(rng, truth, random_covariance(rng, rotation=0.03)) for _ in range(3)]
    merged, moved = fuse(items, AXIAL), fuse([item.moved(T) for item in items], AXIAL)
    np.testing.assert_allclose(moved.T_frame_object, T @ merged.T_frame_object, atol=1e-6)
    np.testing.assert_allclose(moved.covariance, rotate_covariance(merged.covariance, T[:3, :3]), atol=1e-6)


def test_errors_are_as_large_as_the_covariance_says():
    """The normalised squared error of 400 fusions has the mean of a chi-squared distribution of 6 degrees."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(400):
        truth = exp_se3(rng.normal(size=6))
        merged = fuse([observe(rng, truth, random_covariance(rng, rotation=0.03)) for _ in range(3)], AXIAL)
        turn = merged.T_frame_object[:3, :3] @ truth[:3, :3].T
        error = np.concatenate([merged.T_frame_object[:3, 3] - truth[:3, 3], log_so3(turn)])
        values.append(error @ np.linalg.solve(merged.covariance, error))
    assert 5.4 < np.mean(values) < 6.8


def test_a_camera_that_sees_the_handle_decides_the_yaw():
    """One camera sees no handle: its yaw is wrong by 150 degrees, and it says that it does not know."""
    truth, unsure = np.eye(4), np.diag([1e-5] * 3 + [1e-3, 3.0, 1e-3])
    blind = Item("mug_4", make_transform(exp_so3([0.0, 2.6, 0.0]), np.zeros(3)), unsure)
    seeing = Item("mug_2", truth, np.diag([1e-5] * 3 + [1e-3] * 3))
    merged = fuse([blind, seeing], AXIAL)
    assert rotation_angle_deg(merged.T_frame_object[:3, :3], np.eye(3)) < 3.0


def test_a_contrary_rotation_does_not_count():
    upside_down = Item(
        "mug_4", make_transform(exp_so3([np.pi, 0.0, 0.0]), np.zeros(3)), np.diag([1e-5] * 3 + [4e-3] * 3)
    )
    merged = fuse([Item("mug_2", np.eye(4), np.diag([1e-5] * 3 + [1e-3] * 3)), upside_down], AXIAL)
    np.testing.assert_allclose(merged.T_frame_object[:3, :3], np.eye(3), atol=1e-6)


def test_the_free_turn_of_a_bowl_does_not_disturb_its_axis():
    free = np.diag([1e-5] * 3 + [1e-3, 3.3, 1e-3])
    bowls = [
        Item("bowl_1", make_transform(exp_so3([0.0, yaw, 0.0]), np.zeros(3)), free, "bowl") for yaw in (0.0, 2.0, -2.5)
    ]
    np.testing.assert_allclose(fuse(bowls, AXIAL).T_frame_object[:3, 1], [0.0, 1.0, 0.0], atol=1e-9)


def merger(**limits) -> TrackMerger:
    return TrackMerger(AXIAL, replace(MergeLimits(), **limits))


def names(result) -> list[str]:
    return [each.merged.name for each in result[1]]


def test_one_id_an_object_whatever_the_cameras_call_it():
    merge, ids = merger(), set()
    for k in range(20):
        stamp = SECOND + k * 33_000_000
        name = "mug_9" if k > 10 else "mug_1"  # the left camera lost the mug and found it again
        merge.add("left", stamp, [at([0.0, 0, 0], name), at([0.5, 0, 0], "mug_2")])
        merge.add("right", stamp, [at([0.51, 0, 0], "mug_1"), at([0.01, 0, 0], "mug_5")] if k % 3 else [])
        ids.add(tuple(names(merge.merge())))
    assert ids == {("mug_1", "mug_2")}


def test_categories_are_kept_apart_and_an_object_of_one_camera_counts():
    merge = merger()
    merge.add("left", SECOND, [at([0.0, 0, 0]), at([0.02, 0, 0], "bowl_1", "bowl")])
    merge.add("right", SECOND, [at([0.01, 0, 0])])
    result = merge.merge()
    assert result is not None and len(result[1]) == 2
    assert {each.merged.category: sorted(each.cameras) for each in result[1]} == {
        "bowl": ["left"],
        "mug": ["left", "right"],
    }


@given(st.floats(-1.0, 1.0), st.integers(0, 33_000_000))
@settings(deadline=None, max_examples=40)
def test_moving_objects_are_aligned_in_time(speed, delay_ns):
    """Both cameras see a mug that moves; the images of the right one are later by a delay."""
    merge = merger()
    for k in range(6):
        for camera, lag in (("left", 0), ("right", delay_ns)):
            stamp = SECOND + k * 33_000_000 + lag
            merge.add(camera, stamp, [at([speed * stamp * 1e-9, 0, 0])])
    stamp_ns, (mug,) = merge.merge()
    assert mug.merged.T_frame_object[0, 3] == pytest.approx(speed * stamp_ns * 1e-9, abs=1e-6)


def test_a_silent_camera_does_not_count_and_comes_back():
    merge = merger(timeout_s=0.5)
    merge.add("left", SECOND, [at([0.0, 0, 0])])
    merge.add("right", SECOND, [at([0.02, 0, 0])])
    assert len(merge.merge()[1][0].cameras) == 2
    merge.add("left", 2 * SECOND, [at([0.0, 0, 0])])
    assert merge.lag_s() == {"left": 0.0, "right": 1.0}
    stamp_ns, (mug,) = merge.merge()
    assert stamp_ns == 2 * SECOND and set(mug.cameras) == {"left"}
    merge.add("right", 2 * SECOND + 10_000_000, [at([0.02, 0, 0])])
    merge.add("left", 2 * SECOND + 20_000_000, [at([0.0, 0, 0])])
    assert set(merge.merge()[1][0].cameras) == {"left", "right"}


def test_stamps_that_jump_back_start_anew_and_nothing_is_merged_twice():
    merge = merger()
    merge.add("left", 5 * SECOND, [at([0.0, 0, 0])])
    assert merge.merge() is not None and merge.merge() is None
    merge.add("left", SECOND, [at([0.0, 0, 0])])
    assert merge.merge()[0] == SECOND


def calibrated(rng, wrong: np.ndarray, cameras=("left", "right"), objects=4, frames=40) -> CameraOffsets:
    """Objects on a table, seen by cameras of which the last is calibrated wrongly."""
    offsets = CameraOffsets()
    truths = [
        make_transform(exp_so3([1.57 + 0.05 * k, 0.3 * k, 0.0]), [0.25 * np.cos(k), 0.25 * np.sin(k), 0.05])
        for k in range(objects)
    ]
    covariance = np.diag([0.004**2] * 3 + [0.05**2] * 3)
    for _ in range(frames):
        for k, truth in enumerate(truths):
            seen = {c: observe(rng, truth, covariance) for c in cameras}
            seen[cameras[-1]] = seen[cameras[-1]].moved(wrong)
            offsets.add(f"mug_{k}", seen)
    return offsets


@pytest.mark.parametrize(
    ("twist", "offset_m", "angle_deg"),
    [
        ([0.0] * 6, 0.0, 0.0),
        ([0.05, 0, 0, 0, 0, 0], 0.05, 0.0),
        ([0.0, 0, 0, 0, 0, np.radians(5.0)], 0.0, 5.0),
        ([0.0, 0, 0, np.radians(5.0), 0, 0], 0.0, 5.0),
    ],
)
def test_wrong_calibration_is_measured(twist, offset_m, angle_deg):
    """A wrong turn about the origin also moves the objects by their distance from it."""
    (found,) = calibrated(np.random.default_rng(0), exp_se3(twist)).differences()
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.5)
    if angle_deg == 0.0:
        assert found.offset_m == pytest.approx(offset_m, abs=0.003)
    words = describe_differences([found], 0.03, 3.0)
    assert (words is not None) == found.exceeds(0.03, 3.0) == any(twist)
    if words is not None:
        assert (
            f"{100 * found.offset_m:.1f} cm and {found.angle_deg:.1f} degrees" in words
            and "'left' and 'right'" in words
        )


def test_of_three_cameras_the_wrong_one_is_named():
    offsets = calibrated(np.random.default_rng(1), exp_se3([0.0, 0.05, 0, 0, 0, 0]), ("left", "right", "top"))
    words = describe_differences(offsets.differences(), 0.03, 3.0)
    assert words is not None and words.endswith("calibrate 'top' again")
    good = calibrated(np.random.default_rng(1), np.eye(4), ("left", "right", "top"))
    assert describe_differences(good.differences(), 0.03, 3.0) is None


def test_few_objects_say_nothing_about_the_calibration():
    assert not calibrated(np.random.default_rng(2), np.eye(4), objects=1).differences()
    assert not calibrated(np.random.default_rng(2), np.eye(4), frames=3).differences()
