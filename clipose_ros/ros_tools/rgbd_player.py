"""Player that publishes a folder of RGB-D frames as a live camera."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rclpy.node import Node

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.errors import ConfigError
from clipose_ros.ros_tools.camera_publisher import CameraMessages, CameraPublisher, camera_messages, declared, run


@dataclass(frozen=True)
class RgbdPlayerConfig(ConfigNode):
    """The player's parameters."""

    folder: str = option(
        "", "Folder of colour PNGs, 16-bit depth PNGs and one intrinsics file; see clipose_ros.data.rgbd_folder."
    )
    rate_hz: float = option(15.0, "Images published per second.", low=0.1, high=120.0)
    hold_s: float = option(
        0.0,
        "Each frame is repeated for this long, as a camera that stands still would; 0 shows it once.",
        low=0.0,
        high=3600.0,
    )
    loop: bool = option(True, "Begin again after the last frame.")
    frame_id: str = option("camera_color_optical_frame", "TF frame of the images: x right, y down, z forward.")


class RgbdPlayer(Node):
    """Publishes colour, depth and camera_info under the names that the pose node listens to, stamped with now."""

    def __init__(self) -> None:
        super().__init__("rgbd_player")
        self._config = declared(self, RgbdPlayerConfig)
        if not self._config.folder:
            raise ConfigError("parameter 'folder' must name a folder of RGB-D frames: -p folder:=/path/to/frames")
        self._frames = open_rgbd_folder(self._config.folder)
        self._repeats = max(round(self._config.hold_s * self._config.rate_hz), 1)
        self._shown = 0
        self._current: CameraMessages | None = None
        self._camera = CameraPublisher(self, with_labels=False)
        self._timer = self.create_timer(1.0 / self._config.rate_hz, self._show)
        self.get_logger().info(
            f"playing {len(self._frames)} frames of '{self._config.folder}' at {self._config.rate_hz:g} Hz"
        )

    def _show(self) -> None:
        """Publish the present frame, or the next when it was shown for long enough."""
        index, repeat = divmod(self._shown, self._repeats)
        if index >= len(self._frames) and not self._config.loop:
            self.get_logger().info("all frames were played")
            self._timer.cancel()
            return
        if repeat == 0 or self._current is None:
            self._current = camera_messages(
                self._frames.read(index % len(self._frames), frame_id=self._config.frame_id)
            )
        self._shown += 1
        self._current.header.stamp = self.get_clock().now().to_msg()
        self._camera.publish(self._current)


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return run(RgbdPlayer, arguments)


if __name__ == "__main__":
    sys.exit(main())
