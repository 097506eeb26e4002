"""Warnings about frames that can be processed but are probably wrong: the unit of depth, the frame of the camera."""

from __future__ import annotations

from clipose_ros.decoding.messages import ImageMessage
from clipose_ros.errors import quoted
from clipose_ros.geometry.frame_checks import median_depth, points_up
from clipose_ros.types import FloatArray, RgbdFrame

_MAX_DEPTH_M = 50.0
"""Larger medians are of no RGB-D camera; 0.05 m in millimetres is as large."""
_MIN_DEPTH_M = 0.02
"""Smaller medians are of no RGB-D camera; 20 in metres read as millimetres is as small."""
_BODY_SUFFIXES = ("_link", "_frame", "base")
_OPTICAL_LINKS = ("rgb_camera_link", "depth_camera_link")
"""Optical frames of the Azure Kinect, whose driver does not name them so."""
_SIMULATED_CAMERA = "sim_camera"
"""Default frame of Isaac Sim. A camera of USD looks along -z."""
_SCOPE = "/"
"""Separator in the default frame of a sensor of Gazebo, ``model/link/sensor``, whose x axis points forward."""


def describe_depth_unit(message: ImageMessage, frame: RgbdFrame, topic: str) -> str | None:
    """Return a warning if depth is of another unit than its encoding determines; otherwise None."""
    median_m = median_depth(frame.depth)
    if message.encoding == "32FC1" and median_m > _MAX_DEPTH_M:
        seen, unit, meant = f"{median_m:.0f} m", "metres", "millimetres"
    elif message.encoding != "32FC1" and median_m < _MIN_DEPTH_M:
        seen, unit, meant = f"{1e3 * median_m:.3g} mm", "millimetres", "metres"
    else:
        return None
    return (
        f"'{topic}' has a median depth of {seen}: {message.encoding} is {unit}, but the values would make sense as "
        f"{meant}; let the driver publish 16UC1 in millimetres or 32FC1 in metres"
    )


def describe_shift(right: int, down: int, depth_topic: str, color_topic: str) -> str:
    """Return a warning about depth whose edges lie beside those of the colour image."""
    return (
        f"the edges of '{depth_topic}' lie {abs(right)} pixels {'right' if right >= 0 else 'left'} of and {abs(down)} "
        f"pixels {'below' if down >= 0 else 'above'} those of '{color_topic}': register depth to colour (align_depth, "
        "or depth_image_proc's register node), check the extrinsic calibration, and the stamps if the camera moves"
    )


def describe_camera_frame(frame_id: str) -> str | None:
    """Return a hint if a frame is that of a body by its name, or the default of a simulator; otherwise None."""
    is_default = frame_id == _SIMULATED_CAMERA or frame_id.count(_SCOPE) >= 2
    is_body = is_default or frame_id.endswith(_BODY_SUFFIXES)
    if "optical" in frame_id or frame_id in _OPTICAL_LINKS or not is_body:
        return None
    return (
        f"the images are in frame {quoted(frame_id)}, which by its name is no optical frame: poses are given with x "
        "right, y down, z forward (REP-103); if its axes differ, set the camera's optical frame as frame_id in the "
        "driver"
    )


def describe_camera_axes(frame_id: str, fixed_frame: str, T_fixed_camera: FloatArray) -> str | None:
    """Return a warning if the frame of the camera is no optical frame by its axes in TF; otherwise None."""
    if "optical" in frame_id or not points_up(T_fixed_camera):
        return None
    return (
        f"the z axis of the camera's frame {quoted(frame_id)} points upward in '{fixed_frame}': it is no optical frame "
        "(x right, y down, z forward), and all poses are turned; set the camera's optical frame as frame_id in the "
        "driver"
    )
