"""Identities, lifetimes and smoothing over simulated sequences."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import TrackingConfig
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform, rotation_angle_deg
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FrameResult, InstanceMask, ObjectCloud, PoseEstimate, StageTimes

CONFIG = TrackingConfig()
IDENTITY = np.eye(4)
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # y up before a camera
FRAME_NS = 33_000_000


def pose(category="mug", t=(0.0, 0.0, 1.0), R=UPRIGHT, size=(0.1, 0.1, 0.1), score=0.8):
    return PoseEstimate(category, make_transform(R, t), np.array(size), score, (0.8, 0.7))


def result(*poses):
    cloud = [
        ObjectCloud(
            InstanceMask(p.category, 1.0, (0, 0, 1, 1), np.ones((1, 1), np.bool_)), np.zeros((4, 3), np.float32)
        )
        for p in poses
    ]
    return FrameResult(tuple(poses), tuple(cloud), (), StageTimes(0.0, 0.0, 0.0))


def tracker(**changes):
    return Tracker(dataclasses.replace(CONFIG, **changes), NOCS_CATEGORIES)


def run(tracking, frames, start_ns=0, T=IDENTITY):
    """Feed one result after the other; the tracks of each frame."""
    return [tracking.update(frame, start_ns + k * FRAME_NS, T) for k, frame in enumerate(frames)]


def names(tracks):
    return [track.name for track in tracks]


def test_an_object_is_reported_once_it_was_seen_often_enough():
    seen = run(tracker(min_hits=3), [result(pose())] * 4)
    assert [names(tracks) for tracks in seen] == [[], [], ["mug_1"], ["mug_1"]]
    assert seen[3][0].age_s == pytest.approx(0.099)


def test_a_single_look_needs_no_confirmation():
    assert names(tracker(min_hits=5).update(result(pose()), 0, IDENTITY, confirm=True)) == ["mug_1"]


def test_two_objects_keep_their_ids_whatever_their_order():
    left, right = pose(t=(-0.1, 0, 1)), pose(t=(0.1, 0, 1))
    frames = [result(left, right) if k % 2 else result(right, left) for k in range(10)]
    positions = [{t.name: t.T_frame_object[0, 3] for t in tracks} for tracks in run(tracker(min_hits=1), frames)]
    assert all(p == positions[0] for p in positions) and len(positions[0]) == 2


def test_ids_are_per_category_and_categories_do_not_mix():
    tracking = tracker(min_hits=1)
    assert names(tracking.update(result(pose("mug"), pose("can"), pose("mug", (0.5, 0, 1))), 0, IDENTITY)) == [
        "can_1", "mug_1", "mug_2",
    ]  # fmt: skip
    tracks = tracking.update(result(pose("bowl"), pose("mug", (0.5, 0, 1))), FRAME_NS, IDENTITY)
    assert [(t.name, t.seen) for t in tracks] == [("bowl_1", True), ("can_1", False), ("mug_1", False), ("mug_2", True)]


def test_ids_are_not_used_twice():
    tracking = tracker(min_hits=1, max_age_s=0.05)
    run(tracking, [result(pose())])
    assert tracking.update(result(), 10**9, IDENTITY) == []
    assert names(tracking.update(result(pose()), 10**9 + FRAME_NS, IDENTITY)) == ["mug_2"]


def test_frames_rarer_than_the_longest_age_confirm_and_keep_an_object():
    tracking = tracker(min_hits=2, max_age_s=0.5)
    seen = [tracking.update(result(pose()), k * 10**9, IDENTITY) for k in range(4)]
    assert [names(tracks) for tracks in seen] == [[], ["mug_1"], ["mug_1"], ["mug_1"]]
    assert seen[3][0].age_s == pytest.approx(3.0)


def test_after_a_long_gap_the_gate_tells_whether_it_is_the_same_object():
    tracking = tracker(min_hits=1, max_age_s=0.5)
    tracking.update(result(pose(), pose(t=(0.5, 0.0, 1.0))), 0, IDENTITY)
    tracks = tracking.update(result(pose(t=(0.05, 0.0, 1.0)), pose(t=(1.0, 0.0, 1.0))), 10**9, IDENTITY)
    assert [(t.name, t.seen) for t in tracks] == [("mug_1", True), ("mug_3", True)]


def test_unseen_tracks_are_carried_on_and_age_out():
    tracking = tracker(min_hits=1, max_age_s=0.1)
    first, *coasting = run(tracking, [result(pose()), *[result()] * 5])
    assert first[0].seen and first[0].cloud is not None
    assert [names(tracks) for tracks in coasting] == [["mug_1"]] * 3 + [[]] * 2
    assert not any(t.seen or t.cloud is not None for tracks in coasting for t in tracks)
    variances = [tracks[0].covariance[0, 0] for tracks in [first, *coasting[:3]]]
    assert (np.diff(variances) > 0).all()


def test_a_track_seen_again_keeps_its_id():
    seen = run(tracker(), [*[result(pose())] * 3, *[result()] * 5, result(pose(t=(0.05, 0, 1)))])
    assert names(seen[-1]) == ["mug_1"] and seen[-1][0].seen


def test_a_detection_beyond_the_gate_is_another_object():
    seen = run(tracker(min_hits=1, gate_m=0.1), [result(pose()), result(pose(t=(0.11, 0, 1)))])
    assert names(seen[1]) == ["mug_1", "mug_2"]


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_time_going_back_forgets_everything(smoothing):
    tracking = tracker(min_hits=2, smoothing=smoothing)
    run(tracking, [result(pose())] * 3, start_ns=10**10)
    moved = pose(t=(0.03, 0.0, 1.0))
    assert tracking.update(result(moved), 10**9, IDENTITY) == []
    (track,) = tracking.update(result(moved), 10**9 + FRAME_NS, IDENTITY)
    assert track.name == "mug_1" and track.T_frame_object[0, 3] == pytest.approx(0.03)


def test_reset_and_a_new_tracking_frame_forget_too():
    tracking = tracker(min_hits=1)
    run(tracking, [result(pose(), pose(t=(0.5, 0, 1)))])
    tracking.reconfigure(dataclasses.replace(CONFIG, min_hits=1, smoothing=0.1))
    assert len(tracking.update(result(), FRAME_NS, IDENTITY)) == 2
    tracking.reconfigure(dataclasses.replace(CONFIG, min_hits=1, frame="odom"))
    assert tracking.update(result(), 2 * FRAME_NS, IDENTITY) == []
    tracking.update(result(pose()), 3 * FRAME_NS, IDENTITY)
    tracking.reset()
    assert tracking.update(result(), 4 * FRAME_NS, IDENTITY) == []


def noisy(rng, category="mug"):
    R = exp_so3(rng.normal(0, 0.05, 3)) @ UPRIGHT @ exp_so3([0.0, 0.5, 0.0])
    return pose(category, rng.normal([0, 0, 1], 0.005), R, rng.normal(0.1, 0.01, 3), rng.uniform(0.6, 1.0))


def test_smoothing_damps_jitter_of_pose_size_and_score():
    def jitter(smoothing):
        rng = np.random.default_rng(0)
        frames = [result(noisy(rng)) for _ in range(120)]
        tracks = [t[0] for t in run(tracker(min_hits=1, smoothing=smoothing), frames)][40:]
        steps = list(itertools.pairwise(tracks))
        return [
            np.mean([np.linalg.norm(a.T_frame_object[:3, 3] - b.T_frame_object[:3, 3]) for a, b in steps]),
            np.mean([rotation_angle_deg(a.T_frame_object[:3, :3], b.T_frame_object[:3, :3]) for a, b in steps]),
            np.mean([np.abs(a.size - b.size).max() for a, b in steps]),
            np.mean([abs(a.score - b.score) for a, b in steps]),
        ]

    raw, smooth = np.array(jitter(0.0)), np.array(jitter(0.6))
    assert (smooth < 0.3 * raw).all()


def test_without_smoothing_poses_pass_unchanged():
    rng = np.random.default_rng(1)
    poses = [noisy(rng) for _ in range(5)]
    for given, (track,) in zip(poses, run(tracker(min_hits=1, smoothing=0.0), [result(p) for p in poses]), strict=True):
        assert np.allclose(track.T_frame_object, given.T_camera_object)
        assert np.array_equal(track.size, given.size) and track.score == given.score


@pytest.mark.parametrize("category", ["bottle", "bowl", "can"])
@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_symmetric_objects_do_not_spin(category, smoothing):
    """The network may give any yaw; the reported axes stand still and do not shake the tilt either."""
    rng = np.random.default_rng(4)
    tilted = exp_so3([0.3, 0.0, 0.2]) @ UPRIGHT
    frames = [result(pose(category, R=tilted @ exp_so3([0.0, a, 0.0]))) for a in rng.uniform(-np.pi, np.pi, 40)]
    rotations = [t[0].T_frame_object[:3, :3] for t in run(tracker(min_hits=1, smoothing=smoothing), frames)]
    assert max(rotation_angle_deg(R, rotations[0]) for R in rotations) < 1e-4
    assert np.allclose(rotations[-1][:, 1], tilted[:, 1])
    assert rotations[0][0, 0] > 0.9, "x leans on the x axis of the tracking frame"


def wandering_bottle(yaw_range):
    """Reported rotations of a bottle whose measured tilt trembles and whose measured yaw is anything in a range."""
    rng = np.random.default_rng(7)
    measured = [
        exp_so3(rng.normal(0.0, 0.05, 3) * [1, 0, 1]) @ UPRIGHT @ exp_so3([0.0, rng.uniform(-1, 1) * yaw_range, 0.0])
        for _ in range(100)
    ]
    frames = [result(pose("bottle", R=R)) for R in measured]
    return [t[0].T_frame_object[:3, :3] for t in run(tracker(min_hits=1, smoothing=0.8), frames)]


def test_free_yaw_of_the_measurements_leaves_the_tilt_as_calm_as_without():
    free, fixed = wandering_bottle(np.pi), wandering_bottle(0.0)
    assert np.allclose(free, fixed, atol=1e-6)


def test_axes_keep_to_the_convention_for_ever():
    """What small tilts add up to over time never turns the axes: x stays the frame's x as seen along y."""
    for R in wandering_bottle(np.pi):
        expected = np.eye(3)[0] - R[0, 1] * R[:, 1]
        assert np.allclose(R[:, 0], expected / np.linalg.norm(expected), atol=1e-6)


