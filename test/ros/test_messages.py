"""Reused messages equal newly created ones."""

from __future__ import annotations

import array
import gc

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection3D
from visualization_msgs.msg import Marker

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.geometry.boxes import BOX_EDGES, box_corners
from clipose_ros.geometry.se3 import exp_se3, quat_xyzw_from_rotation, transform_points
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.markers import Markers
from clipose_ros.ros.messages import ObjectMessages, object_cloud
from clipose_ros.ros.rejections import LocatedRejection, locate_rejections
from clipose_ros.types import (
    CameraIntrinsics,
    InstanceMask,
    ObjectCloud,
    Rejection,
    RejectionReason,
    RgbdFrame,
    TrackedObject,
)


def track(category, number, seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(6, 6))
    mask = InstanceMask(category, 1.0, (0, 0, 1, 1), np.ones((1, 1), np.bool_))
    cloud = ObjectCloud(mask, rng.normal(size=(16, 3)).astype(np.float32)) if rng.random() < 0.7 else None
    T, size = exp_se3(rng.normal(size=6)), rng.uniform(0.05, 0.5, 3)
    return TrackedObject(number, category, T, size, rng.uniform(), A @ A.T, 1.0, cloud is not None, cloud)


frames = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from(["mug", "can"]), st.integers(1, 3)), st.integers(0, 2**31), max_size=6
    ).map(lambda drawn: [track(*name, seed) for name, seed in sorted(drawn.items())]),
    min_size=1,
    max_size=6,
)


def header(k):
    return Header(stamp=ros_stamp(1_000_000 * (k + 1)), frame_id="camera")


def expected_pose(tracked):
    x, y, z = tracked.T_frame_object[:3, 3].tolist()
    a, b, c, d = quat_xyzw_from_rotation(tracked.T_frame_object[:3, :3]).tolist()
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=a, y=b, z=c, w=d))


@settings(deadline=None, max_examples=40)
@given(frames)
def test_objects_are_those_of_the_last_frame_alone(sequence):
    objects = ObjectMessages()
    for k, tracks in enumerate(sequence):
        objects.fill(header(k), tracks, "robot/")
    assert objects.detections.header == objects.poses.header == header(k)
    assert [d.id for d in objects.detections.detections] == [t.name for t in tracks]
    assert objects.poses.poses == [expected_pose(t) for t in tracks]
    stamped = objects.transforms.transforms
    assert [s.child_frame_id for s in stamped] == [f"robot/{t.name}" for t in tracks]
    for t, detection, transform in zip(tracks, objects.detections.detections, stamped, strict=True):
        (result,), pose = detection.results, expected_pose(t)
        assert detection.header == transform.header == header(k)
        assert detection.bbox.center == result.pose.pose == pose
        assert transform.transform.rotation == pose.orientation
        moved = transform.transform.translation
        assert (moved.x, moved.y, moved.z) == (pose.position.x, pose.position.y, pose.position.z)
        assert (detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z) == tuple(t.size)
        assert (result.hypothesis.class_id, result.hypothesis.score) == (t.category, t.score)
        assert np.array_equal(np.reshape(result.pose.covariance, (6, 6)), t.covariance)


@settings(deadline=None, max_examples=40)
@given(frames)
def test_markers_show_the_last_frame_and_delete_what_is_gone(sequence):
    markers, objects, shown = Markers(), ObjectMessages(), set()
    for k, tracks in enumerate(sequence):
        objects.fill(header(k), tracks, "")
        message = markers.update(header(k), tracks, objects.poses.poses, (), 0.5)
        added = [m for m in message.markers if m.action == Marker.ADD]
        names = {(f"{t.category}/{part}", t.track_id) for t in tracks for part in ("box", "axes", "label")}
        assert {(m.ns, m.id) for m in added} == names and len(added) == len(names)
        assert {(m.ns, m.id) for m in message.markers if m.action == Marker.DELETE} == shown - names
        assert all(m.header == header(k) for m in message.markers)
        shown = names
    by_name = {(m.ns, m.id): m for m in added}
    for t in tracks:
        box, axes, label = (by_name[f"{t.category}/{part}", t.track_id] for part in ("box", "axes", "label"))
        assert box.pose == axes.pose == expected_pose(t) and label.pose.position == box.pose.position
        assert label.pose.orientation == Quaternion(w=1.0) and label.text == f"{t.name} {t.score:.2f}"
        corners = box_corners(np.eye(4), t.size)[BOX_EDGES.ravel()]
        assert np.allclose([(p.x, p.y, p.z) for p in box.points], corners)
        tips = np.kron(np.diag(0.5 * t.size), [[0.0], [1.0]])
        assert np.allclose([(p.x, p.y, p.z) for p in axes.points], tips)
        assert [m.color.a for m in (box, axes, label)] == [1.0 if t.seen else 0.4] * 3


