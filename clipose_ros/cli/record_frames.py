"""``record_frames``: record colour, depth and calibration of a camera into a folder of RGB-D images.

Subscribes to the topics of the pose node: rgb/image_rect_color, depth_registered/image_rect and rgb/camera_info. Other
names are given by remapping, after --ros-args: -r rgb/image_rect_color:=/camera/color/image_raw.
The demo plays the folder (--input), and train_segmenter proposes masks for it.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import rclpy
from rclpy.utilities import remove_ros_args

from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.ros.node_process import run_node
from clipose_ros.ros_tools.frame_recorder import FrameRecorder, RecordingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command until Ctrl-C or ``--count`` frames, and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(remove_ros_args(given))
    writer = RgbdFolderWriter(options.out)
    config = RecordingConfig(options.every, options.count, options.compressed)
    status = run_node(partial(FrameRecorder, writer, config, rclpy.try_shutdown), given)
    print(f"{writer.written} frames written to '{options.out}'")
    if status == 0 and writer.written == 0:
        print("record_frames: no frame was recorded: compare the topics with `ros2 topic list`", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="record_frames", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="Write to this folder; an earlier recording is continued.",
    )
    add(
        "--every", type=_parse_interval, default=0.5, metavar="S",
        help="Write the sharpest frame of each interval of this length, seconds; 0 writes every frame (0.5).",
    )  # fmt: skip
    add("--count", type=_parse_count, default=0, metavar="N", help="Stop after this number of frames (at Ctrl-C).")
    add("--compressed", action="store_true", help="Subscribe to rgb/image_rect_color/compressed.")
    return parser


def _parse_interval(text: str) -> float:
    """Parse a time of 0 to 3600 seconds."""
    value = float(text)
    if not (math.isfinite(value) and 0.0 <= value <= 3600.0):
        raise argparse.ArgumentTypeError(f"expected 0 to 3600 seconds, got {text}")
    return value


def _parse_count(text: str) -> int:
    """Parse a number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
