"""Grasps on simulated tables: true poses give grasps that succeed, and wrong ones give grasps that are found out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clipose_ros.evaluation.metrics.grasp_success import GraspOutcome, GraspWorld, judge_grasp, sample_surface
from clipose_ros.evaluation.runs.grasp_scenes import (
    judge_view,
    label_of,
    measured_scene,
    render_grasp_view,
    sum_outcomes,
    true_objects,
    true_scene,
)
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.manipulation.grasp_planner import Grasp, GraspLimits
from clipose_ros.manipulation.grasp_rules import GraspRules
from clipose_ros.manipulation.plane import Plane
from clipose_ros.resources import config_path

RULES = GraspRules.load(config_path("grasps.yaml"))


@pytest.fixture(scope="module")
def views():
    return [render_grasp_view(3, index) for index in range(4)]


def plan_and_check(views, scene_of, move=lambda item: item) -> list[GraspOutcome]:
    outcomes = []
    for view in views:
        objects = {label: move(item) for label, item in true_objects(view).items()}
        outcomes += judge_view(view, objects, scene_of(view, objects), RULES, GraspLimits()).values()
    return outcomes


def test_true_poses_give_grasps_that_succeed(views):
    for scene_of in (true_scene, measured_scene):
        outcomes = [o for o in plan_and_check(views, scene_of) if o is not GraspOutcome.NO_GRASP]
        assert len(outcomes) >= 6
        assert outcomes.count(GraspOutcome.SUCCESS) >= 0.85 * len(outcomes)


def test_poses_that_are_wrong_by_4_cm_give_grasps_that_fail(views):
    def shift(item):
        return replace(item, T_frame_object=make_transform(np.eye(3), [0.04, 0.0, 0.0]) @ item.T_frame_object)

    outcomes = [o for o in plan_and_check(views, true_scene, shift) if o is not GraspOutcome.NO_GRASP]
    assert outcomes.count(GraspOutcome.SUCCESS) < 0.3 * len(outcomes)


def test_measured_table_is_the_true_one(views):
    for view in views:
        objects = true_objects(view)
        measured, true = measured_scene(view, objects).table, true_scene(view, objects).table
        assert measured is not None and true is not None
        positions = np.array([item.T_frame_object[:3, 3] for item in objects.values()])
        np.testing.assert_allclose(measured.height(positions), true.height(positions), atol=0.006)


@pytest.mark.parametrize(
    ("target", "others", "table", "outcome"),
    [
        ([0.0, 0.0, 0.0], None, -1.0, GraspOutcome.SUCCESS),
        ([0.0, 0.1, 0.0], None, -1.0, GraspOutcome.EMPTY),
        ([0.0, 0.031, -0.02], None, -1.0, GraspOutcome.HITS_OBJECT),
        ([0.0, 0.0, -0.05], None, -1.0, GraspOutcome.HITS_OBJECT),
        ([0.0, 0.0, 0.0], [0.0, 0.031, -0.02], -1.0, GraspOutcome.HITS_NEIGHBOUR),
        ([0.0, 0.0, 0.0], [0.0, 0.0, -0.2], -1.0, GraspOutcome.HITS_NEIGHBOUR),
        ([0.0, 0.0, 0.0], None, 0.0, GraspOutcome.HITS_TABLE),
    ],
)
def test_grasp_is_judged_by_what_it_meets(target, others, table, outcome):
    """The gripper approaches along z with its fingers at y = -0.031 and 0.031."""
    grasp = Grasp("can_1", "can", "side", np.eye(4), 0.1, 0.05, 0.04, 1.0)
    cloud = np.array([[0.0, 0.0, 5.0]]) if others is None else np.tile(others, (20, 1))
    world = GraspWorld(np.tile(target, (20, 1)), cloud, Plane(np.array([1.0, 0.0, 0.0]), table))
    assert judge_grasp(grasp, RULES.gripper, world) is outcome


def test_points_lie_evenly_on_the_surface():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [3, 0, 0], [6, 0, 0], [3, 1, 0]])
    points = sample_surface(vertices, np.array([[0, 1, 2], [3, 4, 5]]), 8000, np.random.default_rng(0))
    assert (points[:, 0] > 2.0).mean() == pytest.approx(0.75, abs=0.02), "three quarters of the area"
    left = points[points[:, 0] < 2.0]
    np.testing.assert_allclose(left.mean(axis=0), [1 / 3, 1 / 3, 0.0], atol=0.02)


def test_counts_are_summed_by_category(views):
    counts = sum_outcomes([{"mug": [GraspOutcome.SUCCESS]}, {"mug": [GraspOutcome.EMPTY], "can": []}])
    assert (counts["mug"].objects, counts["mug"].proposed, counts["mug"].success) == (2, 2, 0.5)
    assert counts["can"].objects == 0 and np.isnan(counts["can"].success)
    assert len({label_of(truth) for truth in views[0].truths}) == len(views[0].truths)