def test_a_moving_camera_does_not_move_objects_that_rest_in_the_tracking_frame():
    """Smoothing happens in the tracking frame, results are in the camera's: no lag from the camera's own motion."""
    T_world_object = make_transform(UPRIGHT, [0.2, 0.1, 1.0])
    tracking = tracker(min_hits=1, smoothing=0.95, frame="odom")
    for k in range(30):
        T_world_camera = make_transform(exp_so3([0.0, 0.03 * k, 0.01 * k]), [0.02 * k, 0.0, 0.01 * k])
        T_camera_object = invert_transform(T_world_camera) @ T_world_object
        estimate = pose(t=T_camera_object[:3, 3], R=T_camera_object[:3, :3])
        (track,) = tracking.update(result(estimate), k * FRAME_NS, T_world_camera)
        assert np.allclose(track.T_frame_object, T_camera_object, atol=1e-9)


def test_covariance_is_about_the_cameras_axes():
    """A bottle upright in the world is free to turn about the world's z, which the camera sees along its own -y."""
    T_world_camera = make_transform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), [0.0, 0.0, 1.0])
    (track,) = tracker(min_hits=1).update(result(pose("bottle")), 0, T_world_camera)
    turns = track.covariance[3:, 3:]
    assert turns[1, 1] == pytest.approx(np.pi**2 / 3)
    assert max(turns[0, 0], turns[2, 2]) < 0.15 * turns[1, 1]
    assert np.allclose(turns, np.diag(np.diag(turns)))


