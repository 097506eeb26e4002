"""Player that publishes the camera of a recording as a live camera."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from rclpy.node import Node

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.bags.recording import RecordedFrame, Recording, open_recording
from clipose_ros.data.prefetch import prefetched
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.ros.node_process import declare_parameters, run_node
from clipose_ros.ros_tools.camera_publisher import CameraPublisher, camera_messages
from clipose_ros.types import RgbdFrame

DEFAULT_RATE_HZ = 30.0
_MIN_RATE_HZ, _MAX_RATE_HZ = 0.1, 120.0


@dataclass(frozen=True)
class BagPlayerConfig(ConfigNode):
    """Parameters of the player."""

    bag: str = option("", "Recording: an .mcap, .db3 or .bag file, or a folder.")
    rate_hz: float = option(
        0.0, "Images published per second; 0 for the rate of the recording.", low=0.0, high=_MAX_RATE_HZ
    )
    loop: bool = option(True, "Start again after the last frame.")


class BagPlayer(Node):
    """Player of a recording: publishes rectified colour, depth and camera_info, stamped with the present time.

    Frames that cannot be used are left out. Transforms are not published.

    Attributes:
        published: Number of publications.
        finished: True after the last frame if ``loop`` is off.

    Raises:
        ConfigError: A parameter has the wrong type or is out of its range, or no recording is given.
        DataError: The recording holds no frames.
    """

    def __init__(self) -> None:
        super().__init__("bag_player")
        self._config = declare_parameters(self, BagPlayerConfig)
        if not self._config.bag:
            raise ConfigError("parameter 'bag' must name a recording: -p bag:=/path/to/recording")
        recording = open_recording(self._config.bag, report=self._report)
        has_labels = recording.topics.labels is not None
        self.published, self.finished = 0, False
        self._camera = CameraPublisher(self, with_labels=has_labels)
        rate_hz = self._config.rate_hz or recorded_rate_hz(recording)
        self._stack = ExitStack()
        self._frames = self._stack.enter_context(prefetched(self._usable(recording, has_labels)))
        self._timer = self.create_timer(1.0 / rate_hz, self._publish_next)
        self.get_logger().info(f"playing '{self._config.bag}' at {rate_hz:.1f} Hz")

    def _report(self, text: str) -> None:
        self.get_logger().warning(text)

    def destroy_node(self) -> None:
        """End the thread that reads."""
        self._stack.close()
        super().destroy_node()

    def _usable(self, recording: Recording, with_labels: bool) -> Iterator[RgbdFrame]:
        """Yield the frames that can be used, without end if ``loop`` is on."""
        while True:
            count = 0
            for item in recording.frames(with_labels=with_labels):
                if item.frame is not None:
                    count += 1
                    yield item.frame
            if not count:
                raise DataError(f"'{recording.path}' has no usable frame: process it to see the reasons")
            if not self._config.loop:
                return

    def _publish_next(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            self.get_logger().info("all frames were played")
            self._timer.cancel()
            self.finished = True
            return
        messages = camera_messages(frame)
        messages.header.stamp = self.get_clock().now().to_msg()
        self.published += 1
        self._camera.publish(messages)


def recorded_rate_hz(recording: Recording) -> float:
    """Return the rate of the colour images of a recording, by its first ones."""
    stamps = [item.stamp_ns for item in _first(recording.frames(), 20)]
    steps = sorted(later - earlier for earlier, later in itertools.pairwise(stamps) if later > earlier)
    if not steps:
        return DEFAULT_RATE_HZ
    return min(max(1e9 / steps[len(steps) // 2], _MIN_RATE_HZ), _MAX_RATE_HZ)


def _first(items: Iterator[RecordedFrame], count: int) -> list[RecordedFrame]:
    return list(itertools.islice(items, count))


def main(arguments: list[str] | None = None) -> int:
    """Run the node."""
    return run_node(BagPlayer, arguments)


if __name__ == "__main__":
    sys.exit(main())
