"""Boxes of another detector: conversion, and the node with the backend ``detections`` over DDS."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesis, ObjectHypothesisWithPose

from clipose_ros.decoding.boxes import MAX_BOXES, read_boxes
from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.errors import FrameError
from clipose_ros.ros.conversions import ros_stamp

MUG_BOX, BOWL_BOX = (20, 30, 50, 80), (90, 30, 130, 80)  # where the camera of conftest.py shows its objects
TOPIC = "segmentation/detections"


def detection(box: tuple[float, float, float, float], *classes: tuple[str, float], theta: float = 0.0) -> Detection2D:
    message = BoundingBox2D(size_x=float(box[2] - box[0]), size_y=float(box[3] - box[1]))
    message.center.position.x, message.center.position.y = (box[0] + box[2]) / 2.0, (box[1] + box[3]) / 2.0
    message.center.theta = theta
    results = [ObjectHypothesisWithPose(hypothesis=ObjectHypothesis(class_id=n, score=s)) for n, s in classes]
    return Detection2D(bbox=message, results=results)


@given(st.tuples(*[st.integers(-50, 700)] * 2, *[st.integers(0, 400)] * 2), st.sampled_from([0.0, math.pi, -math.pi]))
def test_box_is_read_back(values: tuple[int, int, int, int], theta: float) -> None:
    box = (values[0], values[1], values[0] + values[2], values[1] + values[3])
    message = Detection2DArray(detections=[detection(box, ("bowl", 0.2), ("cup", 0.7), theta=theta)])
    (found,) = read_boxes(message, TOPIC)
    assert (found.class_name, found.score, found.box) == ("cup", 0.7, box)


def test_rotated_box_becomes_the_upright_one_around_it() -> None:
    (found,) = read_boxes(
        Detection2DArray(detections=[detection((90, 45, 110, 55), ("cup", 1.0), theta=math.pi / 2)]), TOPIC
    )
    assert found.box == (95, 40, 105, 60)


def test_detection_without_a_class_is_left_out() -> None:
    assert read_boxes(Detection2DArray(detections=[detection((0, 0, 9, 9))]), TOPIC) == ()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("field", ["x", "theta", "size", "score"])
def test_impossible_values_are_refused(field: str, value: float) -> None:
    item = detection((0, 0, 9, 9), ("cup", value if field == "score" else 0.5))
    if field == "x":
        item.bbox.center.position.x = value
    elif field == "theta":
        item.bbox.center.theta = value
    elif field == "size":
        item.bbox.size_y = value
    with pytest.raises(FrameError, match="'cup' with impossible values"):
        read_boxes(Detection2DArray(detections=[item]), TOPIC)


def test_number_of_detections_is_bounded() -> None:
    with pytest.raises(FrameError, match="1001 detections, at most 1000"):
        read_boxes(Detection2DArray(detections=[Detection2D()] * (MAX_BOXES + 1)), TOPIC)


def test_node_poses_the_boxes_of_another_detector_and_publishes_its_own(ros: Any, camera: Any, start_node: Any) -> None:
    publisher = ros.node.create_publisher(Detection2DArray, TOPIC, 10)
    node = start_node(segmentation__backend="detections", segmentation__class_map=["cup:mug", "45:bowl"])
    published = ros.listen(Detection2DArray, "pose_node/detections_2d")

    def send() -> None:
        header = Header(stamp=ros_stamp(camera.send(leave_out=["labels"])), frame_id="camera_optical")
        found = [
            detection(MUG_BOX, ("cup", 0.9)),
            detection(BOWL_BOX, ("45", 0.8)),
            detection(MUG_BOX, ("person", 1.0)),
        ]
        publisher.publish(Detection2DArray(header=header, detections=found))

    messages = ros.wait_for(lambda: [m for m in node.detections if len(m.detections) == 2], "both objects", send)
    by_name = {d.results[0].hypothesis.class_id: d for d in messages[-1].detections}
    assert set(by_name) == {"mug", "bowl"} and by_name["mug"].bbox.center.position.z == pytest.approx(0.52, abs=0.03)
    boxes = ros.wait_for(lambda: [m for m in published if len(m.detections) == 2], "boxes", send)[-1]
    assert boxes.header.frame_id == "camera_optical" and stamp_ns(boxes.header.stamp) in camera.sent
    mug = next(d for d in boxes.detections if d.results[0].hypothesis.class_id == "mug")
    assert (mug.bbox.center.position.x, mug.bbox.center.position.y, mug.bbox.size_x, mug.bbox.size_y) == (
        35,
        55,
        30,
        50,
    )
    assert mug.id.startswith("mug_") and mug.results[0].hypothesis.score == pytest.approx(0.9)


def test_boxes_of_another_frame_are_refused_by_name(ros: Any, camera: Any, start_node: Any) -> None:
    publisher = ros.node.create_publisher(Detection2DArray, TOPIC, 10)
    node = start_node(segmentation__backend="detections", segmentation__class_map=["cup:mug"])

    def send() -> None:
        header = Header(stamp=ros_stamp(camera.send(leave_out=["labels"])), frame_id="elsewhere")
        publisher.publish(Detection2DArray(header=header))

    ros.wait_for(
        lambda: "/segmentation/detections' is in frame 'elsewhere'" in node.value("last_problem"), "a word", send
    )
