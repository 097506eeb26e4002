"""The cameras that are not there, over real DDS: what they publish fits together."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import make_transform, rotation_from_quat_xyzw
from clipose_ros.ros.conversions import FrameMessages, Topics, read_frame, stamp_ns
from clipose_ros.ros_tools.rgbd_player import RgbdPlayer
from clipose_ros.ros_tools.synthetic_camera import HANDLE_VISIBLE, SyntheticCamera
from clipose_ros.types import LABEL_BASE

TOPICS = {
    "/rgb/image_rect_color": Image,
    "/depth_registered/image_rect": Image,
    "/rgb/camera_info": CameraInfo,
    "/segmentation/labels": Image,
    "/truth/detections": Detection3DArray,
    "/tf": TFMessage,
}
NAMES = Topics("color", "depth", "info", "labels")


class Listener(Node):
    """Keeps everything that the camera says, by topic and stamp."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.heard: dict[str, dict[int, Any]] = {topic: {} for topic in TOPICS}
        for topic, kind in TOPICS.items():
            qos = QoSProfile(depth=100) if topic == "/tf" else qos_profile_sensor_data
            self.create_subscription(kind, topic, lambda message, topic=topic: self._keep(topic, message), qos)

    def _keep(self, topic: str, message: Any) -> None:
        header = message.transforms[0].header if topic == "/tf" else message.header
        self.heard[topic][stamp_ns(header.stamp)] = message

    def stamps_of(self, *topics: str) -> list[int]:
        """Stamps heard on all of these topics, in order."""
        return sorted(set.intersection(*(set(self.heard[topic]) for topic in topics)))


@pytest.fixture
def spin() -> Iterator[Callable[..., None]]:
    """Spins nodes until a condition holds."""
    rclpy.init()
    nodes: list[Node] = []
    executor = SingleThreadedExecutor()

    def until(condition: Callable[[], bool], *more: Node, limit_s: float = 60.0) -> None:
        for node in more:
            if node not in nodes:
                nodes.append(node)
                executor.add_node(node)
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, "the condition never held"
            executor.spin_once(timeout_sec=0.1)

    yield until
    for node in nodes:
        node.destroy_node()
    executor.shutdown()
    rclpy.shutdown()


def with_parameters(kind: type[Node], monkeypatch: pytest.MonkeyPatch, **values: Any) -> Node:
    """A node as if started with ``-p name:=value``."""
    original = Node.__init__
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    with monkeypatch.context() as patch:
        patch.setattr(Node, "__init__", lambda self, name: original(self, name, parameter_overrides=overrides))
        return kind()


SMALL = {"frames": 2, "width": 160, "height": 120, "workers": 1, "rate_hz": 20.0}


def test_all_topics_of_a_frame_carry_one_stamp_and_agree(spin, monkeypatch: pytest.MonkeyPatch) -> None:
    listener, camera = Listener(), with_parameters(SyntheticCamera, monkeypatch, seed=3, **SMALL)
    spin(lambda: len(listener.stamps_of(*TOPICS)) >= 3, listener, camera)
    stamp = listener.stamps_of(*TOPICS)[-1]
    color, depth, info, labels, truth, tf = (listener.heard[topic][stamp] for topic in TOPICS)
    frame = read_frame(FrameMessages(color, depth, info, labels), NAMES)
    assert (frame.frame_id, frame.stamp_ns) == ("camera_color_optical_frame", stamp)
    assert (
        frame.depth.shape == (120, 160)
        and not np.isinf(frame.depth).any()
        and (frame.depth[frame.depth == 0]).size == 0
    )
    transform = tf.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("world", frame.frame_id)
    assert truth.header == color.header
    values = {int(v) for v in np.unique(frame.labels)} - {0}
    assert {int(d.id) for d in truth.detections} == values
    for detection in truth.detections:
        category, handle = (result.hypothesis for result in detection.results)
        assert NOCS_CATEGORIES[category.class_id].id == int(detection.id) // LABEL_BASE
        assert 0.0 < category.score <= 1.0
        assert handle.class_id == HANDLE_VISIBLE and handle.score in (0.0, 1.0)


