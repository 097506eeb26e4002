"""What the node publishes about a frame, over real DDS."""

from __future__ import annotations

import numpy as np
import pytest
from geometry_msgs.msg import PoseArray, TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.geometry.se3 import (
    exp_so3,
    make_transform,
    quat_xyzw_from_rotation,
    rotate_covariance,
    transform_points,
)
from clipose_ros.visualization.draw import REJECTED_COLOUR


def transform_of(pose) -> np.ndarray:
    from clipose_ros.geometry.se3 import rotation_from_quat_xyzw

    p, q = pose.position, pose.orientation
    return make_transform(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [p.x, p.y, p.z])


def matrix_of(transform) -> np.ndarray:
    from clipose_ros.geometry.se3 import rotation_from_quat_xyzw

    t, q = transform.translation, transform.rotation
    return make_transform(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])


def with_both(detections, number=1):
    """The newest detections once there are so many messages with both objects."""
    full = [message for message in detections if len(message.detections) == 2]
    return full[-1] if len(full) >= number else None


def by_class(message) -> dict:
    return {detection.results[0].hypothesis.class_id: detection for detection in message.detections}


def test_detections_carry_the_images_stamp_and_frame_and_the_objects(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()
    message = ros.wait_for(lambda: with_both(node.detections), "both objects", camera.send)
    assert stamp_ns(message.header.stamp) in camera.sent
    assert message.header.frame_id == "camera_optical"
    objects = by_class(message)
    assert set(objects) == {"mug", "bowl"}
    mug = objects["mug"]
    assert mug.id == "mug_1" and mug.header == message.header
    assert 0.0 < mug.results[0].hypothesis.score <= 1.0
    assert mug.bbox.center == mug.results[0].pose.pose
    # block at u 20..49, v 30..79 and 0.5 .. 0.549 m, seen by fx = fy = 120, cx 79.5, cy 59.5
    expected = [(34.5 - 79.5) / 120 * 0.525, (54.5 - 59.5) / 120 * 0.525, 0.525]
    np.testing.assert_allclose(transform_of(mug.bbox.center)[:3, 3], expected, atol=0.01)
    size = mug.bbox.size
    np.testing.assert_allclose([size.x, size.y, size.z], [0.125, 0.21, 0.045], atol=0.02)
    covariance = np.array(mug.results[0].pose.covariance).reshape(6, 6)
    assert np.allclose(covariance, covariance.T) and (np.linalg.eigvalsh(covariance) > 0).all()


def test_ids_are_stable_over_frames_and_poses_go_in_the_same_order(ros, camera, start_node):
    node = start_node()
    poses = ros.listen(PoseArray, "pose_node/poses")
    camera.wait_until_heard()
    ros.wait_for(lambda: with_both(node.detections, 8) and len(poses) >= 8, "eight frames", camera.send)
    ids = {tuple(d.id for d in message.detections) for message in node.detections}
    assert ids == {("bowl_1", "mug_1")}
    by_stamp = {stamp_ns(m.header.stamp): m for m in node.detections}
    for message in poses:
        twin = by_stamp.get(stamp_ns(message.header.stamp))
        if twin is not None:
            assert message.header == twin.header
            assert message.poses == [d.bbox.center for d in twin.detections]


def test_tf_has_one_frame_per_track_under_the_camera(ros, camera, start_node):
    node = start_node(publish__tf_prefix="robot1/")
    tf = ros.listen(TFMessage, "/tf")
    camera.wait_until_heard()
    ros.wait_for(lambda: tf and with_both(node.detections), "transforms", camera.send)
    transforms = {t.child_frame_id: t for t in tf[-1].transforms}
    assert set(transforms) == {"robot1/mug_1", "robot1/bowl_1"}
    stamps = {stamp_ns(m.header.stamp): by_class(m) for m in node.detections}
    mug = transforms["robot1/mug_1"]
    assert mug.header.frame_id == "camera_optical"
    ros.wait_for(
        lambda: stamp_ns(mug.header.stamp) in {stamp_ns(m.header.stamp) for m in node.detections},
        "the same frame's detections",
    )
    stamps = {stamp_ns(m.header.stamp): by_class(m) for m in node.detections}
    np.testing.assert_allclose(
        matrix_of(mug.transform), transform_of(stamps[stamp_ns(mug.header.stamp)]["mug"].bbox.center), atol=1e-9
    )


def test_tf_can_be_turned_off(ros, camera, start_node):
    node = start_node(publish__tf=False)
    tf = ros.listen(TFMessage, "/tf")
    camera.wait_until_heard()
    ros.wait_for(lambda: with_both(node.detections, 5), "five frames", camera.send)
    assert not tf


def test_markers_show_box_axes_and_label_expire_and_are_deleted_with_their_track(ros, camera, start_node):
    node = start_node(publish__marker_lifetime_s=1.5, tracking__max_age_s=0.1)
    markers = ros.listen(MarkerArray, "pose_node/markers")
    camera.wait_until_heard()
    ros.wait_for(lambda: markers and with_both(node.detections), "markers", camera.send)
    first = next(m for m in markers if m.markers)
    assert {(m.ns, m.id) for m in first.markers} == {
        (f"{c}/{p}", 1) for c in ("mug", "bowl") for p in ("box", "axes", "label")
    }
    for marker in first.markers:
        assert marker.header.frame_id == "camera_optical" and marker.action == Marker.ADD
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 500_000_000)
        assert marker.color.a > 0.0
    box = next(m for m in first.markers if m.ns == "mug/box")
    assert box.type == Marker.LINE_LIST and len(box.points) == 24 and box.scale.x > 0
    size = by_class(with_both(node.detections))["mug"].bbox.size
    np.testing.assert_allclose(max(p.x for p in box.points) - min(p.x for p in box.points), size.x, atol=0.01)
    label = next(m for m in first.markers if m.ns == "mug/label")
    assert label.type == Marker.TEXT_VIEW_FACING and label.text.startswith("mug_1") and label.scale.z > 0

    def without_mug(messages):
        pixels = np.frombuffer(messages["labels"].data, "<u2")
        pixels[pixels == 6001] = 0

    def deleted():
        return {(m.ns, m.id) for array in markers for m in array.markers if m.action == Marker.DELETE}

    ros.wait_for(lambda: len(deleted()) == 3, "deletions", lambda: camera.send(without_mug))
    assert deleted() == {("mug/box", 1), ("mug/axes", 1), ("mug/label", 1)}


