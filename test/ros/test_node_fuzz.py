"""Hostile messages and requests on every input, over DDS: the node lives, publishes finite values, and resumes."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import PoseArray, TransformStamped
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter as RclpyParameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from clipose_ros.config import PoseNodeConfig, config_fields

NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1e-45,
    1e-300,
    1e300,
    1.7e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    60.0,
    2.0**63,
]
COUNTS = [0, 1, 2, 15, 16, 160, 65535, 65536, 2**31 - 1, 2**32 - 1]
TEXTS = ["", "camera", "/camera", "c" * 300, "cam\nera\x1b[31m", "é☃💥", "..", "base", "%s%n", "{0}", "rgb8\x00"]
ENCODINGS = [
    "rgb8",
    "bgr8",
    "mono8",
    "16UC1",
    "32FC1",
    "mono16",
    "32SC1",
    "64FC1",
    "bayer_rggb8",
    "yuv422",
    "",
    "x" * 5000,
]
STAMPS = [(0, 0), (-(2**31), 2**32 - 1), (2**31 - 1, 2**32 - 1), (-1, 4_000_000_000), (0, 1), (5, 4_000_000_000)]
PATHS = [field.path for field in config_fields(PoseNodeConfig()) if field.live]


class Hostile:
    """Draws messages from a scene, with random fields spoilt."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, values: list[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def scene(self, scene: dict[str, Any]) -> None:
        """Spoil fields of a matched set."""
        rate = self.pick([0.02, 0.1, 0.3])
        for name, message in scene.items():
            if self.chance(rate):
                self._spoil_header(message.header)
            if name == "info":
                self._spoil_info(message, rate)
            else:
                self._spoil_image(message, rate)

    def _spoil_header(self, header: Header) -> None:
        if self.chance(0.5):
            header.frame_id = self.pick(TEXTS)
        else:
            header.stamp.sec, header.stamp.nanosec = self.pick(STAMPS)

    def _spoil_image(self, image: Image, rate: float) -> None:
        for name in ("step", "height", "width"):
            if self.chance(rate):
                setattr(image, name, self.pick(COUNTS))
        if self.chance(rate):
            image.encoding = self.pick(ENCODINGS)
        if self.chance(rate):
            image.is_bigendian = int(self.rng.integers(256))
        data = np.frombuffer(image.data, np.uint8).copy()
        if self.chance(rate):
            data = data[: int(self.rng.integers(len(data)))]
        if self.chance(rate):
            data[:] = np.frombuffer(self.rng.bytes(data.size), np.uint8)
        image.data = array.array("B", data.tobytes())

    def _spoil_info(self, info: CameraInfo, rate: float) -> None:
        for matrix in (info.p, info.k):
            for index in range(len(matrix)):
                if self.chance(0.3 * rate):
                    matrix[index] = self.pick(NUMBERS)
        for owner, name in ((info, "width"), (info, "binning_x"), (info.roi, "width"), (info.roi, "x_offset")):
            if self.chance(0.5 * rate):
                setattr(owner, name, self.pick(COUNTS))
        if self.chance(rate):
            info.d = [self.pick(NUMBERS) for _ in range(int(self.rng.integers(20)))]
            info.distortion_model = self.pick(TEXTS)

    def transforms(self, header: Header) -> TFMessage:
        stamped = TransformStamped(header=header, child_frame_id=self.pick([*TEXTS, "camera_optical"]))
        stamped.header.frame_id = self.pick(TEXTS)
        moved, turned = stamped.transform.translation, stamped.transform.rotation
        moved.x, moved.y, moved.z = (self.pick(NUMBERS) for _ in range(3))
        turned.x, turned.w = self.pick(NUMBERS), self.pick([1.0, *NUMBERS])
        return TFMessage(transforms=[stamped])

    def compressed(self, image: Image) -> CompressedImage:
        pixels = np.zeros((120, 160, 3), np.uint8)
        data = bytearray(cv2.imencode(self.pick([".png", ".jpg", ".bmp"]), pixels)[1].tobytes())
        for _ in range(int(self.rng.integers(4))):
            data[int(self.rng.integers(min(len(data), 60)))] = int(self.rng.integers(256))
        data = data[: int(self.rng.integers(len(data)))] if self.chance(0.2) else data
        return CompressedImage(header=image.header, format=self.pick(TEXTS), data=array.array("B", bytes(data)))

    def value(self) -> ParameterValue:
        return self.pick(
            [
                ParameterValue(type=255),
                ParameterValue(type=0),
                ParameterValue(type=1, bool_value=True),
                ParameterValue(type=2, integer_value=self.pick([0, -1, 64, 2**63 - 1, -(2**63)])),
                ParameterValue(type=3, double_value=self.pick(NUMBERS)),
                ParameterValue(type=4, string_value=self.pick([*TEXTS, "x" * 100_000])),
                ParameterValue(type=5),
                ParameterValue(type=8, double_array_value=[1.0, float("nan")]),
                ParameterValue(type=9, string_array_value=self.pick([[], [""], ["mug"], ["dog"] * 1000])),
            ]
        )


