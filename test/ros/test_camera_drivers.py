"""Fake drivers over DDS: topics, encodings, frames, calibration and QoS as in the sources of the real ones.

A driver is accepted if both objects of the scene are posed. What is doubtful about it must be said with the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from clipose_ros.ros.conversions import image_message

FRAME_NS = 33_000_000
LENS = (-0.05, 0.06, 0.001, -0.0005, -0.02, 0.01, 0.0, 0.0)
"""Rational polynomial: k1, k2, p1, p2, k3 to k6."""


@dataclass(frozen=True)
class Driver:
    """What a driver publishes; all of them are reliable with a queue of 10.

    Attributes:
        color: Topic of the colour image.
        info: Topic of the calibration.
        depth: Topic of the registered depth image.
        encodings: Encodings of colour and depth.
        frame_id: Frame of all messages.
        model: Distortion model.
        d: Coefficients of the model.
        depth_frame: Frame of the depth image; empty for that of all messages.
        labels: Topic and values of a 32SC1 label image by the values of the scene; None for the scene's own.
        settings: Parameters of the node.
    """

    color: str
    info: str
    depth: str
    encodings: tuple[str, str]
    frame_id: str
    model: str = "plumb_bob"
    d: tuple[float, ...] = (0.0,) * 5
    depth_frame: str = ""
    labels: tuple[str, dict[int, int]] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


ZED = Driver(
    "/zed/zed_node/rgb/color/rect/image",
    "/zed/zed_node/rgb/color/rect/camera_info",
    "/zed/zed_node/depth/depth_registered",
    ("bgra8", "32FC1"),
    "zed_left_camera_frame_optical",
    "rational_polynomial",
    (0.0,) * 8,
)
OAK = Driver(
    "/oak/rgb/image_rect",
    "/oak/stereo/camera_info",
    "/oak/stereo/image_raw",
    ("bgr8", "16UC1"),
    "oak_rgb_camera_optical_frame",
    "rational_polynomial",
    (0.0,) * 8,
)
GAZEBO = Driver(
    "/rgbd_camera/image",
    "/rgbd_camera/camera_info",
    "/rgbd_camera/depth_image",
    ("rgb8", "32FC1"),
    "rgbd_camera_optical_frame",
)
ISAAC = Driver(
    "/rgb",
    "/camera_info",
    "/depth",
    ("rgb8", "32FC1"),
    "camera_optical_frame",
    labels=("/instance_segmentation", {6001: 7, 2001: 70_000, 0: 1}),
    settings={"segmentation__label_ids": ["7:mug", "70000:bowl"]},
)

ACCEPTED = {
    "zed": ZED,
    "zed_until_5_0": replace(
        ZED,
        color="/zed/zed_node/rgb/image_rect_color",
        info="/zed/zed_node/rgb/camera_info",
        frame_id="zed_left_camera_optical_frame",
    ),
    "zed_openni": replace(ZED, encodings=("bgra8", "mono16")),
    "zed_mini": replace(ZED, model="equidistant", d=(0.0,) * 4),
    "oak": OAK,
    "gazebo": GAZEBO,
    "isaac": ISAAC,
}
DOUBTED = {
    "gazebo_default_frame": (
        replace(GAZEBO, frame_id="rgbd_camera/link/rgbd_camera"),
        ["'rgbd_camera/link/rgbd_camera'", "no optical frame", "set the camera's optical frame"],
    ),
    "isaac_default_frame": (
        replace(ISAAC, frame_id="sim_camera"),
        ["'sim_camera'", "no optical frame", "set the camera's optical frame"],
    ),
    "oak_info_of_the_distorted_image": (
        replace(OAK, info="/oak/rgb/camera_info", d=LENS),
        ["'/oak/rgb/camera_info'", "'/oak/stereo/image_raw' is rectified here", "sync.rectify to never"],
    ),
}
REFUSED = {
    "oak_depth_not_aligned": (
        replace(OAK, depth_frame="oak_right_camera_optical_frame"),
        ["'/oak/stereo/image_raw'", "oak_right_camera_optical_frame", "registered"],
    ),
    "isaac_labels_without_table": (
        replace(ISAAC, settings={}),
        ["'/instance_segmentation'", "got 1, 7, 70000", "segmentation.label_ids"],
    ),
}


def pixels(message: Image, kind: str, channels: int = 1) -> np.ndarray:
    return np.frombuffer(message.data, kind).reshape(message.height, message.width, channels)


def as_published(driver: Driver, messages: dict[str, Any]) -> dict[str, Any]:
    """The scene (rgb8, 16UC1, 16UC1) as the driver publishes it."""
    color, depth, labels, info = (messages[name] for name in ("color", "depth", "labels", "info"))
    for message in messages.values():
        message.header.frame_id = driver.frame_id
    rgb, depth_mm = pixels(color, "u1", 3), pixels(depth, "<u2")[..., 0]
    if driver.encodings[0] != "rgb8":
        bgr = rgb[..., ::-1]
        four = driver.encodings[0] == "bgra8"
        image = np.dstack([bgr, np.full(bgr.shape[:2], 255, np.uint8)]) if four else np.ascontiguousarray(bgr)
        color = image_message(image, driver.encodings[0], color.header)
    metric = np.where(depth_mm > 1900, np.inf, depth_mm * 1e-3)  # simulators and the ZED give infinity beyond range
    depth = image_message(metric if driver.encodings[1] == "32FC1" else depth_mm, driver.encodings[1], depth.header)
    depth.header.frame_id = driver.depth_frame or driver.frame_id
    info.distortion_model, info.d = driver.model, list(driver.d)
    if driver.labels is not None:
        values = np.vectorize(driver.labels[1].__getitem__, otypes=[np.int32])(pixels(labels, "<u2")[..., 0])
        labels = image_message(values, "32SC1", labels.header)
    return {"color": color, "depth": depth, "info": info, "labels": labels}


def run(driver: Driver, ros: Any, camera: Any, start_node: Any) -> tuple[Any, Any]:
    """The node on the driver's topics, and what publishes the next frame once every topic is subscribed to."""
    topics = {"color": driver.color, "depth": driver.depth, "info": driver.info, "labels": "/segmentation/labels"}
    if driver.labels is not None:
        topics["labels"] = driver.labels[0]
    qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
    publishers = {
        name: ros.node.create_publisher(CameraInfo if name == "info" else Image, topic, qos)
        for name, topic in topics.items()
    }
    names = ("rgb/image_rect_color", "depth_registered/image_rect", "rgb/camera_info", "segmentation/labels")
    node = start_node(remappings=dict(zip(names, topics.values(), strict=True)), **driver.settings)
    ros.wait_for(lambda: all(p.get_subscription_count() for p in publishers.values()), "the subscriptions")

    def send() -> None:
        camera.stamp_ns += FRAME_NS
        for name, message in as_published(driver, camera.scene()).items():
            publishers[name].publish(message)

    return node, send


