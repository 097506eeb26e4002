"""Frames that can be processed but are probably wrong are told with the value seen and the remedy."""

from __future__ import annotations

import numpy as np
import pytest
from std_msgs.msg import Header

from clipose_ros.decoding.frame_checks import describe_camera_axes, describe_camera_frame, describe_depth_unit
from clipose_ros.decoding.images import read_depth
from clipose_ros.geometry.se3 import exp_so3, make_transform
from clipose_ros.ros.conversions import image_message
from clipose_ros.types import CameraIntrinsics, RgbdFrame

INTRINSICS = CameraIntrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)


def depth_unit(depth: np.ndarray, encoding: str) -> str | None:
    message = image_message(depth, encoding, Header())
    frame = RgbdFrame(np.zeros((48, 64, 3), np.uint8), read_depth(message, "/depth"), INTRINSICS)
    return describe_depth_unit(message, frame, "/depth")


@pytest.mark.parametrize("metres", [0.06, 0.3, 0.97, 4.0, 19.0])
def test_the_unit_of_depth_is_told_from_its_median(metres):
    depth = np.full((48, 64), metres)
    depth[:20] = np.nan
    assert depth_unit(depth, "32FC1") is None
    assert depth_unit(np.nan_to_num(1000 * depth), "16UC1") is None
    in_millimetres = depth_unit(1000 * depth, "32FC1")
    assert in_millimetres is not None and f"median depth of {1000 * metres:.0f} m: 32FC1 is metres" in in_millimetres
    assert "make sense as millimetres" in in_millimetres and "'/depth'" in in_millimetres
    if metres > 10.0:  # 16UC1 reads metres as millimetres: 20 mm and more could be a very near surface
        return
    in_metres = depth_unit(np.where(np.isnan(depth), 0.0, depth.round().clip(1)), "16UC1")
    assert in_metres is not None and f"{max(1, round(metres))} mm: 16UC1 is millimetres" in in_metres
    assert "make sense as metres" in in_metres


@pytest.mark.parametrize(
    "name",
    [
        "camera_link",
        "zed_left_camera_frame",
        "oak_rgb_camera_frame",
        "robot/base",
        "sim_camera",
        "rgbd_camera/link/rgbd_camera",
    ],
)
def test_frames_of_bodies_are_recognised_by_name(name):
    hint = describe_camera_frame(name)
    assert hint is not None and f"'{name}'" in hint and "optical frame" in hint


@pytest.mark.parametrize(
    "name", ["camera_color_optical_frame", "optical_camera_link", "rgb_camera_link", "camera", "camera_optical", ""]
)
def test_other_frames_are_not_doubted_by_name(name):
    assert describe_camera_frame(name) is None


def looking(down_deg: float, heading_deg: float, is_optical: bool) -> np.ndarray:
    """Pose of a camera in a frame whose z axis is up, from 90 degrees (straight down) to -30 (upward)."""
    body = exp_so3([0.0, 0.0, np.radians(heading_deg)]) @ exp_so3([0.0, np.radians(down_deg), 0.0])
    optical = body @ np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return make_transform(optical if is_optical else body, [0.5, 0.2, 1.0])


@pytest.mark.parametrize("heading_deg", [0.0, 77.0, -150.0])
@pytest.mark.parametrize("down_deg", [-30.0, 0.0, 20.0, 40.0])
def test_an_x_forward_frame_contradicts_gravity_and_an_optical_one_does_not(down_deg, heading_deg):
    assert describe_camera_axes("camera", "map", looking(down_deg, heading_deg, True)) is None
    turned = looking(down_deg, heading_deg, False)
    warning = describe_camera_axes("camera_link", "map", turned)
    assert warning is not None and "'camera_link' points upward in 'map'" in warning and "turned" in warning
    assert describe_camera_axes("camera_optical_frame", "map", turned) is None
