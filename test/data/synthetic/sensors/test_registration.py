"""Registration of depth to a colour camera: identity, side and width of shadows, gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.sensors.registration import register_depth
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import CameraIntrinsics

SIZE = (60, 120)
NEAR, FAR = 0.6, 0.9


def camera(focal: float = 500.0, scale: float = 1.0) -> CameraIntrinsics:
    return CameraIntrinsics(
        focal * scale, focal * scale, 59.5 * scale, 29.5 * scale, round(120 * scale), round(60 * scale)
    )


def beside(x: float) -> np.ndarray:
    """Return the pose of a depth camera whose colour camera stands at x."""
    return make_transform(np.eye(3), np.array([-x, 0.0, 0.0]))


def strip() -> np.ndarray:
    """Return a near strip in columns 50 to 69 in front of a far plane."""
    depth = np.full(SIZE, FAR, np.float32)
    depth[:, 50:70] = NEAR
    return depth


def test_same_camera_gives_the_same_image_except_for_half_a_pixel_at_edges() -> None:
    registered = register_depth(strip(), camera(), camera(), np.eye(4))
    assert (registered > 0).all()
    np.testing.assert_allclose(registered[:, 52:68], NEAR)
    np.testing.assert_allclose(np.delete(registered, np.s_[48:72], axis=1), FAR)


@pytest.mark.parametrize("x", [-0.05, -0.02, 0.02, 0.05])
def test_shadow_has_the_width_of_the_parallax_on_the_side_of_the_colour_camera(x: float) -> None:
    registered = register_depth(strip(), camera(), camera(), beside(x))
    row = registered[30]
    near = np.flatnonzero(np.isclose(row, NEAR))
    width = 500.0 * abs(x) * (1 / NEAR - 1 / FAR)
    gap = row[near[0] - 30 : near[0]] if x < 0 else row[near[-1] + 1 : near[-1] + 31]
    other = row[near[-1] + 1 : near[-1] + 9] if x < 0 else row[near[0] - 8 : near[0]]
    assert (gap == 0).sum() == pytest.approx(width, abs=2.0)
    assert (other > 0).all(), "no shadow on the other side"
    assert near.mean() == pytest.approx(59.5 - 500.0 * x / NEAR, abs=1.0)


@given(scale=st.floats(0.4, 2.5), x=st.floats(-0.05, 0.05), tilt=st.floats(-0.5, 0.5))
@settings(max_examples=40, deadline=None)
def test_a_tilted_plane_has_no_gaps_and_keeps_its_depth(scale: float, x: float, tilt: float) -> None:
    """In the pixels of a colour camera that sees a part of the depth image."""
    u = (np.arange(120, dtype=np.float32) - 59.5) / 500.0
    depth = np.broadcast_to(0.8 / (1.0 - tilt * u), SIZE).astype(np.float32)
    colour = CameraIntrinsics(500.0 * scale, 500.0 * scale, 10.0, 10.0, 21, 21)
    middle = 500.0 * x / 0.8 * scale
    colour = CameraIntrinsics(colour.fx, colour.fy, 10.0 + middle, 10.0, 21, 21)
    registered = register_depth(depth, camera(), colour, beside(x))
    assert (registered > 0).all()
    assert np.abs(registered - 0.8).max() < 0.8 * 0.5 * 30 / 500 / min(scale, 1.0) + 0.01


def test_invalid_and_near_pixels_are_left_out() -> None:
    depth = np.zeros(SIZE, np.float32)
    depth[0, 0] = 0.01
    assert not register_depth(depth, camera(), camera(), np.eye(4)).any()
