"""Shading: normals, light falloff, shadows and textures."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.mesh import box, ellipsoid
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.raycast import build_embree_scene
from clipose_ros.data.synthetic.scenes import Light
from clipose_ros.data.synthetic.shading import RayHits, Shader, compute_corner_normals

PLAIN = Texture("plain", 0.1, 0.2, np.zeros(3))
GROUND = box([2.0, 2.0, 0.1]).translated([0, 0, -0.05])


def face_normals(mesh):
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    return cross / np.linalg.norm(cross, axis=1, keepdims=True)


def hits_on_the_ground(points):
    """Return hits of vertical rays from above on the top of the ground."""
    top = np.flatnonzero(face_normals(GROUND)[:, 2] > 0.9)[0]
    count = len(points)
    return RayHits(
        np.asarray(points, np.float32),
        np.tile(np.float32([0, 0, -1]), (count, 1)),
        np.zeros(count, int),
        np.full(count, top),
        np.full((count, 3), 1 / 3, np.float32),
        np.tile(np.float32([0, 0, 1]), (count, 1)),
        np.zeros(count, np.float32),
    )


def shader(*meshes, position=(0.0, 0.0, 2.0), lamp=0.4, ambient=0.1):
    light = Light(np.array(position), 0.05, np.full(3, lamp), np.full(3, ambient))
    return Shader(meshes, [(PLAIN, np.eye(4))] * len(meshes), light, build_embree_scene(meshes))


def test_corner_normals_of_a_cube_are_its_face_normals():
    cube = box([0.1, 0.1, 0.1])
    np.testing.assert_allclose(
        compute_corner_normals(cube), np.repeat(face_normals(cube)[:, None], 3, axis=1), atol=1e-9
    )


def test_corner_normals_of_a_sphere_are_radial():
    sphere = ellipsoid([0.1, 0.1, 0.1], 48)
    radial = sphere.vertices[sphere.faces] / 0.1
    cosine = np.einsum("ijk,ijk->ij", compute_corner_normals(sphere), radial)
    assert cosine.min() > 0.98
    assert np.linalg.norm(compute_corner_normals(sphere), axis=2) == pytest.approx(1.0)


def test_brightness_decreases_with_distance_from_the_lamp():
    colours = shader(GROUND).shade(hits_on_the_ground([[0, 0, 0], [0.4, 0, 0], [0.9, 0, 0]]), 0).astype(int)
    assert colours.dtype == int and (np.diff(colours.sum(axis=1)) < 0).all()


def test_shadow_needs_shadow_rays_and_an_occluder():
    under, aside = [0.0, 0.0, 0.0], [0.8, 0.0, 0.0]
    lid = box([0.3, 0.3, 0.02]).translated([0, 0, 0.5])
    scene = shader(GROUND, lid)
    hits = hits_on_the_ground([under, aside])
    lit, shadowed = scene.shade(hits, 0).astype(int), scene.shade(hits, 8).astype(int)
    assert shadowed[0].sum() < 0.7 * lit[0].sum()
    np.testing.assert_array_equal(shadowed[1], lit[1])


def test_fully_shadowed_point_has_ambient_light_only():
    lid = box([1.0, 1.0, 0.02]).translated([0, 0, 0.5])
    hits = hits_on_the_ground([[0.0, 0.0, 0.0]])
    shadowed = shader(GROUND, lid).shade(hits, 8)
    np.testing.assert_array_equal(shadowed, shader(GROUND, lid, lamp=0.0).shade(hits, 8))


def test_lamp_below_the_surface_adds_no_light():
    hits = hits_on_the_ground([[0.1, 0.2, 0.0]])
    below = shader(GROUND, position=(0.0, 0.0, -1.0)).shade(hits, 0)
    np.testing.assert_array_equal(below, shader(GROUND, lamp=0.0).shade(hits, 0))


def test_texture_moves_with_its_body():
    checker = Texture("checker", 0.1, 0.5, np.full(3, 0.3))
    T = np.eye(4)
    T[:3, 3] = 0.037, -0.021, 0.0
    light = Light(np.array([0.0, 0.0, 50.0]), 0.0, np.zeros(3), np.full(3, 0.6))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3)) * [1, 1, 0]
    colours = [
        Shader([GROUND], [(checker, pose)], light, build_embree_scene([GROUND])).shade(hits_on_the_ground(where), 0)
        for pose, where in ((np.eye(4), points), (T, points + T[:3, 3]))
    ]
    assert len(np.unique(colours[0][:, 0])) == 2
    assert (colours[0] == colours[1]).all(axis=1).mean() > 0.95  # rounding may move a point across an edge
