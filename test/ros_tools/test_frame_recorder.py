"""The recorder over DDS: the frames of a camera are in the folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rclpy

from clipose_ros.cli.record_frames import main
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros_tools.camera_publisher import CameraPublisher, camera_messages
from clipose_ros.ros_tools.frame_recorder import FrameRecorder, RecordingConfig
from clipose_ros.types import CameraIntrinsics, RgbdFrame

SECOND = 1_000_000_000


class Camera:
    """Camera whose images are all different: the grey level counts the frames, every third is sharp."""

    def __init__(self, step_ns: int, namespace: str = "", spoil: Callable[[int], bool] = lambda number: False) -> None:
        self.node, self.sent = rclpy.create_node("camera", namespace=namespace), 0
        self._step_ns, self._spoil = step_ns, spoil
        self._publisher = CameraPublisher(self.node, with_labels=False)
        self.node.create_timer(0.02, self.publish)

    def publish(self) -> None:
        self.sent += 1
        rgb = np.full((48, 64, 3), self.sent % 200, np.uint8)
        if self.sent % 3 == 0:
            rgb[::2, ::2] = 255
        frame = RgbdFrame(
            rgb,
            np.full((48, 64), 0.5 + 0.001 * self.sent, np.float32),
            CameraIntrinsics(60.0, 61.0, 31.5, 23.5, 64, 48),
            frame_id="camera_optical",
        )
        messages = camera_messages(frame)
        if self._spoil(self.sent):
            messages.color.encoding = "unknown"
        messages.header.stamp = ros_stamp(100 * SECOND + self.sent * self._step_ns)
        self._publisher.publish(messages)


def test_the_sharpest_frame_of_each_interval_is_recorded(spin, tmp_path: Path) -> None:
    camera, finished = Camera(SECOND // 10), []
    writer = RgbdFolderWriter(tmp_path / "frames")
    recorder = FrameRecorder(writer, RecordingConfig(every_s=0.5, count=3), lambda: finished.append(writer.written))
    spin(lambda: finished, camera.node, recorder)
    # Frames that arrive after the last one are not written.
    sent = camera.sent
    spin(lambda: camera.sent > sent + 10)
    assert finished == [3] and writer.written == 3
    folder = open_rgbd_folder(tmp_path / "frames")
    assert len(folder) == 3 and folder.intrinsics == CameraIntrinsics(60.0, 61.0, 31.5, 23.5, 64, 48)
    for index in range(3):
        frame = folder.read(index)
        number = int(frame.rgb[1, 1, 0])
        assert number % 3 == 0 and frame.rgb[0, 0, 0] == 255
        np.testing.assert_allclose(frame.depth, 0.5 + 0.001 * number, atol=1e-6)


def test_frames_that_cannot_be_used_are_left_out(spin, tmp_path: Path) -> None:
    camera = Camera(SECOND // 10, spoil=lambda number: number % 2 == 1)
    writer, finished = RgbdFolderWriter(tmp_path), []
    recorder = FrameRecorder(writer, RecordingConfig(every_s=0.0, count=3), lambda: finished.append(True))
    spin(lambda: finished, camera.node, recorder)
    folder = open_rgbd_folder(tmp_path)
    assert all(int(folder.read(index).rgb[1, 1, 0]) % 2 == 0 for index in range(3))


def test_the_command_ends_at_ctrl_c_with_complete_frames(own_domain: int, spin, tmp_path: Path) -> None:
    camera, out = Camera(SECOND // 10, namespace="robot"), tmp_path / "frames"
    command = [sys.executable, "-m", "clipose_ros.cli.record_frames", "--out", str(out), "--every", "0"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [*command, "--ros-args", "-r", "__ns:=/robot"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        spin(lambda: len(list(out.glob("*-color.png"))) >= 3 or process.poll() is not None, camera.node)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60.0)
    finally:
        process.kill()
    assert process.returncode == 0
    number = len(open_rgbd_folder(out))
    assert f"{number} frames written to '{out}'" in printed
    assert {path.name for path in out.iterdir()} == {"camera.json"} | {
        f"{index:06d}-{kind}.png" for index in range(number) for kind in ("color", "depth")
    }


@pytest.mark.parametrize("options", [["--every", "-1"], ["--every", "nan"], ["--count", "0"], []])
def test_the_command_refuses_impossible_options(tmp_path: Path, options: list[str]) -> None:
    given = ["--out", str(tmp_path / "new"), *options] if options else []
    with pytest.raises(SystemExit) as leaving:
        main(given)
    assert leaving.value.code == 2 and not (tmp_path / "new").exists()
