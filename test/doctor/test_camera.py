"""Checks of a camera over DDS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import String

from clipose_ros.config import PoseNodeConfig
from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.doctor.camera import check_camera
from clipose_ros.doctor.row import Row, State
from clipose_ros.ros.conversions import image_message, ros_stamp

CONFIG = PoseNodeConfig()


@pytest.fixture
def examine(ros: Any, camera: Any) -> Callable[..., dict[str, Row]]:
    """Run the checks while ``each`` publishes; return the rows by check."""

    def run(
        each: Callable[[], Any], arguments: tuple[str, ...] = (), config: PoseNodeConfig = CONFIG
    ) -> dict[str, Row]:
        rows: list[Row] = []
        thread = threading.Thread(target=lambda: rows.extend(check_camera(arguments, 1.5, config)))
        thread.start()
        ros.wait_for(lambda: not thread.is_alive(), "the end of the checks", each)
        assert rows, "the check raised"
        return {row.check: row for row in rows}

    return run


def problems(rows: dict[str, Row]) -> set[str]:
    return {check for check, row in rows.items() if row.state in (State.PROBLEM, State.UNKNOWN)}


def test_a_good_camera_has_no_problem(camera, examine, start_node) -> None:
    start_node()
    rows = examine(camera.send)
    assert not problems(rows), rows
    for topic in ("/rgb/image_rect_color", "/depth_registered/image_rect", "/rgb/camera_info"):
        assert " Hz, 1 publisher" in rows[f"topic {topic}"].found
    assert rows["images"].found == "160x120, 'rgb8' and '16UC1', fx 120.0"
    assert rows["camera frame"].found == "'camera_optical'" and rows["depth unit"].found == "median depth 2.000 m"
    assert rows["rectification"].state is State.OK and rows["pose node"].found == "/pose_node"
    assert rows["clock"].state is State.HINT, "the stamps of this camera are of another clock"


def test_wrong_unit_frame_and_distortion_are_found(camera, examine) -> None:
    def change(messages: dict[str, Any]) -> None:
        header = messages["depth"].header
        messages["depth"] = image_message(np.full((120, 160), 900.0, np.float32), "32FC1", header)
        messages["info"].d, messages["info"].distortion_model = [0.1, 0.0, 0.0, 0.0, 0.0], "plumb_bob"
        for message in messages.values():
            message.header.frame_id = "camera_link"

    remapped = ("--ros-args", "-r", "rgb/image_rect_color:=/rgb/image_raw")
    publisher = camera.ros.node.create_publisher(type(camera.scene()["color"]), "/rgb/image_raw", 10)
    camera.color = publisher
    rows = examine(lambda: camera.send(change), remapped)
    assert problems(rows) == {"depth unit"}
    assert "median depth of 900 m" in rows["depth unit"].found and "let the driver publish" in rows["depth unit"].advice
    assert rows["camera frame"].state is rows["rectification"].state is State.HINT
    assert "no optical frame" in rows["camera frame"].found and "'/rgb/image_raw'" in rows["rectification"].advice


def test_a_missing_topic_is_explained(camera, examine) -> None:
    camera.ros.node.destroy_publisher(camera.depth)
    camera.depth = camera.ros.node.create_publisher(String, "depth_registered/image_rect", 10)
    rows = examine(lambda: camera.send(leave_out=("depth",)))
    silent = rows["topic /depth_registered/image_rect"]
    assert silent.state is State.PROBLEM and "published as std_msgs/msg/String" in silent.advice
    assert {"matched sets", "images", "depth unit"} <= problems(rows)


def test_frames_of_which_few_match_are_a_problem(camera, examine) -> None:
    count = iter(range(10**6))

    def shift(messages: dict[str, Any]) -> None:
        if next(count) % 8:  # by about half of the time between images: no stamp is earlier than the last one
            header = messages["depth"].header
            header.stamp = ros_stamp(stamp_ns(header.stamp) + 15_000_000)

    rows = examine(lambda: camera.send(shift), config=PoseNodeConfig.from_mapping({"sync": {"slop_s": 0.005}}))
    assert "matched sets" in problems(rows), rows["matched sets"]


def test_no_camera_at_all(examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipose_ros.doctor.camera.DISCOVERY_S", 0.0)
    rows = examine(lambda: None)
    assert all(rows[f"topic {topic}"].state is State.PROBLEM for topic in ("/rgb/camera_info", "/rgb/image_rect_color"))
    assert rows["images"].state is rows["clock"].state is State.UNKNOWN


def test_garbage_is_reported_and_ends_nothing(camera, examine) -> None:
    kinds = iter(range(10**6))

    def change(messages: dict[str, Any]) -> None:
        kind = next(kinds) % 5
        if kind == 0:
            messages["depth"].encoding = "\x1b[31m" + "x" * 5000
        elif kind == 1:
            messages["info"].header.stamp.sec = -5
        elif kind == 2:
            messages["color"].data = messages["color"].data[:7]
        elif kind == 3:
            messages["info"].p = [float("nan")] * 12
        else:
            messages["color"].header.frame_id = "y" * 5000

    rows = examine(lambda: camera.send(change))
    assert {"frame", "stamp"} <= problems(rows) and rows["images"].state is State.UNKNOWN
    assert "\x1b" not in "".join(row.found + row.advice for row in rows.values())


def test_arguments_that_ros_refuses_are_a_problem() -> None:
    (row,) = check_camera(("--ros-args", "-r", "no remapping"), 0.5, CONFIG)
    assert row.state is State.PROBLEM and "cannot be initialised" in row.found and "--ros-args" in row.advice


def test_frames_of_the_settings_are_looked_up(camera, examine) -> None:
    publish = replace(CONFIG.publish, target_frame="base")
    rows = examine(camera.send, config=replace(CONFIG, publish=publish))
    assert problems(rows) == {"publish.target_frame"} and "no transform on '/tf'" in rows["publish.target_frame"].found
    rows = examine(camera.send_with_tf, config=replace(CONFIG, publish=publish))
    assert not problems(rows) and rows["publish.target_frame"].found == "'base' is in TF"
