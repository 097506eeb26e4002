"""Figures of the worst poses."""

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.metrics.nocs_protocol import MatchedPair
from clipose_ros.evaluation.metrics.pose_accuracy import PoseError
from clipose_ros.evaluation.report.worst_cases import (
    ESTIMATE_COLOUR,
    TRUE_COLOUR,
    FailureImage,
    cases_of_clouds,
    cases_of_pairs,
    draw_cases,
    worst_pairs,
)
from clipose_ros.evaluation.runs.stored_clouds import PosedClouds
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import CameraIntrinsics, PoseEstimate

CAMERA = CameraIntrinsics(300.0, 300.0, 160.0, 120.0, 320, 240)
SIZE = np.array([0.1, 0.2, 0.1])


def pair(degrees, cm, frame="", place=(0.0, 0.0, 1.0)):
    corners = box_corners(make_transform(np.eye(3), place), SIZE)
    return MatchedPair(frame, "mug", 0.5, degrees, cm, corners + np.array([0.01, 0.0, 0.0]), corners)


def test_worst_pairs_are_in_descending_order():
    pairs = [pair(1.0, 1.0), pair(30.0, 0.0), pair(0.0, 20.0), pair(2.0, 2.0)]
    assert worst_pairs(pairs, 3) == [pairs[2], pairs[1], pairs[3]]


def test_draw_cases_projects_boxes_onto_the_image():
    image = FailureImage(np.zeros((240, 320, 3), dtype=np.uint8), CAMERA)
    requested = []
    cases = cases_of_pairs(
        [pair(1.0, 1.0, "scene_1/0000")], NOCS_CATEGORIES, lambda name: requested.append(name) or image
    )
    panel = draw_cases(cases).axes[0]
    assert requested == ["scene_1/0000"] and len(panel.images) == 1
    drawn = {TRUE_COLOUR: set(), ESTIMATE_COLOUR: set()}
    for line in panel.lines:
        drawn[line.get_color()] |= {tuple(point) for point in np.round(line.get_xydata(), 6)}
    for colour, corners in ((TRUE_COLOUR, cases[0].corners_true), (ESTIMATE_COLOUR, cases[0].corners_estimate)):
        assert {tuple(point) for point in np.round(project(corners, CAMERA), 6)} <= drawn[colour]


def test_cases_of_clouds_have_the_worst_of_every_category():
    names = ["mug", "mug", "mug", "can"]
    poses = make_transform(np.tile(np.eye(3), (4, 1, 1)), np.tile([0.0, 0.0, 1.0], (4, 1)))
    samples = CloudSamples(
        points=np.random.default_rng(0).uniform(0.9, 1.1, (4, 50, 3)).astype(np.float32),
        category_index=np.array([NOCS_CATEGORIES.index(name) for name in names]),
        T_camera_object=poses.astype(np.float32),
        size=np.tile(SIZE, (4, 1)).astype(np.float32),
        handle_visible=np.array([True, False, True, True]),
        visible_fraction=np.full(4, 0.5, dtype=np.float32),
    )
    failed = PoseEstimate("mug", np.full((4, 4), np.nan), np.full(3, np.nan), np.nan, (0.0, 0.0))
    good = [PoseEstimate(name, poses[0], SIZE, 0.9, (0.9, 0.9)) for name in ("mug", "mug", "can")]
    errors = [PoseError("mug", np.nan, np.nan, np.nan)] + [PoseError(e.category, 3.0, 1.0, 0.0) for e in good]
    cases = cases_of_clouds(PosedClouds(samples, (failed, *good), tuple(errors)), count=2)
    assert [case.caption.split(":")[0] for case in cases] == ["cloud 0, mug", "cloud 3, can"]
    assert [case.has_front for case in cases] == [True, False]
    figure = draw_cases(cases)
    assert len([panel for panel in figure.axes if panel.get_title()]) == 4, "two views of each cloud"
    assert all(len(panel.collections) == 1 for panel in figure.axes), "points are drawn"


@pytest.mark.parametrize("z", [0.02, -0.5])
def test_draw_cases_limits_the_view_for_a_box_behind_the_camera(z):
    far, near = pair(1.0, 1.0), pair(1.0, 1.0, place=(0.0, 0.0, z))
    wrong = MatchedPair("", "mug", 0.5, 90.0, 99.0, near.corners_estimate, far.corners_true)
    panel = draw_cases(cases_of_pairs([wrong], NOCS_CATEGORIES)).axes[0]
    assert np.ptp(panel.get_xlim()) < 1.0