def test_what_goes_in_is_not_changed():
    estimate = pose("can", R=exp_so3([0.1, 1.0, 0.2]))
    T, size = estimate.T_camera_object.copy(), estimate.size.copy()
    tracking = tracker(min_hits=1)
    (first,) = tracking.update(result(estimate), 0, IDENTITY)
    reported = (first.T_frame_object.copy(), first.size.copy())
    tracking.update(result(pose("can", (0.02, 0.0, 1.0), size=(0.2, 0.2, 0.2))), FRAME_NS, IDENTITY)
    assert np.array_equal(estimate.T_camera_object, T) and np.array_equal(estimate.size, size)
    assert np.array_equal(first.T_frame_object, reported[0]) and np.array_equal(first.size, reported[1])


def test_a_frame_twice_changes_nothing():
    tracking = tracker(min_hits=1)
    (first,) = tracking.update(result(pose()), 5, IDENTITY)
    (again,) = tracking.update(result(pose(t=(0.001, 0.0, 1.0))), 5, IDENTITY)
    assert np.allclose(first.T_frame_object, again.T_frame_object, atol=1e-6) and again.seen


def test_a_frame_overtaken_on_its_way_forgets_nothing_and_adds_no_age():
    tracking = tracker(min_hits=1)
    run(tracking, [result(pose())] * 3, start_ns=10**10)
    (late,) = tracking.update(result(pose(t=(0.01, 0.0, 1.0))), 10**10 + FRAME_NS, IDENTITY)
    (next_one,) = tracking.update(result(pose()), 10**10 + 3 * FRAME_NS, IDENTITY)
    assert late.name == next_one.name == "mug_1" and late.seen
    assert late.age_s == pytest.approx(2 * FRAME_NS * 1e-9) and next_one.age_s == pytest.approx(3 * FRAME_NS * 1e-9)


