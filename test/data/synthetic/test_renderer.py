"""Renderer: depth against formulas, and labels and truths against depth."""

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.mesh import box, ellipsoid
from clipose_ros.data.synthetic.assets.shapes import MeshObject, make_object
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.renderer import Renderer, render
from clipose_ros.data.synthetic.scenes import UPRIGHT, Light, PlacedObject, Prop, Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.errors import DataError
from clipose_ros.geometry.boxes import points_in_box
from clipose_ros.geometry.camera import backproject_pixels
from clipose_ros.types import LABEL_BASE, CameraIntrinsics

K = CameraIntrinsics(150.0, 155.0, 79.5, 59.5, 160, 120)
PLAIN = Texture("plain", 1.0, 0.0, np.zeros(3))
LIGHT = Light(np.array([0.5, -0.5, 2.0]), 0.05, np.ones(3), np.full(3, 0.3))
IDENTITY = np.eye(4)


def prop(mesh, T=IDENTITY):
    return Prop(mesh, T, PLAIN)


def placed(shape, T, instance=1):
    return PlacedObject(instance, shape, T, PLAIN)


def sphere_object(radius):
    return MeshObject("can", ellipsoid([radius] * 3, 128), np.full(3, 2 * radius))


def at(x, y, z):
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def rays():
    u, v = np.meshgrid(np.arange(K.width), np.arange(K.height))
    return np.stack([(u - K.cx) / K.fx, (v - K.cy) / K.fy, np.ones(u.shape)], axis=-1)


def test_depth_of_a_sphere_equals_the_formula():
    radius, distance = 0.3, 1.2
    frame = render(Scene((placed(sphere_object(radius), at(0, 0, distance)),), (), LIGHT), IDENTITY, K)
    d = rays()
    # |s d - c|^2 = r^2 with c = (0, 0, distance); s is the depth, since d has z = 1
    dd = (d**2).sum(axis=-1)
    root = distance**2 - dd * (distance**2 - radius**2)
    expected = np.where(root > 0, (distance - np.sqrt(np.maximum(root, 0))) / dd, 0.0)
    both = (frame.depth > 0) & (expected > 0)
    assert both.sum() > 3000
    assert ((frame.depth > 0) != (expected > 0)).mean() < 0.01
    inside = both & (root > 0.02)  # a facet's sag shows at the rim
    np.testing.assert_allclose(frame.depth[inside], expected[inside], atol=1e-3)
    assert frame.labels[60, 80] == 4001 and frame.labels[0, 0] == 0
    assert frame.cos_incidence[60, 80] == pytest.approx(1.0, abs=0.01)


def test_depth_is_along_the_optical_axis():
    wall = prop(box([10, 10, 0.1]), at(0, 0, 2.05))
    frame = render(Scene((), (wall,), LIGHT), IDENTITY, K, colour=False)
    np.testing.assert_allclose(frame.depth, 2.0, atol=1e-5)
    expected = 1.0 / np.linalg.norm(rays(), axis=-1)
    np.testing.assert_allclose(frame.cos_incidence, expected, atol=1e-5)


def test_depth_of_a_plane_from_a_tilted_camera():
    T = look_at(np.array([0.7, -0.9, 0.8]), np.zeros(3), roll_deg=20.0)
    floor = prop(box([20, 20, 0.2]), at(0, 0, -0.1))
    frame = render(Scene((), (floor,), LIGHT), T, K, colour=False)
    down = rays() @ T[:3, :3].T
    hit = down[..., 2] < -0.1
    np.testing.assert_allclose(frame.depth[hit], (-T[2, 3] / down[..., 2])[hit], rtol=1e-4)


def test_occlusion_lowers_the_visible_fraction():
    far = placed(sphere_object(0.2), at(0, 0, 2.0), 1)
    near = prop(box([0.4, 4, 0.02]), at(-0.2, 0, 1.0))  # covers the left half
    frame = render(Scene((far,), (near,), LIGHT), IDENTITY, K)
    assert frame.truths[0].visible_fraction == pytest.approx(0.5, abs=0.06)
    alone = render(Scene((far,), (), LIGHT), IDENTITY, K)
    assert alone.truths[0].visible_fraction == pytest.approx(1.0)


def test_part_outside_the_image_is_not_visible():
    left = K.cx / K.fx * 1.5
    frame = render(Scene((placed(sphere_object(0.2), at(-left, 0, 1.5)),), (), LIGHT), IDENTITY, K)
    assert frame.truths[0].visible_fraction == pytest.approx(0.5, abs=0.08)


