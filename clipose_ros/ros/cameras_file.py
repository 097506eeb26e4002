"""List of cameras for ``cameras.launch.py``: a YAML file with the topics of each camera."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clipose_ros.bounded_files import read_yaml
from clipose_ros.config import unknown_key_message
from clipose_ros.errors import ConfigError, UnreadableFileError, quoted
from clipose_ros.tracking.merging import MAX_CAMERAS

CAMERA_TOPICS = ("rgb_topic", "camera_info_topic", "depth_topic", "labels_topic", "detections_topic")
"""Topics of a camera; the first three are required."""
NODE_MB = 1050
"""Resident memory of a pose node with the shipped detector, MB (docs/reference/budgets.md)."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class CamerasFile:
    """Cameras and what they share.

    Attributes:
        frame: TF frame in which tracks are merged.
        params_file: Parameters of all pose nodes; empty for those of the shipped detector.
        cameras: Topics of each camera by name, which is also the namespace of its pose node.
    """

    frame: str
    params_file: str
    cameras: Mapping[str, Mapping[str, str]]

    def threads(self, cores: int) -> int:
        """Return the threads of the detector, and of the network, of each pose node.

        Both work at the same time, so each gets half of the cores of its camera, at least one.
        """
        return max(cores // (2 * len(self.cameras)), 1)

    def describe(self, cores: int) -> str:
        """Return what the nodes of the cameras use, for the log."""
        number = len(self.cameras)
        return (
            f"{number} pose nodes ({', '.join(self.cameras)}) share {cores} cores: {self.threads(cores)} threads each "
            f"for detector and network; together they need about {number * NODE_MB / 1000:.1f} GB of memory"
        )


def read_cameras_file(path: str | Path) -> CamerasFile:
    """Read a list of cameras.

    Raises:
        ConfigError: The file cannot be read, or a key or value is wrong; the message names the file and the key.
    """
    try:
        values = read_yaml(Path(path).expanduser())
        return _parse(values)
    except (UnreadableFileError, ConfigError) as error:
        raise ConfigError(f"cameras '{path}': {error}") from error


def _parse(values: object) -> CamerasFile:
    """Check plain values."""
    known = ["frame", "params_file", "cameras"]
    if not isinstance(values, Mapping):
        raise ConfigError(f"expected a mapping with {', '.join(known)}, got {quoted(values)}")
    for key in values:
        if key not in known:
            raise ConfigError(unknown_key_message(str(key), known))
    cameras = values.get("cameras")
    if not isinstance(cameras, Mapping) or not 0 < len(cameras) <= MAX_CAMERAS:
        raise ConfigError(f"'cameras' must name 1 to {MAX_CAMERAS} cameras with their topics, got {quoted(cameras)}")
    for key in ("frame", "params_file"):
        if not isinstance(values.get(key, ""), str):
            raise ConfigError(f"'{key}' must be a text, got {quoted(values[key])}")
    if not values.get("frame"):
        raise ConfigError("'frame' must name the TF frame in which tracks are merged, such as base_link")
    topics = {str(name): _parse_camera(str(name), each) for name, each in cameras.items()}
    return CamerasFile(values["frame"], values.get("params_file", ""), topics)


def _parse_camera(name: str, values: object) -> dict[str, str]:
    """Check the topics of a camera."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"the camera {quoted(name)} must be named by a letter, then letters, digits and _")
    if not isinstance(values, Mapping):
        raise ConfigError(f"camera '{name}' must have {', '.join(CAMERA_TOPICS[:3])}, got {quoted(values)}")
    for key, topic in values.items():
        if key not in CAMERA_TOPICS:
            raise ConfigError(
                unknown_key_message(f"cameras.{name}.{key}", [f"cameras.{name}.{k}" for k in CAMERA_TOPICS])
            )
        if not isinstance(topic, str) or not topic:
            raise ConfigError(f"'cameras.{name}.{key}' must be the name of a topic, got {quoted(topic)}")
    missing = [key for key in CAMERA_TOPICS[:3] if key not in values]
    if missing:
        raise ConfigError(f"camera '{name}' lacks {', '.join(missing)}")
    return {str(key): topic for key, topic in values.items()}
