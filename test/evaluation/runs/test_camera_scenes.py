"""Counts of merged cameras: objects found, doubled and missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clipose_ros.data.synthetic.scenes import make_scene
from clipose_ros.evaluation.runs.camera_scenes import count_merged, sum_counts
from clipose_ros.evaluation.runs.grasp_scenes import CROWDED
from clipose_ros.types import TrackedObject


def seen(objects, shift=0.0) -> list[TrackedObject]:
    tracks = []
    for item in objects:
        T = item.T_world_object.copy()
        T[0, 3] += shift
        covariance = np.diag([1e-5] * 3 + [1e-3] * 3)
        tracks.append(
            TrackedObject(item.instance, item.object.category, T, item.object.size, 0.9, covariance, 0.0, seen=True)
        )
    return tracks


def test_further_cameras_find_what_the_first_does_not_see():
    objects = make_scene(np.random.default_rng(3), CROWDED).objects
    assert len(objects) >= 3
    one = count_merged([seen(objects[:2])], objects)
    two = count_merged([seen(objects[:2]), seen(objects[1:])], objects)
    assert (one.cameras, one.objects, len(one.position_m)) == (1, len(objects), 2)
    assert two.recall == 1.0 and two.extra == 0
    assert max(two.position_m) < 1e-9 and max(two.axis_deg) < 1e-3


def test_errors_of_opposite_cameras_average_out_and_a_far_object_is_extra():
    objects = make_scene(np.random.default_rng(3), CROWDED).objects[:1]
    merged = count_merged([seen(objects, 0.01), seen(objects, -0.01)], objects)
    assert merged.position_m[0] < 1e-6
    lost = count_merged([seen(objects, 0.4)], objects)
    assert lost.recall == 0.0 and lost.extra == 1


def test_counts_are_summed_by_number_of_cameras():
    objects = make_scene(np.random.default_rng(3), CROWDED).objects[:1]
    one, two = count_merged([seen(objects)], objects), count_merged([seen(objects), seen(objects)], objects)
    total = sum_counts([[one, two], [one, replace(two, extra=2)]])
    assert [(each.cameras, each.objects, each.extra) for each in total] == [(1, 2, 0), (2, 2, 2)]
