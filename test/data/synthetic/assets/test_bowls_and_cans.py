"""Bowls and cans: sizes, roundness and closed tops."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.bowls_and_cans import CANS, make_bowl, make_can

MM = 1e-3


def extents(make, count=30):
    meshes = [make(np.random.default_rng([22, i])) for i in range(count)]
    return np.array([np.subtract(*mesh.bounds[::-1]) for mesh in meshes]) / MM


@pytest.mark.parametrize("make", [make_bowl, make_can])
def test_vessel_is_round_and_stands_on_the_ground(make):
    size = extents(make)
    np.testing.assert_allclose(size[:, 0], size[:, 2], rtol=1e-6)
    assert all(abs(make(np.random.default_rng([22, i])).bounds[0][1]) < 1 * MM for i in range(10))


def test_bowl_is_wider_than_tall():
    size = extents(make_bowl)
    assert (size[:, 1] < size[:, 0]).all()
    assert size[:, 0].min() > 90.0 and size[:, 0].max() < 270.0


def test_can_sizes_are_within_the_family_ranges():
    size = extents(make_can, 60)
    inside = np.zeros(len(size), bool)
    for family in CANS.values():
        (shortest, tallest), (thinnest, thickest) = family.height, family.radius
        radius, height = size[:, 0] / 2, size[:, 1]
        inside |= (height > 0.95 * shortest) & (height < 1.02 * tallest) & (radius > thinnest - 4) & (radius < thickest)
    assert inside.all(), size[~inside]


def test_most_cans_have_a_closed_top():
    """A closed can has a face near its axis at the top."""
    closed = []
    for i in range(30):
        mesh = make_can(np.random.default_rng([22, i]))
        centres, height = mesh.face_centres, mesh.bounds[1][1]
        near_axis = np.hypot(centres[:, 0], centres[:, 2]) < 0.3 * mesh.bounds[1][0]
        closed.append(centres[near_axis, 1].max() > 0.9 * height)
    assert np.mean(closed) > 0.7  # the others are open cans
