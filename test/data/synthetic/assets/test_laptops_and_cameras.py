"""Laptops and cameras: object frames and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.laptops_and_cameras import make_camera, make_laptop

SEEDS = range(15)


def generate(make, seed):
    return make(np.random.default_rng([23, seed]))


@pytest.mark.parametrize("seed", SEEDS)
def test_laptop_lid_is_at_minus_x(seed):
    mesh = generate(make_laptop, seed)
    low, high = mesh.bounds
    upper = mesh.vertices[mesh.vertices[:, 1] > 0.5 * high[1]]
    assert upper[:, 0].mean() < 0.5 * (low[0] + high[0]), "the raised part is the lid"
    np.testing.assert_allclose(low[2], -high[2], atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_laptop_width_is_in_the_expected_range(seed):
    low, high = generate(make_laptop, seed).bounds
    assert 0.25 < high[2] - low[2] < 0.4


@pytest.mark.parametrize("seed", SEEDS)
def test_camera_lens_points_along_x(seed):
    """The front of the lens or the grip is farther from the origin than the back of the body."""
    mesh = generate(make_camera, seed)
    low, high = mesh.bounds
    assert high[0] > -low[0], "the lens is in front of the body, which is centred at x = 0"
    assert 0.08 < high[2] - low[2] < 0.17


def test_camera_depth_varies_more_than_width():
    sizes = np.array([np.subtract(*generate(make_camera, seed).bounds[::-1]) for seed in range(40)])
    variation = sizes.std(axis=0) / sizes.mean(axis=0)
    assert variation[0] > variation[2]