def numbers(message: Any) -> Iterator[float]:
    """Yield every floating-point number in a message."""
    if isinstance(message, PointCloud2):
        points = np.frombuffer(message.data, np.uint8).reshape(-1, 16)[:, :12]
        yield from np.ascontiguousarray(points).view("<f4").ravel().tolist()
    elif isinstance(message, float):
        yield message
    elif hasattr(message, "get_fields_and_field_types"):
        for name in message.get_fields_and_field_types():
            yield from numbers(getattr(message, name))
    elif isinstance(message, np.ndarray) or (isinstance(message, array.array) and message.typecode in "fd"):
        yield from map(float, message)
    elif isinstance(message, list):
        for item in message:
            yield from numbers(item)


def attack(ros: Any, camera: Any, hostile: Hostile, sets: int) -> None:
    """Send sets, transforms and requests, a valid set after every tenth, and wait for all replies."""
    tf, static = ros.node.create_publisher(TFMessage, "/tf", 10), ros.node.create_publisher(TFMessage, "/tf_static", 10)
    compressed = ros.node.create_publisher(CompressedImage, "rgb/image_rect_color/compressed", 10)
    services = {
        "set_parameters": SetParameters,
        "set_parameters_atomically": SetParametersAtomically,
        "enable": SetBool,
        "reset": Trigger,
        "get_state": GetState,
        "get_parameters": GetParameters,
        "change_state": ChangeState,
    }
    clients = {name: ros.node.create_client(kind, f"pose_node/{name}") for name, kind in services.items()}
    ros.wait_for(lambda: all(client.service_is_ready() for client in clients.values()), "the services")
    futures = []
    for number in range(sets):
        camera.send(hostile.scene)
        header = camera.scene()["info"].header
        hostile.pick([tf, static]).publish(hostile.transforms(header))
        compressed.publish(hostile.compressed(camera.scene()["color"]))
        camera.info.publish(serialize_message(camera.scene()["info"])[: int(hostile.rng.integers(300))])
        if number % 10 == 0:
            camera.send()
            name = hostile.pick(list(clients))
            request = services[name].Request()
            if name.startswith("set_parameters"):
                request.parameters = [Parameter(name=hostile.pick([*PATHS, *TEXTS]), value=hostile.value())]
            elif name == "enable":
                request.data = True
            elif name == "get_parameters":
                request.names = [hostile.pick([*PATHS, *TEXTS])]
            elif name == "change_state":
                request.transition.id = hostile.pick([0, 1, 8, 60, 97, 255])
            futures.append(clients[name].call_async(request))
        ros.executor.spin_once(timeout_sec=0.0)
        ros.wait_for(lambda: sum(not future.done() for future in futures) < 10, "replies")
    ros.wait_for(lambda: all(future.done() for future in futures), "all replies")


def restore_defaults(ros: Any) -> None:
    """Set the live numbers and switches to their defaults."""
    for field in config_fields(PoseNodeConfig()):
        if field.path in PATHS and isinstance(field.value, float | int):
            value = RclpyParameter(field.path, value=field.value).get_parameter_value()
            request = SetParameters.Request(parameters=[Parameter(name=field.path, value=value)])
            ros.call(SetParameters, "pose_node/set_parameters", request)


@pytest.mark.parametrize(
    ("seed", "sets", "settings"),
    [
        (1, 150, {}),
        (2, 150, {"tracking__frame": "base", "publish__target_frame": "base", "segmentation__every_n": 3}),
        (3, 150, {"sync__compressed": True}),
        pytest.param(4, 5000, {}, marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
    ],
)
def test_hostile_inputs_over_dds(ros, camera, start_node, capfd, seed, sets, settings):
    node = start_node(**settings)
    outputs = [(PoseArray, "poses"), (MarkerArray, "markers"), (PointCloud2, "object_cloud")]
    published = [node.detections, *(ros.listen(kind, f"pose_node/{topic}") for kind, topic in outputs)]
    attack(ros, camera, Hostile(seed), sets)
    assert node.error is None and node.thread.is_alive()
    restore_defaults(ros)
    before = len(node.detections)
    if not settings:
        ros.wait_for(lambda: len(node.detections) > before, "poses of valid frames", camera.send)
    assert all(np.isfinite(value) for messages in published for message in messages for value in numbers(message))
    lines = capfd.readouterr().err.splitlines()
    assert max(map(len, lines), default=0) < 2000 and not any("\x1b" in line for line in lines)
