"""Mugs: a round body about y and a handle along +x."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import BODY, HANDLE
from clipose_ros.data.synthetic.assets.mugs import make_mug

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_mug_handle_joins_the_body(seed):
    mesh = make_mug(np.random.default_rng([24, seed]))
    handle, body = mesh.select_part(HANDLE), mesh.select_part(BODY)
    radius = body.bounds[1][0]
    assert handle.bounds[1][0] > radius + 0.008, "there is room for a finger"
    assert handle.bounds[0][0] < radius, "the ends lie in the wall"
    centre = (handle.bounds[0][1] + handle.bounds[1][1]) / 2
    assert 0.35 < centre / body.bounds[1][1] < 0.7, "about half of the height"


@pytest.mark.parametrize("seed", SEEDS)
def test_mug_handle_is_thin_and_symmetric(seed):
    handle = make_mug(np.random.default_rng([24, seed])).select_part(HANDLE)
    low, high = handle.bounds
    assert high[2] == pytest.approx(-low[2], abs=1e-9)
    assert high[2] < 0.02


def test_mug_body_is_round():
    for seed in SEEDS:
        low, high = make_mug(np.random.default_rng([24, seed])).select_part(BODY).bounds
        assert high[0] - low[0] == pytest.approx(high[2] - low[2], rel=1e-6)
