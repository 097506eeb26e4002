"""Decoration of vessels: label bands change colours only, fillings lie inside the wall."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets import decoration
from clipose_ros.data.synthetic.assets.mesh import revolve
from clipose_ros.data.synthetic.assets.profiles import round_corners, subdivide

HEIGHT = 0.2


def tube():
    profile = subdivide(round_corners([(0.0, 0.0), (0.03, 0.0), (0.03, HEIGHT), (0.0, HEIGHT)], 0.002), 0.004)
    return revolve(profile, 24)


@pytest.mark.parametrize("seed", range(20))
def test_label_bands_change_colours_around_the_middle_only(seed):
    plain = tube()
    decorated = decoration.add_label_bands(np.random.default_rng(seed), plain, HEIGHT, chance=1.0)
    np.testing.assert_array_equal(decorated.vertices, plain.vertices)
    np.testing.assert_array_equal(decorated.faces, plain.faces)
    changed = (decorated.colours != plain.colours).any(axis=1)
    share = plain.face_centres[:, 1] / HEIGHT
    assert changed[(share > 0.4) & (share < 0.55)].all()
    assert not changed[share < 0.05].any() and not changed[share > 0.95].any()


def test_label_bands_have_the_requested_probability():
    plain = tube()
    painted = [
        decoration.add_label_bands(np.random.default_rng(seed), plain, HEIGHT, chance=0.3) is not plain
        for seed in range(400)
    ]
    assert 0.2 < np.mean(painted) < 0.4


@pytest.mark.parametrize("level", [0.04, 0.1, 0.16])
def test_filling_is_a_thin_disc_inside_the_wall(level):
    wall = 0.003
    curve = subdivide(round_corners([(0.0, 0.0), (0.03, 0.0), (0.05, HEIGHT)], 0.002), 0.004)
    disc = decoration.make_filling(np.random.default_rng(0), curve, wall, level)
    low, high = disc.bounds
    assert (low[1] + high[1]) / 2 == pytest.approx(level)
    assert high[1] - low[1] < 0.002
    outer = np.interp(level, curve[2:, 1], curve[2:, 0])
    assert outer - wall < high[0] < outer
