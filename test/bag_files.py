"""Recordings that tests write: messages of a camera in every storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2

from clipose_ros.data.bags.message_types import COMPRESSED, DETECTIONS, IMAGE, INFO, TRANSFORMS, type_store
from clipose_ros.types import CameraIntrinsics, RgbdFrame

COLOR, DEPTH, CAMERA_INFO = "/camera/color/image_raw", "/camera/aligned_depth/image_raw", "/camera/color/camera_info"
LABELS, TRUTH = "/segmentation/labels", "/truth/detections"
FRAME = "camera_color_optical_frame"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 33_333_333
STORAGES = ("mcap", "mcap-zstd", "sqlite3", "sqlite3-zstd", "ros1", "ros1-bz2", "ros1-lz4")


@dataclass(frozen=True)
class Item:
    """One message of a recording."""

    topic: str
    kind: str
    log_ns: int
    message: object


class Messages:
    """Maker of the messages of one encoding, ``cdr`` or ``ros1``."""

    def __init__(self, encoding: str = "cdr") -> None:
        self.encoding, self.store = encoding, type_store(encoding)

    def make(self, kind: str, **fields: object) -> object:
        return self.store.types[kind](**fields)

    def header(self, stamp_ns: int, frame_id: str = FRAME) -> object:
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        stamp = self.make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        more = {"seq": 0} if self.encoding == "ros1" else {}
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id, **more)

    def image(self, pixels: np.ndarray, encoding: str, header: object, **changes: object) -> object:
        wire = np.ascontiguousarray(pixels)
        step = wire.nbytes // wire.shape[0]
        fields = {
            "header": header, "height": wire.shape[0], "width": wire.shape[1], "encoding": encoding, "is_bigendian": 0,
            "step": step, "data": wire.view(np.uint8).ravel(),
        }  # fmt: skip
        return self.make(IMAGE, **fields | changes)

    def compressed(self, data: bytes, kind: str, header: object) -> object:
        return self.make(COMPRESSED, header=header, format=kind, data=np.frombuffer(data, np.uint8))

    def png(self, rgb: np.ndarray, header: object) -> object:
        return self.compressed(cv2.imencode(".png", rgb[..., ::-1])[1].tobytes(), "rgb8; png compressed bgr8", header)

    def compressed_depth(self, millimetres: np.ndarray, header: object) -> object:
        data = bytes(12) + cv2.imencode(".png", millimetres)[1].tobytes()
        return self.compressed(data, "16UC1; compressedDepth png", header)

    def info(self, camera: CameraIntrinsics, header: object, d: Sequence[float] = ()) -> object:
        roi = self.make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        names = dict(zip("dkrp", "DKRP" if self.encoding == "ros1" else "dkrp", strict=True))
        matrices = {
            names["d"]: np.array(d, np.float64),
            names["k"]: camera.K.ravel(),
            names["r"]: np.eye(3).ravel(),
            names["p"]: np.hstack([camera.K, np.zeros((3, 1))]).ravel(),
        }
        return self.make(
            INFO, header=header, height=camera.height, width=camera.width, distortion_model="plumb_bob", binning_x=0,
            binning_y=0, roi=roi, **matrices,
        )  # fmt: skip

    def transform(self, parent: str, child: str, stamp_ns: int, xyz: Sequence[float], quat: Sequence[float]) -> object:
        moved = self.make("geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, xyz), strict=True)))
        turned = self.make("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", map(float, quat), strict=True)))
        both = self.make("geometry_msgs/msg/Transform", translation=moved, rotation=turned)
        stamped = self.make(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(stamp_ns, parent),
            child_frame_id=child,
            transform=both,
        )
        return self.make(TRANSFORMS[0], transforms=[stamped])

    def truth(self, header: object, category: str, xyz: Sequence[float]) -> object:
        """Return the true pose of one object, upright in the camera frame."""
        position = self.make("geometry_msgs/msg/Point", **dict(zip("xyz", map(float, xyz), strict=True)))
        upright = self.make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        pose = self.make("geometry_msgs/msg/Pose", position=position, orientation=upright)
        with_covariance = self.make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
        hypothesis = self.make("vision_msgs/msg/ObjectHypothesis", class_id=category, score=1.0)
        result = self.make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=with_covariance)
        size = self.make("geometry_msgs/msg/Vector3", x=0.1, y=0.1, z=0.1)
        box = self.make("vision_msgs/msg/BoundingBox3D", center=pose, size=size)
        item = self.make("vision_msgs/msg/Detection3D", header=header, results=[result], bbox=box, id="1")
        return self.make(DETECTIONS, header=header, detections=[item])

    def encode(self, item: Item) -> memoryview:
        if self.encoding == "ros1":
            return self.store.serialize_ros1(item.message, item.kind)
        return self.store.serialize_cdr(item.message, item.kind)

    def camera(self, frame: RgbdFrame, d: Sequence[float] = ()) -> list[Item]:
        """Return the messages of a frame: raw colour, depth in metres, calibration."""
        header, log_ns = self.header(frame.stamp_ns, frame.frame_id or FRAME), frame.stamp_ns + 1000
        return [
            Item(CAMERA_INFO, INFO, log_ns, self.info(frame.intrinsics, header, d)),
            Item(COLOR, IMAGE, log_ns + 1, self.image(frame.rgb, "rgb8", header)),
            Item(DEPTH, IMAGE, log_ns + 2, self.image(frame.depth, "32FC1", header)),
        ]


MUG, BOWL = 6001, 2001
"""Values of a label image."""


def scene(stamp_ns: int) -> RgbdFrame:
    """Return a frame of a mug and a bowl, each a block of depth in front of a wall, in whole millimetres."""
    depth = np.full((120, 160), 2000, np.uint16)
    labels = np.zeros((120, 160), np.uint16)
    rgb = np.full((120, 160, 3), 90, np.uint8)
    for value, left, right, depth_mm in ((MUG, 20, 50, 500), (BOWL, 90, 130, 800)):
        place = np.s_[30:80, left:right]
        depth[place] = depth_mm + np.arange(50)[:, None]
        labels[place] = value
        rgb[place] = (value % 200, 200, 50)
    camera = CameraIntrinsics(120.0, 120.0, 79.5, 59.5, 160, 120)
    return RgbdFrame(rgb, depth * np.float32(1e-3), camera, stamp_ns, FRAME, labels)


def scene_items(count: int, *, truths: bool = True, world: bool = True) -> list[Item]:
    """Return the messages of frames of ``scene``, with labels, true poses of the mug, and the camera's way."""
    makers, items = Messages(), []
    for number in range(count):
        frame = scene(START_NS + number * STEP_NS)
        header = makers.header(frame.stamp_ns)
        items += makers.camera(frame)
        items.append(Item(LABELS, IMAGE, frame.stamp_ns + 9, makers.image(frame.labels, "16UC1", header)))
        if truths:
            items.append(Item(TRUTH, DETECTIONS, frame.stamp_ns + 9, makers.truth(header, "mug", (-0.2, 0.0, 0.52))))
        if world:
            way = makers.transform("world", FRAME, frame.stamp_ns, (0.001 * number, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0))
            items.append(Item("/tf", TRANSFORMS[0], frame.stamp_ns, way))
    return items


