"""Household shapes: closed meshes, object frames, sizes within the stated ranges, and the spread of each category."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.household import bowls, cans, laptops
from clipose_ros.data.synthetic.assets.household.bottles import make_household_bottle
from clipose_ros.data.synthetic.assets.household.cameras import CAMERA_KINDS
from clipose_ros.data.synthetic.assets.household.contact_sheet import draw_contact_sheet
from clipose_ros.data.synthetic.assets.household.mugs import HOUSEHOLD_MUGS
from clipose_ros.data.synthetic.assets.household.shapes import HOUSEHOLD_GENERATORS, make_household_object
from clipose_ros.data.synthetic.assets.mesh import CLOSURE, HANDLE
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.errors import ConfigError
from clipose_ros.types import FloatArray

NAMES = NOCS_CATEGORIES.names
MM = 1e-3


def instances(category: str, count: int = 30, seed: int = 31) -> list[MeshObject]:
    return [make_household_object(category, np.random.default_rng([seed, i])) for i in range(count)]


def sizes(category: str, count: int = 150) -> FloatArray:
    return np.array([item.size for item in instances(category, count, 32)])


@pytest.mark.parametrize("category", NAMES)
def test_shapes_are_closed_and_wound_outwards(category: str) -> None:
    for item in instances(category):
        solid = trimesh.Trimesh(item.mesh.vertices, item.mesh.faces, process=False)
        assert np.isfinite(item.mesh.vertices).all()
        assert solid.is_watertight and solid.is_winding_consistent
        assert all(part.volume > 0 for part in solid.split(only_watertight=False))
        assert item.mesh.colours.min() >= 0 and item.mesh.colours.max() <= 1
        low, high = item.mesh.bounds
        np.testing.assert_allclose(low + high, 0.0, atol=1e-12)
        np.testing.assert_allclose(high - low, item.size, atol=1e-12)


@pytest.mark.parametrize("category", NAMES)
def test_equal_seeds_give_equal_shapes(category: str) -> None:
    first, again, other = (make_household_object(category, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.mesh.vertices, again.mesh.vertices)
    assert not np.allclose(first.size, other.size)


def test_unknown_categories_are_refused() -> None:
    assert set(HOUSEHOLD_GENERATORS) == set(NAMES)
    with pytest.raises(ConfigError, match="teapot"):
        make_household_object("teapot", np.random.default_rng(0))


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_cans_are_round_and_within_the_stated_proportions(seed: int) -> None:
    item = make_household_object("can", np.random.default_rng(seed))
    x, y, z = item.size
    assert x == pytest.approx(z, rel=1e-6)
    # The plastic lid adds up to 2 mm to the diameter and 12 mm to the height.
    assert cans.DIAMETER_M[0] <= x * 1.001 and x <= cans.DIAMETER_M[1] + 2 * MM
    assert cans.HEIGHT_RATIO[0] * 0.93 <= y / x <= cans.HEIGHT_RATIO[1] + 0.2


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_bowls_are_round_open_and_within_the_stated_proportions(seed: int) -> None:
    item = make_household_object("bowl", np.random.default_rng(seed))
    x, y, z = item.size
    assert x == pytest.approx(z, rel=1e-6)
    assert bowls.DIAMETER_M[0] * 0.99 <= x <= bowls.DIAMETER_M[1] * 1.06
    assert bowls.HEIGHT_RATIO[0] * 0.9 <= y / x <= bowls.HEIGHT_RATIO[1] * 1.05
    centres = item.mesh.face_centres
    near_axis = np.hypot(centres[:, 0], centres[:, 2]) < 0.1 * x
    assert centres[near_axis, 1].max() < 0.45 * y, "open at +y"


def test_cans_and_bowls_have_the_spread_of_real_ones() -> None:
    ratio = {name: sizes(name)[:, 1] / sizes(name)[:, 0] for name in ("can", "bowl")}
    assert 0.15 < (ratio["can"] < 0.55).mean() < 0.5, "flat tins"
    assert (ratio["can"] > 2.2).mean() > 0.1, "tall ones"
    assert (ratio["bowl"] < 0.3).mean() > 0.08 and (ratio["bowl"] > 0.5).mean() > 0.1


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_bottles_stand_upright_with_their_flat_sides_along_x(seed: int) -> None:
    mesh = make_household_bottle(np.random.default_rng(seed))
    low, high = mesh.bounds
    assert low[1] == pytest.approx(0.0, abs=1.5 * MM)
    assert 70 * MM < high[1] < 360 * MM
    body = mesh.vertices[mesh.vertices[:, 1] < 0.3 * high[1]]
    assert np.ptp(body[:, 0]) <= np.ptp(body[:, 2]) + 1e-9
    width = np.ptp(mesh.vertices, axis=0)
    assert width[[0, 2]].max() < 0.22


def test_bottles_are_oval_square_and_round() -> None:
    ratio = sizes("bottle")[:, 0] / sizes("bottle")[:, 2]
    assert 0.25 < (ratio < 0.8).mean() < 0.75, "not round"
    assert 0.2 < (ratio > 0.95).mean() < 0.75, "round or square"


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_mug_handle_is_the_farthest_part_along_x(seed: int) -> None:
    item = make_household_object("mug", np.random.default_rng(seed))
    handle, body = item.mesh.select_part(HANDLE), item.mesh.select_part(0)
    assert item.has_handle
    assert handle.bounds[1][0] == pytest.approx(item.size[0] / 2)
    assert body.bounds[1][0] < item.size[0] / 2 - 3 * MM
    assert abs(handle.bounds[1][2] + handle.bounds[0][2]) < 1e-6, "symmetric about z = 0"
    assert abs(body.bounds[1][2] + body.bounds[0][2]) < 1e-6
    widest, highest = (
        max(getattr(family, name)[1] for family in HOUSEHOLD_MUGS.values()) * MM for name in ("radius", "height")
    )
    # A bulging body exceeds its nominal radius by up to 16 %, a lid with its knob adds up to 45 mm.
    assert item.size[2] <= 2 * widest * 1.2 and item.size[1] <= highest + 45 * MM


def test_some_mugs_are_square_and_some_have_lids() -> None:
    square = lidded = 0
    for item in instances("mug", 120):
        body = item.mesh.select_part(0)
        axis_x = (item.size[2] - item.size[0]) / 2
        corner = np.hypot(body.vertices[:, 0] - axis_x, body.vertices[:, 2]).max()
        square += corner > 1.12 * item.size[2] / 2
        lid = item.mesh.face_centres[item.mesh.parts == CLOSURE]
        lidded += bool((lid[:, 1] > 0.4 * item.size[1]).any())
    assert square >= 4 and lidded >= 6


@given(seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_laptops_have_their_lid_at_minus_x_and_are_symmetric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = laptops.make_household_laptop(rng)
    low, high = mesh.bounds
    width, depth = high[2] - low[2], high[0]
    assert laptops.WIDTH_M[0] <= width <= laptops.WIDTH_M[1] + 1 * MM
    assert low[2] == pytest.approx(-high[2], abs=1e-9)
    assert laptops.DEPTH_RATIO[0] * 0.9 <= depth / width <= laptops.DEPTH_RATIO[1] * 1.1
    assert low[1] > -10 * MM, "the lid does not reach below the table"
    assert laptops.OPENING_DEG[0] <= laptops.draw_opening(rng) <= laptops.OPENING_DEG[1]


def test_laptops_are_nearly_closed_to_flat() -> None:
    angles = np.array([laptops.draw_opening(np.random.default_rng(seed)) for seed in range(400)])
    assert (angles < 40).mean() > 0.05 and (angles > 150).mean() > 0.05
    assert ((angles > 90) & (angles < 135)).mean() > 0.5
    heights = sizes("laptop")[:, 1]
    assert heights.min() < 0.08 and heights.max() > 0.22


@given(seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_cameras_point_along_x_and_are_within_the_ranges_of_their_kinds(seed: int) -> None:
    mesh = HOUSEHOLD_GENERATORS["camera"](np.random.default_rng(seed))
    low, high = mesh.bounds
    kinds = CAMERA_KINDS.values()
    widest = max(kind.width[1] for kind in kinds) * MM
    assert min(kind.width[0] for kind in kinds) * MM * 0.99 <= high[2] - low[2] <= widest + 12 * MM
    assert high[0] > -low[0] * 0.9, "lens or grip in front"
    assert high[0] - low[0] <= (60 + 205 + 30) * MM
    assert -low[1] <= 0.56 * 124 * MM + 12 * MM


def test_camera_kinds_are_complete() -> None:
    assert sum(kind.share for kind in CAMERA_KINDS.values()) == pytest.approx(1.0)
    assert sum(family.share for family in HOUSEHOLD_MUGS.values()) == pytest.approx(1.0)
    depth = sizes("camera")[:, 0]
    assert (depth < 0.06).mean() > 0.08 and (depth > 0.15).mean() > 0.1


def test_contact_sheet_shows_60_shapes() -> None:
    sheet = draw_contact_sheet("can", 0)
    assert sheet.shape == (900, 1500, 3)
    tiles = sheet.reshape(6, 150, 10, 150, 3).transpose(0, 2, 1, 3, 4).reshape(60, -1)
    assert ((tiles < 250).mean(axis=1) > 0.02).all()
