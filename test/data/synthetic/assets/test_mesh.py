"""Meshes: closed surfaces with outward winding, volume and extent."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.assets.mesh import (
    HANDLE,
    Mesh,
    box,
    concatenate_meshes,
    cylinder,
    ellipsoid,
    revolve,
    sweep,
)
from clipose_ros.data.synthetic.assets.profiles import add_wall, round_corners, subdivide
from clipose_ros.errors import ShapeError

lengths = st.floats(0.01, 1.0)


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@given(x=lengths, y=lengths, z=lengths, axis=st.sampled_from("xyz"), share=st.floats(0.0, 0.4))
@settings(max_examples=40, deadline=None)
def test_box_is_closed_and_centred_with_the_requested_size(x, y, z, axis, share):
    mesh = box([x, y, z], share * min(x, y, z), axis)
    low, high = mesh.bounds
    np.testing.assert_allclose(high, [x / 2, y / 2, z / 2], rtol=1e-9)
    np.testing.assert_allclose(low, -high, rtol=1e-9)
    assert solid(mesh).is_watertight and solid(mesh).is_winding_consistent
    assert solid(mesh).volume == pytest.approx(x * y * z - removed_by_rounding(x, y, z, axis, share), rel=1e-9)


def removed_by_rounding(x, y, z, axis, share):
    """Compute the volume that rounding removes from the four edges: 4 r^2 (1 - 2 sin(pi / 8)) times their length.

    Each edge loses a square of side r and gains a quarter disc of four chords, whose area is 4 (r^2 / 2) sin(pi / 8).
    With r = 0.4 of a square cross-section that is 15.02 % of the volume.
    """
    r = share * min(x, y, z)
    return 4 * r**2 * (1 - 2 * np.sin(np.pi / 8)) * {"x": x, "y": y, "z": z}[axis]


def test_round_bodies_have_the_volume_of_the_formulas():
    assert solid(ellipsoid([0.1, 0.2, 0.3], 96)).volume == pytest.approx(4 / 3 * np.pi * 0.006, rel=0.01)
    assert solid(cylinder(0.1, 0.5, segments=96)).volume == pytest.approx(np.pi * 0.01 * 0.5, rel=0.01)


def test_walled_vessel_has_the_volume_of_its_wall():
    curve = subdivide(round_corners([(0.0, 0.0), (0.04, 0.0), (0.04, 0.1)], 0.01), 0.005)
    vessel = solid(revolve(add_wall(curve, 0.003), 96))
    assert vessel.is_watertight and vessel.is_winding_consistent
    assert vessel.volume == pytest.approx(np.pi * (0.04**2 * 0.1 - 0.037**2 * 0.097), rel=0.03)


def test_revolve_of_a_profile_off_the_axis_raises():
    with pytest.raises(ShapeError, match="radius 0"):
        revolve(np.array([[0.1, 0.0], [0.2, 1.0], [0.0, 1.0]]))


def test_squareness_widens_the_diagonal_only():
    profile = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    square = revolve(profile, 64, squareness=8.0)
    np.testing.assert_allclose(square.bounds[1], [1.0, 1.0, 1.0])
    assert np.hypot(square.vertices[:, 0], square.vertices[:, 2]).max() == pytest.approx(
        2**0.5 * 2 ** (-1 / 8), rel=0.01
    )


def test_sweep_is_closed_in_both_directions():
    t = np.linspace(-1.5, 1.5, 20)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = 0.1 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for path in (np.stack([np.cos(t), np.sin(t)], axis=1), np.stack([np.cos(t), np.sin(t)], axis=1)[::-1]):
        tube = solid(sweep(path, ring))
        assert tube.is_watertight and tube.is_winding_consistent
        assert abs(tube.volume) == pytest.approx(3.0 * np.pi * 0.01, rel=0.06)


@given(radius=st.floats(0.0, 2.0), steps=st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_round_corners_keeps_the_ends_and_the_bounds(radius, steps):
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 2.0)]
    curve = round_corners(corners, radius, steps)
    np.testing.assert_array_equal(curve[[0, -1]], [corners[0], corners[-1]])
    assert (curve.min(axis=0) >= -1e-12).all() and (curve.max(axis=0) <= [1.0 + 1e-12, 2.0 + 1e-12]).all()


def test_rotation_is_right_handed():
    tip = Mesh.plain(np.eye(3), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(tip.rotated("z", 90).vertices[0], [0, 1, 0], atol=1e-12)  # x to y
    np.testing.assert_allclose(tip.rotated("x", 90).vertices[1], [0, 0, 1], atol=1e-12)  # y to z
    np.testing.assert_allclose(tip.rotated("y", 90).vertices[2], [1, 0, 0], atol=1e-12)  # z to x


def test_concatenated_parts_keep_colours_and_can_be_selected():
    red = box([1, 1, 1]).painted(np.array([1.0, 0.0, 0.0]))
    handle = box([1, 1, 1]).painted(np.array([0.0, 1.0, 0.0])).with_part(HANDLE).translated([3, 0, 0])
    both = concatenate_meshes([red, handle])
    assert len(both.faces) == len(red.faces) + len(handle.faces)
    selected = both.select_part(HANDLE)
    np.testing.assert_allclose(selected.bounds[0], handle.bounds[0])
    np.testing.assert_array_equal(selected.colours, handle.colours)
