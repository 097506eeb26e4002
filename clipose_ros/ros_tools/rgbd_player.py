"""Player that publishes a folder of RGB-D frames as a live camera."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rclpy.node import Node

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.errors import ConfigError
from clipose_ros.ros.node_process import declare_parameters, run_node
from clipose_ros.ros_tools.camera_publisher import (
    CameraMessages,
    CameraPublisher,
    camera_messages,
)


@dataclass(frozen=True)
class RgbdPlayerConfig(ConfigNode):
    """Parameters of the player."""

    folder: str = option(
        "", "Folder of colour PNGs, 16-bit depth PNGs and one intrinsics file; see clipose_ros.data.rgbd_folder."
    )
    rate_hz: float = option(15.0, "Images published per second.", low=0.1, high=120.0)
    hold_s: float = option(
        0.0,
        "Time for which each frame is repeated, seconds; 0 publishes it once.",
        low=0.0,
        high=3600.0,
    )
    loop: bool = option(True, "Start again after the last frame.")
    frame_id: str = option("camera_color_optical_frame", "TF frame of the images: x right, y down, z forward.")


class RgbdPlayer(Node):
    """Player of a folder: publishes colour, depth and camera_info at a steady rate, stamped with the present time.

    Attributes:
        published: Number of publications, repetitions included.
        finished: True after the last frame if ``loop`` is off.

    Raises:
        ConfigError: A parameter has the wrong type or is out of its range, or no folder is given.
        DataError: The folder holds no frames.
    """

    def __init__(self) -> None:
        super().__init__("rgbd_player")
        self._config = declare_parameters(self, RgbdPlayerConfig)
        if not self._config.folder:
            raise ConfigError("parameter 'folder' must name a folder of RGB-D frames: -p folder:=/path/to/frames")
        self._frames = open_rgbd_folder(self._config.folder)
        self._repeats = max(round(self._config.hold_s * self._config.rate_hz), 1)
        self.published, self.finished = 0, False
        self._current: CameraMessages | None = None
        self._camera = CameraPublisher(self, with_labels=False)
        self._timer = self.create_timer(1.0 / self._config.rate_hz, self._publish_next)
        self.get_logger().info(
            f"playing {len(self._frames)} frames of '{self._config.folder}' at {self._config.rate_hz:g} Hz"
        )

    def _publish_next(self) -> None:
        """Publish the current frame again, or the next one after ``hold_s``."""
        index, repeat = divmod(self.published, self._repeats)
        if index >= len(self._frames) and not self._config.loop:
            self.get_logger().info("all frames were played")
            self._timer.cancel()
            self.finished = True
            return
        # A frame is read and converted once; repetitions only get a new stamp.
        if repeat == 0 or self._current is None:
            self._current = camera_messages(
                self._frames.read(index % len(self._frames), frame_id=self._config.frame_id)
            )
        self.published += 1
        self._current.header.stamp = self.get_clock().now().to_msg()
        self._camera.publish(self._current)


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(RgbdPlayer, arguments)


if __name__ == "__main__":
    sys.exit(main())
