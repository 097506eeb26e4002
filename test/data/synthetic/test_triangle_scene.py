"""Rasterizer: depth against formulas and against rays, gaps, and faces that are left out because none sees them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.distractors import make_distractor
from clipose_ros.data.synthetic.assets.hand import make_flat_hand, make_grasping_hand
from clipose_ros.data.synthetic.assets.household.shapes import make_household_object
from clipose_ros.data.synthetic.assets.mesh import HANDLE, Mesh, box, ellipsoid
from clipose_ros.data.synthetic.assets.shapes import make_object
from clipose_ros.data.synthetic.object_scenes import ObjectSceneConfig, make_object_scene
from clipose_ros.data.synthetic.raycast import build_embree_scene, compute_ray_directions
from clipose_ros.data.synthetic.scenes import random_rotation
from clipose_ros.data.synthetic.triangle_scene import TriangleScene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import CameraIntrinsics

K = CameraIntrinsics(200.0, 210.0, 79.5, 59.5, 160, 120)
NAMES = NOCS_CATEGORIES.names


def make_meshes(seed: int) -> list[Mesh]:
    scene = make_object_scene(np.random.default_rng(seed), ObjectSceneConfig(held=0.4), NAMES, make_household_object)
    bodies = zip(scene.objects, scene.T_world_objects, strict=True)
    return [*(item.mesh.transformed(T) for item, T in bodies), *scene.others]


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_rasterizer_and_rays_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    meshes = make_meshes(seed)
    eye = rng.uniform([-0.8, -0.8, 0.05], [0.8, 0.8, 0.8])
    T = look_at(eye, rng.normal(0.0, 0.05, 3), rng.uniform(-180, 180))
    image, bodies = TriangleScene(meshes).draw(T, K), TriangleScene(meshes).body_of_face
    rays = compute_ray_directions(K) @ T[:3, :3].T.astype(np.float32)
    found = build_embree_scene(meshes).run(np.tile(eye.astype(np.float32), (len(rays), 1)), rays, output=True)
    expected = found["geomID"].reshape(image.face.shape)
    body = np.where(image.face >= 0, bodies[image.face], -1)
    # Rays along an edge of a body differ by rounding.
    same = body == np.maximum(expected, -1)
    assert same.mean() > 0.999
    hit = same & (body >= 0)
    error = np.abs(image.depth - found["tfar"].reshape(hit.shape))[hit]
    # A few profiles fold over themselves; rays hit the inner side of the fold.
    assert not hit.any() or (np.quantile(error, 0.9) < 2e-5 and error.max() < 0.01)


@given(tilt=st.floats(-60, 60), z=st.floats(0.3, 2.0))
@settings(max_examples=25, deadline=None)
def test_depth_of_a_plane(tilt: float, z: float) -> None:
    plate = box([8.0, 8.0, 0.02]).translated([0.0, 0.0, 0.01]).rotated("x", tilt).translated([0.0, 0.0, z])
    image = TriangleScene([plate]).draw(np.eye(4), K)
    u, v = np.meshgrid((np.arange(160) - 79.5) / 200.0, (np.arange(120) - 59.5) / 210.0)
    normal = np.array([0.0, np.sin(np.radians(tilt)), -np.cos(np.radians(tilt))])
    along = np.stack([u, v, np.ones(u.shape)], axis=-1) @ normal
    expected = -z * np.cos(np.radians(tilt)) / along
    seen = (along < -0.05) & (expected < 2.5)
    np.testing.assert_allclose(image.depth[seen], expected[seen], rtol=1e-5)


@given(height=st.floats(0.05, 2.0), pitch=st.floats(-40, 40))
@settings(max_examples=25, deadline=None)
def test_floor_that_extends_behind_the_camera(height: float, pitch: float) -> None:
    floor = box([50.0, 0.1, 50.0]).translated([0.0, height + 0.05, 0.0]).rotated("x", pitch)
    image = TriangleScene([floor]).draw(np.eye(4), K)
    down = np.array([0.0, np.cos(np.radians(pitch)), np.sin(np.radians(pitch))])
    u, v = np.meshgrid((np.arange(160) - 79.5) / 200.0, (np.arange(120) - 59.5) / 210.0)
    along = np.stack([u, v, np.ones(u.shape)], axis=-1) @ down
    expected = height / np.where(along > 1e-6, along, np.inf)
    near = (expected > 0) & (expected < 8.0)
    np.testing.assert_allclose(image.depth[near], expected[near], rtol=1e-4)
    assert not (image.face[along < -1e-3] >= 0).any()


@given(seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_surfaces_have_no_gaps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = ellipsoid(rng.uniform(0.05, 0.3, 3), segments=64)
    T = make_transform(random_rotation(rng), [0.0, 0.0, 0.8])
    covered = TriangleScene([mesh.transformed(T)]).draw(np.eye(4), K).face >= 0
    assert covered.any()
    for row in covered[covered.any(axis=1)]:
        columns = np.flatnonzero(row)
        assert columns[-1] - columns[0] + 1 == len(columns), "an ellipsoid is convex"


def test_body_behind_the_camera_is_not_drawn() -> None:
    image = TriangleScene([box([0.1, 0.1, 0.1]).translated([0.0, 0.0, -1.0])]).draw(np.eye(4), K)
    assert (image.face == -1).all() and not image.depth.any()


def test_scene_without_meshes_raises() -> None:
    with pytest.raises(DataError, match="at least one"):
        TriangleScene([])


def make_generated_meshes(seed: int) -> list[Mesh]:
    rng = np.random.default_rng(seed)
    made = [make(name, rng).mesh for name in NAMES for make in (make_household_object, make_object)]
    hands = [make_flat_hand(rng), make_grasping_hand(rng, made[0])]
    return [*made, *hands, make_distractor(rng).mesh]


@pytest.mark.parametrize("seed", range(3))
def test_generated_meshes_are_closed_and_seen_from_outside_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for mesh in make_generated_meshes(seed):
        assert mesh.is_closed
        _, same = np.unique(mesh.vertices.round(9), axis=0, return_inverse=True)
        edges = same.reshape(-1)[mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)]
        codes = edges[:, 0] * len(mesh.vertices) + edges[:, 1]
        np.testing.assert_array_equal(np.sort(codes), np.sort(edges[:, 1] * len(mesh.vertices) + edges[:, 0]))
        T = make_transform(random_rotation(rng), [0.0, 0.0, 2.5 * np.linalg.norm(np.subtract(*mesh.bounds))])
        placed = mesh.transformed(T)
        both_sides = TriangleScene([replace(placed, is_closed=False)]).draw(np.eye(4), K).inverse_depth
        np.testing.assert_allclose(TriangleScene([placed]).draw(np.eye(4), K).inverse_depth, both_sides, rtol=1e-6)


def test_open_meshes_are_seen_from_both_sides() -> None:
    corners = np.array([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [0.0, 1.0, 1.0]])
    for order in ([0, 1, 2], [0, 2, 1]):
        sheet = replace(Mesh.plain(corners, np.array([order], np.int32)), is_closed=False)
        image = TriangleScene([sheet]).draw(np.eye(4), K)
        assert image.depth[60, 80] == pytest.approx(1.0)


def test_parts_of_meshes_are_open() -> None:
    mug = make_household_object("mug", np.random.default_rng(0))
    assert mug.has_handle and not mug.mesh.select_part(HANDLE).is_closed