@settings(deadline=None, max_examples=30)
@given(frames, st.integers(0, 2**31))
def test_the_cloud_holds_every_observed_point(sequence, seed):
    T = exp_se3(np.random.default_rng(seed).normal(size=6))
    tracks = sequence[-1]
    message = object_cloud(header(0), tracks, T, NOCS_CATEGORIES)
    assert isinstance(message, PointCloud2) and isinstance(message.data, array.array)
    points = np.frombuffer(message.data, [("xyz", "<f4", 3), ("category", "<u2"), ("track", "<u2")])
    assert [(f.name, f.offset) for f in message.fields] == [
        ("x", 0), ("y", 4), ("z", 8), ("category", 12), ("track", 14),
    ]  # fmt: skip
    seen = [t for t in tracks if t.cloud is not None]
    assert points.size == message.width == 16 * len(seen)
    for k, t in enumerate(seen):
        part = points[16 * k : 16 * k + 16]
        assert np.allclose(part["xyz"], transform_points(T, t.cloud.points_camera), atol=1e-5)
        assert (part["category"] == NOCS_CATEGORIES[t.category].id).all() and (part["track"] == t.track_id).all()


def count_objects(kind):
    """Number of living objects of a class."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())


def test_number_of_kept_messages_does_not_grow():
    """Tracks come and go; no more messages are kept than were needed at once."""
    before = count_objects(Detection3D), count_objects(Marker)
    objects, markers = ObjectMessages(), Markers()
    for k in range(200):
        tracks = [track("mug", k + n, k) for n in range(k % 4)]
        objects.fill(header(k), tracks, "")
        markers.update(header(k), tracks, objects.poses.poses, (), 0.5)
    assert len(tracks) == 3
    assert count_objects(Detection3D) - before[0] == 3
    assert count_objects(Marker) - before[1] == 3 * len(tracks), "box, axes and label of each track"


REJECTED_MASK = InstanceMask("mug", 1.0, (10, 20, 21, 31), np.ones((11, 11), np.bool_))


def rejection(reason=RejectionReason.TOO_FEW_POINTS, instance=REJECTED_MASK):
    return Rejection("mug", reason, "12 of 64 points", instance)


def rejected_ids(message, action):
    return [m.id for m in message.markers if m.ns == "rejected" and m.action == action]


def test_markers_of_rejections_show_the_reason_and_are_never_left_over():
    markers = Markers()
    located = [LocatedRejection(rejection(), np.array([0.1, 0.2, 0.9]))] * 3
    shown = 0
    for k, number in enumerate((2, 3, 1, 0, 0, 2)):
        message = markers.update(header(k), [], [], located[:number], 1.5)
        assert rejected_ids(message, Marker.ADD) == list(range(number))
        assert rejected_ids(message, Marker.DELETE) == list(range(number, shown))
        assert all(m.header == header(k) for m in message.markers)
        shown = number
    text = message.markers[0]
    assert text.type == Marker.TEXT_VIEW_FACING and text.text == "mug rejected: too few points"
    position = text.pose.position
    assert (position.x, position.y, position.z) == (0.1, 0.2, 0.9) and text.pose.orientation == Quaternion(w=1.0)
    assert (text.lifetime.sec, text.lifetime.nanosec) == (1, 500_000_000)
    assert text.color.a > 0.0 and text.scale.z > 0.0
    assert [m.action for m in markers.delete_all().markers] == [Marker.DELETEALL]
    assert not rejected_ids(markers.update(header(9), [], [], [], 1.5), Marker.DELETE)


def test_rejections_are_located_at_the_median_depth_of_their_mask():
    camera = CameraIntrinsics(100.0, 100.0, 31.5, 23.5, 64, 48)
    depth = np.full((48, 64), 2.0, np.float32)
    depth[20:31, 10:21] = 0.8
    depth[20:24, 10:21] = np.nan
    depth[24, 10:14] = 3.0
    frame = RgbdFrame(np.zeros((48, 64, 3), np.uint8), depth, camera)
    empty = InstanceMask("mug", 1.0, (10, 20, 21, 22), np.ones((2, 11), np.bool_))
    T = exp_se3(np.array([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]))
    located = locate_rejections(frame, [rejection(), rejection(instance=None), rejection(instance=empty)], T)
    (only,) = located
    expected = [(15 - 31.5) / 100 * 0.8, (27 - 23.5) / 100 * 0.8, 0.8]
    np.testing.assert_allclose(only.position, transform_points(T, [expected])[0], atol=1e-6)