def test_truth_lies_under_its_label(spin, monkeypatch: pytest.MonkeyPatch) -> None:
    listener, camera = Listener(), with_parameters(SyntheticCamera, monkeypatch, seed=3, **SMALL)
    spin(lambda: bool(listener.stamps_of(*TOPICS)), listener, camera)
    stamp = listener.stamps_of(*TOPICS)[0]
    color, depth, info, labels, truth, tf = (listener.heard[topic][stamp] for topic in TOPICS)
    frame = read_frame(FrameMessages(color, depth, info, labels), NAMES)
    checked = 0
    for detection in truth.detections:
        p, s = detection.bbox.center.position, detection.bbox.size
        mask = frame.labels == int(detection.id)
        if detection.results[0].hypothesis.score < 0.9 or mask.sum() < 30:
            continue
        rows, columns = np.nonzero(mask)
        u, v = project(np.array([[p.x, p.y, p.z]]), frame.intrinsics)[0]
        assert columns.min() - 3 <= u <= columns.max() + 3 and rows.min() - 3 <= v <= rows.max() + 3
        near = np.nanmedian(frame.depth[mask])
        assert abs(near - p.z) <= np.linalg.norm([s.x, s.y, s.z])
        checked += 1
    assert checked >= 3
    # the world's z is up: the table's middle lies in front of the camera
    t, q = tf.transforms[0].transform.translation, tf.transforms[0].transform.rotation
    T_world_camera = make_transform(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])
    assert T_world_camera[2, 3] > 0.2 and (T_world_camera[:3, :3] @ [0.0, 0.0, 1.0])[2] < 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, value in enumerate((40, 200)):
        cv2.imwrite(str(tmp_path / f"{index}-color.png"), np.full((48, 64, 3), value, np.uint8))
        cv2.imwrite(str(tmp_path / f"{index}-depth.png"), np.full((48, 64), 1000 + index, np.uint16))
    (tmp_path / "camera.json").write_text(json.dumps({"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0}))
    return tmp_path


def test_a_folder_is_played_in_order_held_and_looped(spin, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    listener = Listener()
    player = with_parameters(RgbdPlayer, monkeypatch, folder=str(folder), rate_hz=40.0, hold_s=0.05)
    inputs = list(TOPICS)[:3]
    spin(lambda: len(listener.stamps_of(*inputs)) >= 9, listener, player)
    frames = [
        read_frame(FrameMessages(*(listener.heard[t][s] for t in inputs)), NAMES) for s in listener.stamps_of(*inputs)
    ]
    levels = [int(frame.rgb[0, 0, 0]) for frame in frames]
    assert {40, 200} == set(levels)
    assert all(np.allclose(f.depth, 1.0 if level == 40 else 1.001) for f, level in zip(frames, levels, strict=True))
    changes = sum(a != b for a, b in itertools.pairwise(levels))
    assert 2 <= changes < len(levels) - 1, (
        "frames are held for two periods, then the next comes, and the first after the last"
    )


def test_the_player_stops_after_the_last_frame_where_it_shall_not_loop(spin, monkeypatch, folder: Path) -> None:
    listener = Listener()
    player = with_parameters(RgbdPlayer, monkeypatch, folder=str(folder), rate_hz=40.0, loop=False)
    spin(lambda: player.finished, listener, player)
    assert player.published == 2


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, ConfigError, "folder"),
        ({"folder": "/nowhere"}, DataError, "/nowhere"),
        ({"rate_hz": 0.0}, ConfigError, "rate_hz"),
    ],
)
def test_a_wrong_parameter_is_named(spin, monkeypatch, values: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        with_parameters(RgbdPlayer, monkeypatch, **values)