def test_hidden_object_has_no_truth():
    hidden = placed(sphere_object(0.1), at(0, 0, 2.0))
    frame = render(Scene((hidden,), (prop(box([3, 3, 0.1]), at(0, 0, 1.0)),), LIGHT), IDENTITY, K)
    assert frame.truths == () and not frame.labels.any()


def test_shadow_covers_points_without_light_only():
    floor = prop(box([4, 4, 0.1]), at(0, 0, -0.05))
    roof = prop(box([0.3, 0.3, 0.02]), at(0, 0, 0.5))
    above = Light(np.array([0.0, 0.001, 3.0]), 0.0, np.ones(3), np.full(3, 0.2))
    camera = look_at(np.array([0.0, -1.2, 0.6]), np.array([0.0, 0.0, 0.1]))
    scene = Scene((), (floor, roof), above)
    shadowed, bright = (render(scene, camera, K, shadow_rays=n).rgb.astype(int).sum(axis=-1) for n in (1, 0))
    darker = bright - shadowed > 30
    points = points_of(render(scene, camera, K, colour=False)) @ camera[:3, :3].T + camera[:3, 3]
    on_floor = points[..., 2] < 0.01
    under = on_floor & (np.abs(points[..., :2]).max(axis=-1) < 0.15)
    outside = on_floor & (np.abs(points[..., :2]).max(axis=-1) > 0.25)
    assert under.sum() > 50 and darker[under].mean() > 0.9
    assert darker[outside].mean() < 0.01


def points_of(frame):
    return rays() * frame.depth[..., None]


@pytest.mark.parametrize("seed", range(4))
def test_labels_truth_and_depth_agree(seed):
    """The points of each label lie inside the true box of its object."""
    scene = make_scene(np.random.default_rng(seed), SceneConfig())
    camera = CameraIntrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
    frame = Renderer(scene).render(look_at(np.array([0.6, -0.7, 0.7]), np.zeros(3)), camera, colour=False)
    assert {NOCS_CATEGORIES[t.category].id * LABEL_BASE + t.instance for t in frame.truths} == set(
        np.unique(frame.labels)
    ) - {0}
    for truth in frame.truths:
        v, u = np.nonzero(frame.labels == NOCS_CATEGORIES[truth.category].id * LABEL_BASE + truth.instance)
        points = backproject_pixels(u, v, frame.depth[v, u], camera)
        assert points_in_box(points, truth.T_camera_object, truth.size, margin=1e-4).all()
        assert 0.0 <= truth.visible_fraction <= 1.0


@pytest.mark.parametrize(("yaw_deg", "visible"), [(90, True), (0, True), (180, True), (270, False)])
def test_handle_behind_the_mug_is_not_visible(yaw_deg, visible):
    """The camera faces world +y from just above the table; the handle is rotated from +x by ``yaw_deg``."""
    shape = make_object("mug", np.random.default_rng(2))
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    T = np.eye(4)
    T[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T @ UPRIGHT
    frame = render(Scene((placed(shape, T),), (), LIGHT), look_at(np.array([0.0, -0.4, 0.03]), np.zeros(3)), K)
    assert frame.truths[0].handle_visible is visible


def test_truths_are_limited_to_the_requested_instances():
    scene = Scene((placed(sphere_object(0.1), at(-0.2, 0, 1)), placed(sphere_object(0.1), at(0.2, 0, 1), 2)), (), LIGHT)
    assert [t.instance for t in Renderer(scene).render(IDENTITY, K, instances=(2,)).truths] == [2]
    assert [t.instance for t in Renderer(scene).render(IDENTITY, K).truths] == [1, 2]


def test_rendering_is_deterministic_and_independent_of_colour():
    scene = make_scene(np.random.default_rng(1))
    camera = look_at(np.array([0.6, -0.7, 0.7]), np.zeros(3))
    first, again, plain = render(scene, camera, K), render(scene, camera, K), render(scene, camera, K, colour=False)
    np.testing.assert_array_equal(first.rgb, again.rgb)
    for other in (again, plain):
        np.testing.assert_array_equal(first.depth, other.depth)
        np.testing.assert_array_equal(first.labels, other.labels)
    assert not plain.rgb.any() and first.rgb.std() > 10


def test_empty_scene_raises():
    with pytest.raises(DataError, match="at least one object or prop"):
        Renderer(Scene((), (), LIGHT))
