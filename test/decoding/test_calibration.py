"""Calibrations from CameraInfo: intrinsics, what is refused by name, what is rectified, and what is only doubted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from clipose_ros.decoding.calibration import CalibrationReader, read_intrinsics
from clipose_ros.errors import FrameError
from clipose_ros.ros.conversions import camera_info_message
from clipose_ros.types import CameraIntrinsics

TOPIC = "/camera/camera_info"
RAW = ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw")
RECTIFIED = ("/camera/color/image_rect_color", "/camera/depth_registered/image_rect")
D = [-0.2, 0.05, 0.001, -0.002, 0.0]


def camera_info(**changes) -> CameraInfo:
    message = camera_info_message(CameraIntrinsics(500.0, 510.0, 320.0, 240.0, 640, 480), Header(frame_id="camera"))
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def test_intrinsics_come_from_the_projection_matrix():
    assert read_intrinsics(camera_info(k=[0.0] * 9), TOPIC) == read_intrinsics(camera_info(), TOPIC)
    assert read_intrinsics(camera_info(), TOPIC) == CameraIntrinsics(500.0, 510.0, 320.0, 240.0, 640, 480)


def test_roi_shifts_and_binning_divides():
    message = camera_info(binning_x=2, binning_y=4)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 100, 40, 320, 240
    assert read_intrinsics(message, TOPIC) == CameraIntrinsics(250.0, 127.5, 110.0, 50.0, 160, 60)


@pytest.mark.parametrize("changes", [{"p": [0.0] * 12, "k": [0.0] * 9}, {"p": [float("nan")] * 12}])
def test_uncalibrated_camera_is_refused(changes):
    with pytest.raises(FrameError, match=f"'{TOPIC}'.*not calibrated"):
        read_intrinsics(camera_info(**changes), TOPIC)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p": [500.0, 0.0, float("nan"), *[0.0] * 9]}, "not finite.*P.*nan"),
        ({"p": [float("inf"), *[0.0] * 11]}, "not finite.*P.*inf"),
        ({"binning_x": 2**31, "binning_y": 1}, "binning of 2147483648x1.*640x480"),
        ({"binning_y": 481}, "binning of 1x481.*640x480"),
    ],
)
def test_absurd_calibrations_are_called_by_their_name(changes, words):
    with pytest.raises(FrameError, match=f"'{TOPIC}'.*{words}"):
        read_intrinsics(camera_info(**changes), TOPIC)


def test_camera_without_a_size_is_refused():
    with pytest.raises(FrameError, match=f"'{TOPIC}'.*0x0 pixels"):
        read_intrinsics(camera_info(width=0, height=0), TOPIC)


def test_without_p_the_matrix_k_is_used_and_told_once():
    notes: list[str] = []
    reader = CalibrationReader(notify=notes.append)
    for _ in range(3):
        calibration = reader.read(camera_info(p=[0.0] * 12), TOPIC, RAW)
    assert calibration.intrinsics == CameraIntrinsics(500.0, 510.0, 320.0, 240.0, 640, 480)
    assert len(notes) == 1 and f"'{TOPIC}'" in notes[0] and "K is used" in notes[0]


def test_the_baseline_of_a_stereo_camera_changes_no_intrinsics():
    p = [float(value) for value in camera_info().p]
    p[3] = -60.0
    assert read_intrinsics(camera_info(p=p), TOPIC) == read_intrinsics(camera_info(), TOPIC)


@pytest.mark.parametrize("rectify", ["auto", "always", "never"])
@pytest.mark.parametrize(
    "color", [RAW[0], RECTIFIED[0], "/zed/rgb/color/rect/image", "/direct/image", "/a/image_rect/compressed"]
)
@pytest.mark.parametrize("depth", [RAW[1], RECTIFIED[1]])
@pytest.mark.parametrize("d", [[], [0.0] * 5, D])
def test_images_with_distortion_and_no_rect_in_their_name_are_rectified(rectify, color, depth, d):
    calibration = CalibrationReader(rectify).read(camera_info(d=d), TOPIC, (color, depth))
    named = {color: "/image_rect" in color or "/rect/" in color, depth: "rect" in depth}
    for topic, undistorter in ((color, calibration.color), (depth, calibration.depth)):
        assert (undistorter is not None) == (
            any(d) and (rectify == "always" or (rectify == "auto" and not named[topic]))
        ), topic


def test_tables_are_made_once_for_each_content():
    reader = CalibrationReader()
    first = reader.read(camera_info(d=D), TOPIC, RAW)
    assert reader.read(camera_info(d=D, header=Header(frame_id="later")), TOPIC, RAW) is first
    assert reader.read(camera_info(d=[0.1, *D[1:]]), TOPIC, RAW) is not first


def test_roi_and_binning_apply_to_k_as_to_p():
    message = camera_info(d=D, binning_x=2, binning_y=2)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 100, 40, 320, 240
    part = CalibrationReader().read(message, TOPIC, RAW).color
    whole = CalibrationReader().read(camera_info(d=D), TOPIC, RAW).color
    assert part is not None and whole is not None
    np.testing.assert_allclose(part.pixels * 2 + [100, 40], whole.pixels[40:280:2, 100:420:2], atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distortion_model": "inverse_brown_conrady"}, "inverse_brown_conrady.*not supported.*sync.rectify"),
        ({"distortion_model": "equidistant"}, "needs 4 finite.*sync.rectify"),
        ({"r": [0.99, 0.1, 0.0, -0.1, 0.99, 0.0, 0.0, 0.0, 1.0]}, "rotation R.*0.99.*stereo.*sync.rectify"),
        ({"k": [0.0] * 9}, "matrix K.*sync.rectify"),
    ],
)
def test_what_cannot_be_rectified_is_refused_by_name(changes, words):
    message = camera_info(**({"d": D} | changes))
    with pytest.raises(FrameError, match=f"'{TOPIC}'.*{words}"):
        CalibrationReader().read(message, TOPIC, RAW)
    assert CalibrationReader("never").read(message, TOPIC, RAW).color is None
    assert CalibrationReader().read(message, TOPIC, RECTIFIED).color is None


@given(
    st.floats(0.3, 3.0), st.floats(0.9, 1.1), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1),
    st.sampled_from([(640, 480), (1280, 720), (320, 240)]),
)  # fmt: skip
def test_plausible_calibrations_are_not_doubted(focal, aspect, right, down, size):
    width, height = size
    k = CameraIntrinsics(
        focal * width, focal * width * aspect, (0.5 + right) * width, (0.5 + down) * height, width, height
    )
    assert CalibrationReader().read(camera_info_message(k, Header()), TOPIC, RAW).warnings == ()


@pytest.mark.parametrize(
    ("intrinsics", "words"),
    [
        (
            CameraIntrinsics(900.0, 900.0, 640.0, 360.0, 640, 480),
            "principal point (640.0, 360.0), 342 pixels from the centre",
        ),
        (CameraIntrinsics(300.0, 300.0, 160.0, 120.0, 640, 480), "principal point (160.0, 120.0), 199 pixels"),
        (CameraIntrinsics(6000.0, 6000.0, 320.0, 240.0, 640, 480), "angle of view of 6 degrees"),
        (CameraIntrinsics(20.0, 20.0, 320.0, 240.0, 640, 480), "angle of view of 173 degrees"),
        (CameraIntrinsics(600.0, 300.0, 320.0, 240.0, 640, 480), "600.0 and 300.0, pixels that are far from square"),
    ],
)
def test_calibrations_of_another_camera_are_doubted_with_the_values(intrinsics, words):
    reader = CalibrationReader()
    reader.read(camera_info_message(intrinsics, Header()), TOPIC, RAW)
    (warning,) = reader.warnings
    assert warning.startswith(f"'{TOPIC}'") and words in warning and RAW[0] in warning
