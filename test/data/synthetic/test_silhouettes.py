"""Visible shares of silhouettes, by rays and by the rasterizer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.assets.household.shapes import make_household_object
from clipose_ros.data.synthetic.assets.mesh import box, ellipsoid
from clipose_ros.data.synthetic.scenes import random_rotation
from clipose_ros.data.synthetic.silhouettes import RasterSilhouette, RaySilhouette
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import CameraIntrinsics

K = CameraIntrinsics(200.0, 210.0, 79.5, 59.5, 160, 120)
EVERYWHERE = np.ones((120, 160), bool)


@pytest.fixture(params=[RaySilhouette, RasterSilhouette])
def silhouette(request):
    return request.param


def at(x, y, z):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


@given(seed=st.integers(0, 2**31), category=st.sampled_from(["bottle", "camera", "laptop", "mug"]))
@settings(max_examples=30, deadline=None)
def test_rays_and_rasterizer_agree(seed, category):
    rng = np.random.default_rng(seed)
    mesh = make_household_object(category, rng).mesh
    T = make_transform(random_rotation(rng), rng.uniform([-0.2, -0.2, 0.5], [0.2, 0.2, 1.0]))
    mask = rng.random(EVERYWHERE.shape) < 0.5
    by_rays, by_raster = (kind(mesh).measure_visibility(T, K, mask) for kind in (RaySilhouette, RasterSilhouette))
    assert by_raster.fraction == pytest.approx(by_rays.fraction, abs=2e-3)
    assert by_raster.pixels == pytest.approx(by_rays.pixels, rel=5e-3, abs=2)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_visible_fraction_is_the_share_of_the_mask(silhouette, share):
    sampled = silhouette(box([0.3, 0.3, 0.1]))
    mask = EVERYWHERE.copy()
    projected = 200.0 * 0.3 / 0.95
    left = round(79.5 - projected / 2 + share * projected)
    mask[:, left:] = False
    visible, _ = sampled.measure_visibility(at(0, 0, 1), K, mask)
    assert visible == pytest.approx(share, abs=0.05)


def test_visible_pixels_are_the_projected_area(silhouette):
    _, pixels = silhouette(ellipsoid([0.1, 0.1, 0.1])).measure_visibility(at(0, 0, 1), K, EVERYWHERE)
    assert pixels == pytest.approx(np.pi * (200.0 * 0.1) * (210.0 * 0.1), rel=0.05)


def test_object_outside_the_image_is_not_visible(silhouette):
    visible, pixels = silhouette(box([0.2, 0.2, 0.2])).measure_visibility(at(5, 0, 1), K, EVERYWHERE)
    assert (visible, pixels) == (0.0, 0)


def test_object_at_the_image_border_is_partly_visible(silhouette):
    visible, _ = silhouette(box([0.2, 0.2, 0.01])).measure_visibility(at(-0.3975, 0, 1), K, EVERYWHERE)
    assert visible == pytest.approx(0.5, abs=0.06)


def test_object_behind_the_camera_is_not_visible(silhouette):
    assert silhouette(box([0.2, 0.2, 0.2])).measure_visibility(at(0, 0, 0.05), K, EVERYWHERE) == (0.0, 0)
