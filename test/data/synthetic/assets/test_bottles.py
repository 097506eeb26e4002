"""Bottles: parameter ranges, sizes and orientation."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.bottles import BOTTLES, make_bottle

MM = 1e-3


@pytest.fixture(scope="module")
def meshes():
    return [make_bottle(np.random.default_rng([21, i])) for i in range(40)]


@pytest.mark.parametrize("name", BOTTLES)
def test_family_ranges_are_ordered(name):
    family = BOTTLES[name]
    for spec in fields(family):
        value = getattr(family, spec.name)
        if isinstance(value, tuple) and spec.name != "closures":
            assert value[0] <= value[1], spec.name
    assert family.shoulder[1] <= family.neck_start[0]
    assert family.closures and family.weight > 0


def test_bottle_stands_upright_on_the_ground(meshes):
    for mesh in meshes:
        low, high = mesh.bounds
        assert low[1] == pytest.approx(0.0, abs=1e-3)
        assert high[1] > high[2] - low[2], "taller than wide"


def test_bottle_heights_are_within_the_family_ranges(meshes):
    heights = np.array([mesh.bounds[1][1] for mesh in meshes]) / MM
    assert heights.min() > 0.7 * min(family.height[0] for family in BOTTLES.values())
    assert heights.max() < 1.5 * max(family.height[1] for family in BOTTLES.values())
    assert np.ptp(heights) > 100.0


def test_bottle_is_not_wider_along_x_than_along_z(meshes):
    """Flattened bottles are thin along x."""
    body = [mesh.vertices[mesh.vertices[:, 1] < 0.5 * mesh.bounds[1][1]] for mesh in meshes]
    assert all(np.ptp(points[:, 0]) <= np.ptp(points[:, 2]) + 1e-9 for points in body)
