"""Clouds against scenes whose surfaces are known in closed form."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.config import CloudConfig
from clipose_ros.geometry.camera import project
from clipose_ros.inference.point_cloud import _depth_bounds, extract_cloud
from clipose_ros.types import CameraIntrinsics, InstanceMask, ObjectCloud, Rejection, RejectionReason, RgbdFrame

CAMERA = CameraIntrinsics(577.5, 577.5, 319.5, 239.5, 640, 480)
CONFIG = CloudConfig()


def frame_of(depth):
    return RgbdFrame(np.zeros((480, 640, 3), np.uint8), depth.astype(np.float32), CAMERA)


def square(x0, y0, width, height):
    return InstanceMask("bottle", 0.9, (x0, y0, x0 + width, y0 + height), np.ones((height, width), np.bool_))


def cloud_of(frame, instance, **changes):
    cloud = extract_cloud(frame, instance, dataclasses.replace(CONFIG, **changes))
    assert isinstance(cloud, ObjectCloud), cloud
    return cloud.points_camera.astype(np.float64)


def plane(depth_m=1.0):
    return np.full((480, 640), depth_m, np.float32)


def disc(radius_px):
    v, u = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return np.hypot(u, v) <= radius_px


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 500),
    st.integers(0, 300),
    st.integers(12, 140),
    st.integers(12, 180),
    st.sampled_from([128, 304, 1024]),
    st.integers(0, 2**31),
)
def test_every_point_is_a_pixel_under_the_mask(x0, y0, width, height, points, seed):
    depth = np.random.default_rng(seed).uniform(0.9, 1.1, (480, 640))
    frame, instance = frame_of(depth), square(x0, y0, width, height)
    cloud = cloud_of(frame, instance, points=points)
    assert cloud.shape == (points, 3)
    pixels = np.rint(project(cloud, CAMERA)).astype(int)
    assert (pixels >= (x0 + 1, y0 + 1)).all() and (pixels < (x0 + width - 1, y0 + height - 1)).all()
    assert np.allclose(frame.depth[pixels[:, 1], pixels[:, 0]], cloud[:, 2])
    assert np.array_equal(cloud, cloud_of(frame, instance, points=points))


def test_points_are_float32():
    cloud = extract_cloud(frame_of(plane()), square(100, 100, 50, 50), CONFIG)
    assert cloud.points_camera.dtype == np.float32


def test_enough_pixels_are_drawn_without_repetition_and_cover_the_mask():
    cloud = cloud_of(frame_of(plane()), square(100, 100, 202, 202))
    pixels = np.rint(project(cloud, CAMERA)).astype(int)
    assert len(np.unique(pixels, axis=0)) == CONFIG.points
    quarters, _, _ = np.histogram2d(*pixels.T, bins=2, range=[[101, 301], [101, 301]])
    assert (np.abs(quarters - 256) < 70).all()


def test_any_prefix_is_a_fair_sample_of_the_mask():
    """Pooling keeps the first points, so they must not be the top rows."""
    cloud = cloud_of(frame_of(plane()), square(100, 100, 202, 202))
    pixels = project(cloud[:64], CAMERA)
    assert np.abs(pixels.mean(axis=0) - 200.5).max() < 30
    assert (np.ptp(pixels, axis=0) > 150).all()


def test_few_pixels_are_repeated_equally_often():
    cloud = cloud_of(frame_of(plane()), square(100, 100, 12, 12))
    _, counts = np.unique(cloud, axis=0, return_counts=True)
    assert len(counts) == 100 and set(counts) == {10, 11}
    assert len(np.unique(cloud[:100], axis=0)) == 100


def test_invalid_and_far_depth_is_left_out():
    depth = plane()
    depth[100:110] = np.nan
    depth[110:120] = 0.0
    depth[120:130] = np.inf
    depth[130:140] = 9.0
    depth[140:145] = -1.0
    cloud = cloud_of(frame_of(depth), square(100, 100, 100, 100))
    assert np.allclose(cloud[:, 2], 1.0)
    assert project(cloud, CAMERA)[:, 1].min() >= 144.9


def test_a_mask_without_its_rim_loses_bleeding_depth():
    depth = plane(3.0)
    depth[101:199, 101:199] = 1.0
    assert cloud_of(frame_of(depth), square(100, 100, 100, 100), outlier_mad=0.0)[:, 2].max() == 1.0
    assert cloud_of(frame_of(depth), square(100, 100, 100, 100), outlier_mad=0.0, erode_px=0)[:, 2].max() == 3.0


def test_a_thin_mask_keeps_its_rim():
    assert len(np.unique(cloud_of(frame_of(plane()), square(100, 100, 2, 100)), axis=0)) == 200


def test_no_depth_is_rejected_with_figures():
    rejection = extract_cloud(frame_of(plane(0.0)), square(10, 10, 20, 30), CONFIG)
    assert isinstance(rejection, Rejection)
    assert rejection.reason is RejectionReason.NO_DEPTH
    assert rejection.category == "bottle"
    assert "0 of 600" in rejection.detail and "64" in rejection.detail


def test_too_little_depth_is_rejected_with_figures():
    depth = np.full((480, 640), np.nan)
    depth[10:15, 10:20] = 1.0
    rejection = extract_cloud(frame_of(depth), square(10, 10, 20, 30), CONFIG)
    assert isinstance(rejection, Rejection)
    assert rejection.reason is RejectionReason.TOO_FEW_POINTS
    assert "50 of 600" in rejection.detail and "64" in rejection.detail


def bottle_upright(distance_m, rng):
    """A cylinder of 4 cm radius, its mask two pixels too wide, a wall 60 cm behind, flying pixels between."""
    radius_px = 0.04 / distance_m * CAMERA.fx
    half, height = int(radius_px) + 2, int(0.2 / distance_m * CAMERA.fy)
    offset = np.abs(np.arange(-half, half + 1)) / radius_px
    column = distance_m + 0.04 - 0.04 * np.sqrt(np.clip(1 - offset**2, 0, None))
    wall = distance_m + 0.6
    column[offset > 1] = wall
    depth = plane(wall)
    box = (320 - half, 240 - height // 2, 320 + half + 1, 240 - height // 2 + height)
    body = np.tile(column, (height, 1))
    flying = rng.random(body.shape) < 0.015
    body[flying] = rng.uniform(distance_m + 0.04, wall, flying.sum())
    depth[box[1] : box[3], box[0] : box[2]] = body
    return frame_of(depth), InstanceMask("bottle", 1.0, box, np.ones(body.shape, np.bool_))


@pytest.mark.parametrize("distance_m", [0.5, 1.0, 2.0])
def test_the_wall_and_most_flying_pixels_are_trimmed(distance_m):
    frame, instance = bottle_upright(distance_m, np.random.default_rng(3))
    kept = cloud_of(frame, instance, erode_px=0)[:, 2]
    raw = cloud_of(frame, instance, erode_px=0, outlier_mad=0.0)[:, 2]
    assert kept.max() < distance_m + 0.20 < raw.max()
    assert kept.min() < distance_m + 0.005
    assert (kept > distance_m + 0.06).mean() < 0.5 * (raw > distance_m + 0.06).mean()


def test_an_occluder_in_front_of_the_object_is_trimmed():
    depth = plane(1.5)
    depth[100:200, 100:108] = 0.7
    kept = cloud_of(frame_of(depth), square(100, 100, 100, 100))
    assert kept[:, 2].min() == pytest.approx(1.5)


@pytest.mark.parametrize("far_end", [False, True])
@pytest.mark.parametrize("tilt_deg", [5.0, 15.0])
def test_a_long_bottle_seen_end_on_keeps_its_whole_length(far_end, tilt_deg):
    """A bottle of 30 cm pointing at the camera: almost all pixels lie on its near end, a crescent on its flank."""
    radius_m, length_m, near_m = 0.035, 0.30, 0.8
    axis = np.array([np.sin(np.radians(tilt_deg)), 0.0, np.cos(np.radians(tilt_deg))])
    v, u = np.mgrid[0:480, 0:640]
    rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u, float)], axis=-1)
    end = np.array([-0.05, 0.0, near_m])
    along, across = rays @ axis, None
    depth_end = (end @ axis) / along
    on_end = np.linalg.norm(rays * depth_end[..., None] - end, axis=-1) <= radius_m
    # ray s*r meets the flank where |s*r - end - ((s*r - end).axis) axis| = radius
    across = rays - along[..., None] * axis
    foot = end - (end @ axis) * axis
    a, b, c = (across**2).sum(-1), across @ foot, foot @ foot - radius_m**2
    root = b**2 - a * c
    depth_side = (b - np.sqrt(np.clip(root, 0, None))) / a
    reach = depth_side * along - end @ axis
    on_side = (root > 0) & (reach >= 0) & (reach <= length_m) & ~on_end
    mask = on_end | on_side
    assert on_side.sum() > 30
    depth = np.where(on_end, depth_end, np.where(on_side, depth_side, 2.5))
    if far_end:  # a sensor that sees hardly anything at grazing incidence
        lost = np.random.default_rng(0).random(depth.shape) < 0.5
        depth[on_side & lost] = np.nan
    instance = InstanceMask.from_full("bottle", 1.0, mask)
    full = cloud_of(frame_of(depth), instance, outlier_mad=0.0)
    kept = cloud_of(frame_of(depth), instance)
    assert kept[:, 2].max() > full[:, 2].max() - 0.06
    assert np.ptp(kept @ axis) > 0.75 * np.ptp(full @ axis)


@pytest.mark.parametrize("lid_share", [0.05, 0.2, 0.6])
def test_the_lid_of_a_laptop_is_kept(lid_share):
    """A keyboard that recedes over 25 cm and a lid that leans back another 20 cm, seen with few pixels."""
    rows = 160
    lid = int(rows * lid_share)
    depth = plane(3.0)
    recede = np.concatenate([np.linspace(1.05, 0.85, lid), np.linspace(0.85, 0.6, rows - lid)])
    depth[100 : 100 + rows, 200:440] = recede[:, None] + np.random.default_rng(1).normal(0, 0.002, (rows, 240))
    kept = cloud_of(frame_of(depth), square(200, 100, 240, rows))
    assert kept[:, 2].max() > 1.01 and kept[:, 2].min() < 0.62


def test_coarse_depth_steps_of_a_far_object_are_not_gaps():
    v = np.arange(480)[:, None] / 480
    depth = np.round((3.4 + 0.3 * v + np.zeros((480, 640))) / 0.035) * 0.035
    kept = cloud_of(frame_of(depth), square(200, 100, 60, 280))
    assert np.ptp(kept[:, 2]) == pytest.approx(np.ptp(depth[102:378, 201:259]), abs=0.036)


def bounds_one_by_one(z, deviations, side_rad):
    """The trimming in words: all within the bound belongs, and from there on as long as depth goes on."""
    ordered = sorted(float(value) for value in z)
    middle = len(ordered) // 2
    median = ordered[middle]
    grain = 0.003 * median * median
    spread = sorted(abs(value - median) for value in ordered)[middle]
    bound = deviations * spread + 0.25 * side_rad * median + grain
    step, gap = max(1, round(0.003 * len(ordered))), 0.015 + grain
    far = max(k for k, value in enumerate(ordered) if value <= median + bound)
    near = min(k for k, value in enumerate(ordered) if value >= median - bound)
    while far + step < len(ordered) and ordered[far + step] - ordered[far] <= gap:
        far += 1
    while near - step >= 0 and ordered[near] - ordered[near - step] <= gap:
        near -= 1
    return ordered[near], ordered[far]


@settings(deadline=None, max_examples=60)
@given(st.integers(64, 1500), st.floats(0.3, 3.0), st.floats(0.0, 0.4), st.floats(0.5, 8.0), st.integers(0, 2**31))
def test_trimming_is_what_its_words_say(number, distance, stray, deviations, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(distance, 0.02, number)
    strays = rng.random(number) < stray
    z[strays] += rng.choice([-1.0, 1.0], strays.sum()) * rng.exponential(0.15, strays.sum())
    z = np.abs(z).astype(np.float32)
    assert _depth_bounds(z, deviations, 0.1) == pytest.approx(bounds_one_by_one(z, deviations, 0.1), rel=1e-6)