def test_seen_is_what_this_very_frame_shows_even_at_an_equal_stamp():
    tracking = tracker(min_hits=1)
    tracking.update(result(pose()), 5, IDENTITY)
    (track,) = tracking.update(result(), 5, IDENTITY)
    assert not track.seen and track.cloud is None


def test_many_objects_at_once_are_as_each_alone():
    """Objects far apart do not know of each other: the tracks of a full table are those of each object by itself."""
    rng = np.random.default_rng(3)
    categories = ["mug", "can", "bottle", "laptop", "bowl", "camera"]
    together, alone = tracker(frame="world"), {name: tracker(frame="world") for name in categories}
    for k in range(60):
        T = make_transform(exp_so3([0.0, 0.01 * k, 0.02 * k]), [0.01 * k, 0.0, 0.0])
        there = [
            pose(name, (0.5 * i + rng.normal(0, 0.01), 0.0, 1.0), UPRIGHT @ exp_so3(rng.normal(0, 0.2, 3)))
            for i, name in enumerate(categories)
            if rng.random() < 0.8
        ]
        tracks = {track.name: track for track in together.update(result(*there), k * FRAME_NS, T)}
        expected = {}
        for name in categories:
            own = [p for p in there if p.category == name]
            expected |= {t.name: t for t in alone[name].update(result(*own), k * FRAME_NS, T)}
        assert tracks.keys() == expected.keys()
        for name, track in tracks.items():
            for field in ("T_frame_object", "covariance", "size", "score", "age_s", "seen"):
                assert np.allclose(getattr(track, field), getattr(expected[name], field), atol=1e-12)


def test_nothing_grows_with_the_frames():
    """Objects come and go all the time; what is remembered of them goes with them."""
    tracking = tracker(min_hits=1, max_age_s=0.2)

    def remembered():
        return len(pickle.dumps(tracking))

    sizes = []
    for k in range(300):
        tracking.update(result(pose(t=(0.5 * (k % 40), 0.0, 1.0))), k * FRAME_NS, IDENTITY)
        sizes.append(remembered())
    assert max(sizes[250:]) < 1.05 * max(sizes[20:60])
