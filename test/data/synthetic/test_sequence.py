"""Recorded sequences: scene, ground truth, and independence of the number of workers."""

from itertools import islice

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.sequence import (
    SequenceConfig,
    default_intrinsics,
    make_demo_scene,
    ping_pong_indices,
    render_sequence,
)
from clipose_ros.geometry.camera import backproject_pixels
from clipose_ros.types import LABEL_BASE

SMALL = {"frames": 3, "width": 96, "height": 72}


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_demo_scene_contains_every_category(seed: int) -> None:
    assert {item.object.category for item in make_demo_scene(seed).objects} == set(NOCS_CATEGORIES.names)


@pytest.mark.parametrize("objects", [1, 3, 5, 10])
def test_demo_scene_has_the_requested_number_of_objects(objects: int) -> None:
    placed = make_demo_scene(0, objects).objects
    assert len(placed) == objects
    assert len({item.object.category for item in placed}) == min(objects, 6)


def test_frames_are_independent_of_the_number_of_workers() -> None:
    single_process = list(render_sequence(SequenceConfig(workers=1, **SMALL)))
    two_processes = list(render_sequence(SequenceConfig(workers=2, **SMALL)))
    assert len(single_process) == len(two_processes) == 3
    for a, b in zip(single_process, two_processes, strict=True):
        np.testing.assert_array_equal(a.frame.rgb, b.frame.rgb)
        np.testing.assert_array_equal(a.frame.depth, b.frame.depth)
        np.testing.assert_array_equal(a.frame.labels, b.frame.labels)
        np.testing.assert_array_equal(a.T_world_camera, b.T_world_camera)


def test_default_intrinsics_are_centred() -> None:
    camera = default_intrinsics(640, 480)
    assert (camera.fx, camera.fy, camera.width, camera.height) == (600.0, 600.0, 640, 480)
    corners = backproject_pixels(np.array([0.0, 639.0]), np.array([0.0, 479.0]), np.ones(2), camera)
    np.testing.assert_allclose(corners[0, :2], -corners[1, :2])


def test_truths_are_constant_in_the_world_frame() -> None:
    first, *_, last = render_sequence(SequenceConfig(workers=1, **SMALL))
    assert not np.allclose(first.T_world_camera, last.T_world_camera)
    in_world = [{t.instance: f.T_world_camera @ t.T_camera_object for t in f.truths} for f in (first, last)]
    common = in_world[0].keys() & in_world[1].keys()
    assert common
    for instance in common:
        np.testing.assert_allclose(in_world[0][instance], in_world[1][instance], atol=1e-9)


def test_labels_and_truths_agree() -> None:
    for shown in render_sequence(SequenceConfig(workers=1, **SMALL)):
        expected = {NOCS_CATEGORIES[t.category].id * LABEL_BASE + t.instance for t in shown.truths}
        assert expected == {int(v) for v in np.unique(shown.frame.labels)} - {0}


def test_ping_pong_indices_reverse_at_both_ends() -> None:
    assert list(islice(ping_pong_indices(4), 10)) == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert list(islice(ping_pong_indices(1), 3)) == [0, 0, 0]
    assert list(islice(ping_pong_indices(2), 4)) == [0, 1, 0, 1]