def test_object_cloud_is_laid_out_as_it_says_and_lies_on_the_objects(ros, camera, start_node):
    start_node()
    clouds = ros.listen(PointCloud2, "pose_node/object_cloud")
    camera.wait_until_heard()
    ros.wait_for(lambda: clouds and clouds[-1].width, "a cloud", camera.send)
    cloud = clouds[-1]
    assert cloud.header.frame_id == "camera_optical" and cloud.height == 1 and not cloud.is_bigendian
    assert cloud.row_step == cloud.point_step * cloud.width == len(cloud.data)
    kinds = {7: "<f4", 4: "<u2"}
    layout = np.dtype(
        {
            "names": [f.name for f in cloud.fields],
            "formats": [kinds[f.datatype] for f in cloud.fields],
            "offsets": [f.offset for f in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    points = np.frombuffer(cloud.data, layout)
    assert {(int(c), int(t)) for c, t in zip(points["category"], points["track"], strict=True)} == {(6, 1), (2, 1)}
    mug = points[points["category"] == 6]
    assert len(mug) == 1024
    assert mug["z"].min() >= 0.499 and mug["z"].max() <= 0.55
    assert (mug["x"] < 0).all()


def test_cloud_and_picture_are_made_only_for_subscribers(ros, camera, start_node, monkeypatch):
    drawn = []
    from clipose_ros.ros import publishers

    original = publishers.draw_published
    monkeypatch.setattr(publishers, "draw_published", lambda *a, **k: drawn.append(1) or original(*a, **k))
    node = start_node()
    camera.wait_until_heard()
    ros.wait_for(lambda: with_both(node.detections, 3), "frames without a listener", camera.send)
    assert not drawn
    pictures = ros.listen(Image, "pose_node/debug_image")
    ros.wait_for(lambda: pictures, "a picture", camera.send)
    picture = pictures[-1]
    assert (picture.width, picture.height, picture.encoding, picture.step) == (160, 120, "rgb8", 480)
    assert picture.header.frame_id == "camera_optical" and stamp_ns(picture.header.stamp) in camera.sent
    plain = np.frombuffer(camera.scene()["color"].data, np.uint8)
    assert (np.frombuffer(picture.data, np.uint8) != plain).any()


@pytest.fixture
def turned_camera(ros):
    """A static transform: the camera in frame ``base``, moved and turned about a skew axis."""
    T_base_camera = make_transform(exp_so3([0.4, -0.9, 1.3]), [0.5, -0.2, 1.1])
    q = quat_xyzw_from_rotation(T_base_camera[:3, :3])
    stamped = TransformStamped(child_frame_id="camera_optical")
    stamped.header.frame_id = "base"
    t, r = stamped.transform.translation, stamped.transform.rotation
    t.x, t.y, t.z = T_base_camera[:3, 3].tolist()
    r.x, r.y, r.z, r.w = q.tolist()
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = ros.node.create_publisher(TFMessage, "/tf_static", qos)
    publisher.publish(TFMessage(transforms=[stamped]))
    return T_base_camera


def test_target_frame_moves_poses_covariances_clouds_and_tf(ros, camera, start_node, turned_camera):
    node = start_node(tracking__smoothing=0.0)
    camera.wait_until_heard()
    plain = by_class(ros.wait_for(lambda: with_both(node.detections), "detections in the camera's frame", camera.send))[
        "mug"
    ]
    node.stop()
    ros.wait_for(lambda: camera.color.get_subscription_count() == 0, "the first node's end")
    node = start_node(publish__target_frame="base", tracking__smoothing=0.0)
    tf, clouds = ros.listen(TFMessage, "/tf"), ros.listen(PointCloud2, "pose_node/object_cloud")
    camera.wait_until_heard()
    message = ros.wait_for(lambda: tf and clouds and with_both(node.detections), "detections in base", camera.send)
    moved = by_class(message)["mug"]
    assert message.header.frame_id == "base" and stamp_ns(message.header.stamp) in camera.sent
    np.testing.assert_allclose(
        transform_of(moved.bbox.center), turned_camera @ transform_of(plain.bbox.center), atol=1e-6
    )
    expected = rotate_covariance(np.reshape(plain.results[0].pose.covariance, (6, 6)), turned_camera[:3, :3])
    np.testing.assert_allclose(np.reshape(moved.results[0].pose.covariance, (6, 6)), expected, atol=1e-9)
    assert tf[-1].transforms[0].header.frame_id == "base"
    assert clouds[-1].header.frame_id == "base"
    points = np.frombuffer(clouds[-1].data, [("xyz", "<f4", 3), ("category", "<u2"), ("track", "<u2")])
    mug = points["xyz"][points["category"] == 6].astype(float)
    back = transform_points(np.linalg.inv(turned_camera), mug)
    assert back[:, 2].min() >= 0.498 and back[:, 2].max() <= 0.551


def test_target_frame_that_tf_lacks_is_reported_and_comes_back(ros, camera, start_node):
    node = start_node(publish__target_frame="base")
    camera.wait_until_heard()
    ros.wait_for(lambda: "'base'" in node.value("last_problem"), "the report", camera.send)
    assert "publish.target_frame" in node.value("last_problem")
    assert not node.detections
    assert int(node.value("frames_failed")) > 0
    message = ros.wait_for(
        lambda: with_both(node.detections), "detections once the transform is there", camera.send_with_tf
    )
    assert message.header.frame_id == "base"


def test_ids_survive_a_moving_camera_when_smoothed_in_a_fixed_frame(ros, camera, start_node, turned_camera):
    node = start_node(tracking__frame="base")
    camera.wait_until_heard()
    message = ros.wait_for(lambda: with_both(node.detections, 5), "frames", camera.send)
    assert message.header.frame_id == "camera_optical"
    assert {d.id for m in node.detections for d in m.detections} == {"mug_1", "bowl_1"}


def test_a_rejected_object_is_seen_in_the_image_and_among_the_markers_and_goes_with_its_cause(ros, camera, start_node):
    start_node(cloud__min_points=1000)

    def with_little_mug(messages):
        pixels = np.frombuffer(messages["labels"].data, "<u2").reshape(120, 160)
        mug = pixels == 6001
        mug[40:70, 30:50] = False
        pixels[mug] = 0

    markers, images = ros.listen(MarkerArray, "pose_node/markers"), ros.listen(Image, "pose_node/debug_image")
    camera.wait_until_heard()

    def rejected(action):
        return [m for a in markers for m in a.markers if m.ns == "rejected" and m.action == action]

    ros.wait_for(lambda: rejected(Marker.ADD), "a marker of the rejection", lambda: camera.send(with_little_mug))
    text = rejected(Marker.ADD)[0]
    assert text.text == "mug rejected: too few points" and text.header.frame_id == "camera_optical"
    assert 0.5 <= text.pose.position.z <= 0.55 and text.lifetime.nanosec == 500_000_000

    def grey():
        return any(
            (np.frombuffer(m.data, np.uint8).reshape(-1, 3) == REJECTED_COLOUR).all(axis=1).any() for m in images
        )

    ros.wait_for(grey, "the rejected mask in the image", lambda: camera.send(with_little_mug))
    ros.wait_for(lambda: rejected(Marker.DELETE), "its deletion", camera.send)
