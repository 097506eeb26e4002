"""Laptops open about a hinge along z at -x; cameras have their lens along +x and their top at +y."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.laptops_and_cameras import make_camera, make_laptop

SEEDS = range(15)


def made(make, seed):
    return make(np.random.default_rng([23, seed]))


@pytest.mark.parametrize("seed", SEEDS)
def test_laptop_lid_rises_on_the_side_of_the_hinge(seed):
    mesh = made(make_laptop, seed)
    low, high = mesh.bounds
    upper = mesh.vertices[mesh.vertices[:, 1] > 0.5 * high[1]]
    assert upper[:, 0].mean() < 0.5 * (low[0] + high[0]), "the raised part is the lid, towards -x"
    np.testing.assert_allclose(low[2], -high[2], atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_laptop_is_widest_along_its_hinge(seed):
    low, high = made(make_laptop, seed).bounds
    assert 0.25 < high[2] - low[2] < 0.4


@pytest.mark.parametrize("seed", SEEDS)
def test_camera_lens_points_along_x_and_is_round_there(seed):
    """What reaches furthest forward is the lens's front or the grip; behind the body nothing reaches as far."""
    mesh = made(make_camera, seed)
    low, high = mesh.bounds
    assert high[0] > -low[0], "the lens stands before the body, which is centred at x = 0"
    assert 0.08 < high[2] - low[2] < 0.17


def test_cameras_vary_in_depth_more_than_in_width():
    """Lenses differ more than bodies."""
    sizes = np.array([np.subtract(*made(make_camera, seed).bounds[::-1]) for seed in range(40)])
    variation = sizes.std(axis=0) / sizes.mean(axis=0)
    assert variation[0] > variation[2]
