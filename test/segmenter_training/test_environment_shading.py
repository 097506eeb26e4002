"""Shading by an environment: known radiance, shadows, and the orientation of print."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from clipose_ros.data.synthetic.assets.mesh import BODY, Mesh, box, cylinder
from clipose_ros.data.synthetic.assets.prints import WrappedPrint
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.assets.textures import Texture, is_metal, random_colour, random_metal
from clipose_ros.data.synthetic.materials import Material, Surface
from clipose_ros.data.synthetic.object_materials import make_clear
from clipose_ros.data.synthetic.renderer import RenderedFrame, Renderer
from clipose_ros.data.synthetic.scenes import UPRIGHT, Light, PlacedObject, Prop, Scene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.segmenter_training.environment import Environment
from clipose_ros.segmenter_training.environment_shading import EnvironmentShader, encode
from clipose_ros.types import CameraIntrinsics, FloatArray

CAMERA = CameraIntrinsics(60.0, 60.0, 31.5, 31.5, 64, 64)
PLAIN = Texture("plain", 0.1, 0.2, np.zeros(3))
LAMP = Light(np.array([0.0, 0.0, 2.0]), 0.1, np.ones(3), np.ones(3))
UNIFORM = Environment(np.ones((32, 64, 3), np.float32))
SIDE = look_at(np.array([0.4, 0.0, 0.0]), np.zeros(3))


def view(mesh: Mesh, material: Material, pose: FloatArray = SIDE, shadow_rays: int = 0) -> RenderedFrame:
    item = PlacedObject(
        1, MeshObject("can", mesh, np.ptp(mesh.vertices, axis=0)), make_transform(UPRIGHT, np.zeros(3)), PLAIN
    )
    shader = EnvironmentShader(UNIFORM, [material], np.random.default_rng(0), 1.0)
    scene = Scene((item,), (), LAMP)
    return Renderer(scene, make_shader=shader.attach).render(pose, CAMERA, shadow_rays=shadow_rays, instances=())


def test_matt_surface_has_its_albedo_in_uniform_light() -> None:
    body = cylinder(0.05, 0.2).painted(np.full(3, 0.4))
    frame = view(body, Material({BODY: Surface(0.0)}))
    # Fresnel's share at normal incidence is not diffuse.
    assert_allclose(frame.rgb[32, 32].astype(int), encode(np.full((1, 3), 0.4 * 0.96))[0].astype(int), atol=2)


def test_print_is_read_from_left_to_right_and_from_top_to_bottom() -> None:
    image = np.full((8, 64, 3), 0.02, np.float32)
    image[:, :, 0] = np.linspace(0.1, 0.9, 64)[None]  # red rises to the right
    image[:, :, 2] = np.linspace(0.1, 0.9, 8)[:, None]  # blue rises downwards
    frame = view(
        cylinder(0.05, 0.2).painted(np.zeros(3)),
        Material({BODY: Surface(0.0, prints=(WrappedPrint(image, -0.1, 0.1),))}),
        SIDE,
    )
    # The azimuth of the camera is where the print closes, so each half is compared on its own.
    on_body = np.flatnonzero(frame.labels[32])
    half = len(on_body) // 2
    for columns in (on_body[2 : half - 2], on_body[half + 2 : -2]):
        assert (np.diff(frame.rgb[32, columns, 0].astype(int)) >= 0).all()
    rows = np.flatnonzero(frame.labels[:, 31])[3:-3]
    assert (np.diff(frame.rgb[rows, 31, 2].astype(int)) >= 0).all() and np.ptp(frame.rgb[rows, 31, 2]) > 50


def test_floor_below_a_lid_is_darker() -> None:
    floor = Prop(
        box([2.0, 2.0, 0.02]).painted(np.full(3, 0.5)), make_transform(np.eye(3), np.array([0, 0, -0.2])), PLAIN
    )
    lid = Prop(box([0.5, 0.5, 0.02]).painted(np.full(3, 0.5)), make_transform(np.eye(3), np.array([0, 0, -0.1])), PLAIN)
    pose = look_at(np.array([0.9, 0.0, 0.1]), np.array([0.2, 0.0, -0.2]))
    means = []
    for props in ((floor,), (floor, lid)):
        shader = EnvironmentShader(UNIFORM, [Material({BODY: Surface(0.0)})] * len(props), np.random.default_rng(0))
        frame = Renderer(Scene((), props, LAMP), make_shader=shader.attach).render(pose, CAMERA, shadow_rays=16)
        means.append(frame.rgb[frame.depth > 0.75].mean())
    assert means[1] < 0.9 * means[0]


@pytest.mark.parametrize("seed", range(5))
def test_metal_is_told_from_paint(seed: int) -> None:
    rng = np.random.default_rng(seed)
    metal = np.array([random_metal(rng) for _ in range(20)], dtype=np.float32)
    paint = np.array([random_colour(rng) for _ in range(200)], dtype=np.float32)
    assert is_metal(metal).all() and not is_metal(paint).any()


def render_pane(surface: Surface) -> FloatArray:
    """Return the colour of a pane in front of a red wall and, in the same image, of the wall beside the pane."""
    red = box([0.02, 4.0, 4.0]).painted(np.array([0.6, 0.05, 0.05]))
    pane = box([0.01, 0.3, 0.3]).painted(np.array([0.05, 0.05, 0.6]))
    props = (
        Prop(red, make_transform(np.eye(3), np.array([-0.5, 0.0, 0.0])), PLAIN),
        Prop(pane, np.eye(4), PLAIN),
    )
    materials = [Material({BODY: Surface(0.0)}), Material({BODY: surface})]
    shader = EnvironmentShader(UNIFORM, materials, np.random.default_rng(0), 1.0)
    frame = Renderer(Scene((), props, LAMP), make_shader=shader.attach).render(SIDE, CAMERA, shadow_rays=0)
    return frame.rgb[[32, 2], [32, 2]].astype(float)


def test_clear_pane_shows_the_wall_behind_it() -> None:
    opaque, _ = render_pane(Surface(0.0))
    through, wall = render_pane(Surface(0.0, colour=np.ones(3), transmission=1.0))
    assert opaque[2] > opaque[0]
    # Reflection at the pane takes 4 % of the light.
    assert_allclose(through, wall, rtol=0.05, atol=3)


def test_tint_darkens_and_print_stops_light() -> None:
    _, wall = render_pane(Surface(0.0, colour=np.ones(3), transmission=1.0))
    tinted, _ = render_pane(Surface(0.0, colour=np.full(3, 0.3), transmission=1.0))
    assert tinted[0] < 0.75 * wall[0]
    label = WrappedPrint(np.broadcast_to(np.float32([0.05, 0.6, 0.05]), (4, 4, 3)), -0.2, 0.2)
    covered, _ = render_pane(Surface(0.0, colour=np.ones(3), transmission=1.0, prints=(label,)))
    assert covered[1] > 3 * covered[0]


@pytest.mark.parametrize("seed", range(4))
def test_clear_materials_keep_their_print(seed: int) -> None:
    label = WrappedPrint(np.ones((4, 4, 3), np.float32), -0.2, 0.2)
    clear = make_clear(np.random.default_rng(seed), Material({BODY: Surface(0.3, prints=(label,))}))
    wall = clear.surface_by_part[BODY]
    assert clear.is_clear and wall.prints == (label,) and 0.5 < wall.transmission < 1.0
    assert wall.colour is not None and wall.colour.min() > 0.2