def has_both(node: Any) -> bool:
    return any({d.results[0].hypothesis.class_id for d in m.detections} == {"mug", "bowl"} for m in node.detections)


@pytest.mark.parametrize("name", ACCEPTED)
def test_images_of_the_driver_are_posed_without_a_word(ros, camera, start_node, capfd, name):
    node, send = run(ACCEPTED[name], ros, camera, start_node)
    ros.wait_for(lambda: has_both(node), "both objects", send)
    driver, log = ACCEPTED[name], capfd.readouterr().err.splitlines()
    names = (driver.color, driver.info, driver.depth, driver.frame_id)
    assert not [line for line in log if "[WARN]" in line and any(f"'{each}'" in line for each in names)]


@pytest.mark.parametrize("name", DOUBTED)
def test_what_is_doubtful_is_posed_and_told_with_its_remedy(ros, camera, start_node, capfd, name):
    driver, words = DOUBTED[name]
    node, send = run(driver, ros, camera, start_node)
    ros.wait_for(lambda: has_both(node), "both objects", send)
    log = capfd.readouterr().err
    assert any(all(word in line for word in words) for line in log.splitlines()), log


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_posed_is_refused_with_its_remedy(ros, camera, start_node, name):
    driver, words = REFUSED[name]
    node, send = run(driver, ros, camera, start_node)
    ros.wait_for(lambda: all(word in node.value("last_problem") for word in words), "the remedy", send)
    assert not any(m.detections for m in node.detections)
