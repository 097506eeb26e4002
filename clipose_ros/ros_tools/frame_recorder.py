"""Node that records RGB-D frames of a camera into a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node

from clipose_ros.config import SyncConfig
from clipose_ros.data.frame_selection import SharpestFrameSelector
from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import FrameMessages
from clipose_ros.errors import FrameError
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.inputs import InputCallbacks, InputSubscriptions

_CHECK_PERIOD_S = 1.0
"""Time between two checks for silent topics, seconds."""


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """Settings of a recording.

    Attributes:
        every_s: Interval of which the sharpest frame is written, seconds; 0 writes every frame.
        count: Number of frames after which the recording ends; 0 for no end.
        compressed: Subscribe to compressed colour images.
    """

    every_s: float = 0.5
    count: int = 0
    compressed: bool = False


class FrameRecorder(Node):
    """Recorder of the topics that the pose node subscribes to, with the same matching and rectification.

    Frames that cannot be used, and topics that are silent, are reported in the log.

    Args:
        writer: Writer of the folder.
        config: Settings.
        on_finished: Called after ``config.count`` frames.
    """

    def __init__(self, writer: RgbdFolderWriter, config: RecordingConfig, on_finished: Callable[[], object]) -> None:
        super().__init__("record_frames")
        self._writer, self._config, self._on_finished = writer, config, on_finished
        self._selector = SharpestFrameSelector(round(config.every_s * 1e9))
        self._diagnostics = NodeDiagnostics(self.get_logger())
        self._calibrations = CalibrationReader(notify=lambda text: self._diagnostics.hint("calibration", text))
        sync, callbacks = SyncConfig(compressed=config.compressed), InputCallbacks(self._on_set, lambda: None)
        self._inputs = InputSubscriptions(self, sync, "", callbacks, self._diagnostics)
        self.create_timer(_CHECK_PERIOD_S, self._inputs.check)
        topics = self._inputs.topics
        self.get_logger().info(f"recording '{topics.color}', '{topics.depth}', '{topics.info}' to '{writer.folder}'")

    def _on_set(self, messages: FrameMessages) -> None:
        """Convert a matched set and write the frame that the selector returns."""
        if self._is_finished():
            return
        try:
            frame = read_frame(messages, self._inputs.topics, self._calibrations)
        except FrameError as error:
            self._diagnostics.warning("frame", str(error))
            return
        selected = self._selector.add(frame)
        if selected is not None:
            path = self._writer.write(selected)
            self.get_logger().info(f"{self._writer.written}: {path.name}")
            if self._is_finished():
                self._on_finished()

    def _is_finished(self) -> bool:
        return 0 < self._config.count <= self._writer.written
