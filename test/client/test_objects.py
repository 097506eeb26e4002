"""Detected objects as values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

from clipose_ros.client.objects import DetectedObject, DetectedObjects, read_detections
from clipose_ros.geometry.se3 import exp_so3, invert_transform, make_transform

angles = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3)


def made(name: str, category: str, score: float) -> DetectedObject:
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    return DetectedObject(
        name, category, score, make_transform(exp_so3([0.1, 0.2, 0.3]), (1, 2, 3)), np.ones(3), covariance
    )


OBJECTS = DetectedObjects(
    5, "camera", (made("mug_1", "mug", 0.4), made("bowl_2", "bowl", 0.8), made("mug_3", "mug", 0.6))
)


def message(**values: object) -> Detection3D:
    """A detection with one result; ``values`` are set by path, with ``__`` for a dot."""
    detection = Detection3D(id="mug_1", results=[ObjectHypothesisWithPose()])
    for path, value in {"bbox__center__orientation__w": 1.0, **values}.items():
        *parents, name = path.split("__")
        target = detection
        for parent in parents:
            target = target[int(parent)] if parent.isdecimal() else getattr(target, parent)
        setattr(target, name, value)
    return detection


def test_select_sorts_by_score() -> None:
    assert [item.name for item in OBJECTS.select("mug")] == ["mug_3", "mug_1"]
    assert [item.name for item in OBJECTS.select(min_score=0.5)] == ["bowl_2", "mug_3"]
    assert len(OBJECTS.select("bottle")) == 0 and OBJECTS.select("bottle").stamp_ns == 5


@given(angles, angles)
def test_transformed_there_and_back_changes_nothing(rotation: list[float], translation: list[float]) -> None:
    T = make_transform(exp_so3(rotation), translation)
    back = OBJECTS.transformed("base", T).transformed("camera", invert_transform(T))
    assert back.frame_id == "camera"
    for one, other in zip(back, OBJECTS, strict=True):
        np.testing.assert_allclose(one.T_frame_object, other.T_frame_object, atol=1e-9)
        np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-9)
    moved = OBJECTS.transformed("base", T)
    np.testing.assert_allclose(moved.objects[0].position, T[:3, :3] @ (1, 2, 3) + translation, atol=1e-9)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        OBJECTS.objects[0].score = 1.0


@pytest.mark.parametrize(
    "detection",
    [
        Detection3D(),
        message(bbox__center__orientation__w=0.0),
        message(bbox__center__position__x=np.nan),
        message(bbox__size__z=np.inf),
        message(results__0__hypothesis__score=np.nan),
        message(results__0__pose__covariance=np.full(36, np.nan)),
    ],
)
def test_detections_without_usable_values_are_left_out(detection: Detection3D) -> None:
    read = read_detections(Detection3DArray(detections=[detection, message(id="good")]))
    assert [item.name for item in read] == ["good"]


def test_read_detections_keeps_all_values() -> None:
    array = Detection3DArray(detections=[message(bbox__size__y=0.5, results__0__hypothesis__class_id="mug")])
    array.header.frame_id, array.header.stamp.sec, array.header.stamp.nanosec = "camera", 3, 7
    read = read_detections(array)
    assert (read.stamp_ns, read.frame_id) == (3_000_000_007, "camera")
    (item,) = read
    assert (item.category, item.size[1]) == ("mug", 0.5)
    np.testing.assert_array_equal(item.T_frame_object, np.eye(4))
