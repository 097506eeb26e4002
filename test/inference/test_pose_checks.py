"""Poses are rejected where their own points contradict them, and only there."""

import dataclasses

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CheckConfig
from clipose_ros.geometry.se3 import exp_so3, make_transform
from clipose_ros.inference.pose_checks import _inner_extent, check_poses
from clipose_ros.types import InstanceMask, ObjectCloud, PoseEstimate, RejectionReason

CONFIG = CheckConfig()
SIZE = np.array([0.08, 0.22, 0.08])
T = make_transform(exp_so3([2.8, 0.3, 0.1]), [0.1, -0.05, 0.9])
INSTANCE = InstanceMask("bottle", 0.9, (0, 0, 1, 1), np.ones((1, 1), np.bool_))


def front_of_bottle():
    """The half of a cylinder that a camera sees, 2 mm of noise, and a few stray points."""
    rng = np.random.default_rng(0)
    angle, height = rng.uniform(0, np.pi, 1000), rng.uniform(-0.11, 0.11, 1000)
    points = np.stack([0.04 * np.cos(angle), height, 0.04 * np.sin(angle)], axis=1)
    points_camera = points @ T[:3, :3].T + T[:3, 3] + rng.normal(0, 0.002, points.shape)
    points_camera[:20, 2] += 0.15
    return ObjectCloud(INSTANCE, points_camera.astype(np.float32))


CLOUD = front_of_bottle()
POSE = PoseEstimate("bottle", T, SIZE, 0.7, (0.8, 0.0))


def verdict(config=CONFIG, **changes):
    (found,) = check_poses([dataclasses.replace(POSE, **changes)], [CLOUD], config, NOCS_CATEGORIES)
    return found


def moved(offset):
    moved_T = T.copy()
    moved_T[:3, 3] += offset
    return moved_T


def test_a_true_pose_passes():
    assert verdict() is None


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_a_somewhat_wrong_size_passes(factor):
    assert verdict(size=SIZE * factor) is None


def test_a_somewhat_wrong_centre_and_rotation_pass():
    assert verdict(T_camera_object=moved([0.05, 0.0, 0.08])) is None
    assert verdict(T_camera_object=make_transform(exp_so3([0.3, 0, 0]) @ T[:3, :3], T[:3, 3])) is None


@pytest.mark.parametrize(
    ("changes", "reason", "figures"),
    [
        ({"size": SIZE * 0.3}, RejectionReason.SIZE_CONTRADICTS_POINTS, "0.066"),
        ({"size": SIZE * [1, 0.2, 1]}, RejectionReason.SIZE_CONTRADICTS_POINTS, "2.5 times"),
        ({"size": SIZE * [1, 1, -1]}, RejectionReason.SIZE_CONTRADICTS_POINTS, "not positive"),
        ({"size": SIZE * 50}, RejectionReason.SIZE_CONTRADICTS_POINTS, "visible"),
        ({"T_camera_object": moved([0.0, 0.0, 0.8])}, RejectionReason.CENTRE_OUTSIDE_POINTS, "outside the points' box"),
        ({"T_camera_object": moved([-0.5, 0.0, 0.0])}, RejectionReason.CENTRE_OUTSIDE_POINTS, "at most 0.186 m"),
        ({"score": 0.05}, RejectionReason.LOW_SCORE, "0.050 is below 0.2"),
        ({"score": np.nan}, RejectionReason.NOT_FINITE, "nan"),
        ({"size": SIZE * np.nan}, RejectionReason.NOT_FINITE, "nan"),
        ({"T_camera_object": np.full((4, 4), np.inf)}, RejectionReason.NOT_FINITE, ""),
    ],
)
def test_contradictions_are_rejected_with_figures(changes, reason, figures):
    rejection = verdict(**changes)
    assert rejection is not None and rejection.reason is reason
    assert figures in rejection.detail
    assert rejection.category == "bottle" and rejection.instance is INSTANCE


def test_tolerances_are_those_of_the_settings():
    strict = CheckConfig(size_tolerance=1.0, centre_tolerance=0.0)
    assert verdict(strict, size=SIZE * 0.8).reason is RejectionReason.SIZE_CONTRADICTS_POINTS
    assert verdict(strict, T_camera_object=moved([-0.08, 0.0, 0.0])).reason is RejectionReason.CENTRE_OUTSIDE_POINTS
    assert verdict(CheckConfig(score_threshold=0.0), score=0.0) is None


def test_how_much_may_be_hidden_is_a_setting():
    assert verdict(size=SIZE * 12).reason is RejectionReason.SIZE_CONTRADICTS_POINTS
    assert verdict(CheckConfig(max_occlusion_ratio=20.0, category_tolerance=100.0), size=SIZE * 12) is None
    assert "1/1.5 of it" in verdict(CheckConfig(max_occlusion_ratio=1.5), size=SIZE * 3).detail


def test_what_is_twice_as_large_as_its_category_is_something_else():
    usual = np.array(NOCS_CATEGORIES["bottle"].mean_size)
    assert verdict(size=usual * 1.99) is None
    rejection = verdict(size=usual * 2.01)
    assert rejection.reason is RejectionReason.TOO_LARGE_FOR_CATEGORY
    assert f"{np.linalg.norm(usual):.3f} m" in rejection.detail and "more than 2 times" in rejection.detail
    assert verdict(CheckConfig(category_tolerance=3.0), size=usual * 2.01) is None
    large_can = dataclasses.replace(POSE, category="can", size=usual * 1.5)
    (found,) = check_poses([large_can], [CLOUD], CONFIG, NOCS_CATEGORIES)
    assert found.reason is RejectionReason.TOO_LARGE_FOR_CATEGORY


@pytest.mark.parametrize("number", [2, 7, 128, 1021])
def test_the_extent_is_that_between_the_percentiles(number):
    points = np.random.default_rng(number).normal(size=(number, 3)) * [0.01, 0.1, 1.0]
    low, high = np.percentile(points, [5.0, 95.0], axis=0)
    assert np.allclose(_inner_extent(points.T), high - low, rtol=1e-12)


def test_many_at_once_are_as_each_alone():
    poses = [
        dataclasses.replace(POSE, **changes)
        for changes in ({}, {"size": SIZE * 0.3}, {"score": np.nan}, {"T_camera_object": moved([0.0, 0.0, 0.8])}, {})
    ]
    verdicts = check_poses(poses, [CLOUD] * len(poses), CONFIG, NOCS_CATEGORIES)
    alone = [check_poses([pose], [CLOUD], CONFIG, NOCS_CATEGORIES)[0] for pose in poses]
    assert [v and (v.reason, v.detail) for v in verdicts] == [v and (v.reason, v.detail) for v in alone]
    assert [v is None for v in verdicts] == [True, False, False, False, True]
    assert check_poses([], [], CONFIG, NOCS_CATEGORIES) == []