def make_frames(count: int, width: int = 24, height: int = 16, seed: int = 0) -> list[RgbdFrame]:
    """Return frames of random colour and depth."""
    rng = np.random.default_rng(seed)
    camera = CameraIntrinsics(22.0, 22.5, width / 2 - 0.5, height / 2 - 0.5, width, height)
    return [
        RgbdFrame(
            rng.integers(0, 256, (height, width, 3)).astype(np.uint8),
            rng.uniform(0.5, 2.0, (height, width)).astype(np.float32),
            camera,
            START_NS + number * STEP_NS,
            FRAME,
        )
        for number in range(count)
    ]


def write_bag(path: Path, items: Iterable[Item], storage: str = "mcap") -> Path:
    """Write messages in a storage of ``STORAGES``; return the folder, or the file of ROS 1."""
    plugin, _, packed = storage.partition("-")
    if plugin == "ros1":
        return _write_ros1(path, items, packed)
    writer = Writer2(path, version=8, storage_plugin=StoragePlugin[plugin.upper()])
    if packed:
        mode = CompressionMode.STORAGE if plugin == "mcap" else CompressionMode.MESSAGE
        writer.set_compression(mode, CompressionFormat.ZSTD)
    makers, connections = Messages(), {}
    with writer:
        for item in items:
            key = item.topic, item.kind
            if key not in connections:
                connections[key] = writer.add_connection(item.topic, item.kind, typestore=makers.store)
            writer.write(connections[key], item.log_ns, makers.encode(item))
    return path


def _write_ros1(path: Path, items: Iterable[Item], packed: str) -> Path:
    path = path.with_suffix(".bag")
    writer = Writer1(path)
    if packed:
        writer.set_compression(Writer1.CompressionFormat[packed.upper()])
    makers, connections = Messages("ros1"), {}
    with writer:
        for item in items:
            key = item.topic, item.kind
            if key not in connections:
                connections[key] = writer.add_connection(item.topic, item.kind, typestore=makers.store)
            writer.write(connections[key], item.log_ns, makers.encode(item))
    return path


def camera_bag(path: Path, frames: Iterable[RgbdFrame], storage: str = "mcap") -> Path:
    """Write the camera messages of frames."""
    makers = Messages("ros1" if storage.startswith("ros1") else "cdr")
    return write_bag(path, (item for frame in frames for item in makers.camera(frame)), storage)


def the_file(bag: Path) -> Path:
    """Return the only storage file of a recording."""
    if bag.is_file():
        return bag
    (file,) = [entry for entry in bag.iterdir() if entry.suffix in (".mcap", ".db3")]
    return file
