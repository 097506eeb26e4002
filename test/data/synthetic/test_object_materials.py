"""Materials of objects: surfaces that they cover, reflections, and streams of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.household.shapes import make_household_object
from clipose_ros.data.synthetic.assets.mesh import BODY, CLOSURE, INSIDE, LENS, LIQUID, SCREEN, Mesh, box
from clipose_ros.data.synthetic.assets.prints import FlatPrint, WrappedPrint
from clipose_ros.data.synthetic.assets.shapes import SHAPE_GENERATORS, MeshObject, make_object
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.materials import BodyFrame, Material, Surface, group_by_surface
from clipose_ros.data.synthetic.object_materials import make_object_material, seed_stream
from clipose_ros.data.synthetic.raycast import build_embree_scene, find_intersections
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.scenes import Light, make_scene
from clipose_ros.data.synthetic.sequence import default_intrinsics
from clipose_ros.data.synthetic.shading import RayHits, Shader
from clipose_ros.data.synthetic.viewpoints import look_at

SOURCES: dict[str, Callable[[str, np.random.Generator], MeshObject]] = {
    "shapes": make_object,
    "household": make_household_object,
}
PLAIN = Texture("plain", 0.1, 0.2, np.zeros(3))


def face_normals(mesh: Mesh) -> np.ndarray:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    return cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-15)


def instances(source: str, category: str, count: int = 12) -> list[MeshObject]:
    return [SOURCES[source](category, np.random.default_rng([31, seed])) for seed in range(count)]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("category", ["bowl", "mug", "can"])
def test_inside_is_seen_from_above_and_the_body_from_beside(source: str, category: str) -> None:
    for item in instances(source, category):
        # A mug's box reaches over its handle: its axis is half as far from the back as the mug is wide.
        axis = np.array([(item.size[2] - item.size[0]) / 2 if category == "mug" else 0.0, 0.0, 0.0])
        origins = axis + np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
        rays = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
        found = find_intersections(build_embree_scene([item.mesh]), np.float32(origins), np.float32(rays))
        above, beside = item.mesh.parts[found.face].tolist()
        assert above in (INSIDE, LIQUID, CLOSURE) and beside == BODY


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("category", "part"), [("laptop", SCREEN), ("camera", LENS)])
def test_screens_and_lenses_are_marked(source: str, category: str, part: int) -> None:
    for item in instances(source, category):
        faces = item.mesh.parts == part
        assert faces.any() and item.mesh.colours[faces].max() < 0.7


def test_some_bottles_have_a_closure_at_their_top() -> None:
    closed = [item for item in instances("shapes", "bottle", 30) if (item.mesh.parts == CLOSURE).any()]
    assert len(closed) > 15
    for item in closed:
        assert item.mesh.select_part(CLOSURE).bounds[1][1] == pytest.approx(item.size[1] / 2)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("category", SHAPE_GENERATORS)
def test_equal_streams_give_equal_materials_with_bounded_values(source: str, category: str) -> None:
    for item in instances(source, category):
        first, second = (make_object_material(np.random.default_rng(5), category, item.mesh) for _ in range(2))
        assert first.surface_by_part.keys() == second.surface_by_part.keys()
        for part, surface in first.surface_by_part.items():
            assert 0.0 <= surface.gloss <= 1.0 and 0.0 < surface.roughness <= 1.0 and surface.transmission == 0.0
            if surface.colour is not None:
                assert surface.colour.min() >= 0.0 and surface.colour.max() <= 1.0
                np.testing.assert_array_equal(surface.colour, second.surface_by_part[part].colour)


@pytest.mark.parametrize("source", SOURCES)
def test_picture_of_a_screen_covers_the_screen(source: str) -> None:
    covered = 0
    for seed, item in enumerate(instances(source, "laptop")):
        surface = make_object_material(np.random.default_rng(seed), "laptop", item.mesh).surface_by_part[SCREEN]
        screen = item.mesh.select_part(SCREEN)
        front = face_normals(screen)
        for image in surface.prints:
            assert isinstance(image, FlatPrint) and surface.emission > 0.0
            facing = front @ np.cross(image.down, image.right) > 0.9
            _, opacity = image.sample(0.999 * screen.face_centres[facing] + 0.001 * image.centre, front[facing])
            assert facing.any() and (opacity == 1.0).all()
            # The upper edge of the picture is at the upper edge of the screen.
            assert image.down[1] < 0.0 and image.width > image.height
            covered += 1
    assert covered >= 6


def test_label_of_a_can_reaches_from_rim_to_rim() -> None:
    labels = 0
    for seed, item in enumerate(instances("shapes", "can", 20)):
        surface = make_object_material(np.random.default_rng(seed), "can", item.mesh).surface_by_part[BODY]
        for image in surface.prints:
            if isinstance(image, WrappedPrint):
                assert image.turns == 1.0 and image.high - image.low > 0.5 * item.size[1]
                labels += 1
    assert labels >= 14


def test_materials_change_colours_only() -> None:
    rng = np.random.default_rng(8)
    scene = make_scene(rng)
    state = rng.bit_generator.state
    camera, pose = default_intrinsics(160, 120), look_at(np.array([0.5, 0.4, 0.6]), np.zeros(3))
    drawn, plain = Renderer(scene).render(pose, camera), Renderer(scene, make_shader=Shader).render(pose, camera)
    for name in ("depth", "labels", "cos_incidence", "albedo"):
        np.testing.assert_array_equal(getattr(drawn, name), getattr(plain, name))
    assert (drawn.rgb != plain.rgb).any() and rng.bit_generator.state == state
    np.testing.assert_array_equal(drawn.rgb, Renderer(scene).render(pose, camera).rgb)


def test_streams_depend_on_the_phase_of_the_texture_alone() -> None:
    def draw(phase: float, kind: str = "plain") -> float:
        return float(seed_stream(Texture(kind, 0.1, 0.2, np.full(3, phase))).uniform())

    assert draw(0.1) == draw(0.1, "noise") != draw(0.2)


def test_hits_are_grouped_without_loss() -> None:
    rng = np.random.default_rng(3)
    body, part = rng.integers(0, 9, 500), rng.integers(0, 12, 500)
    frames = [BodyFrame(PLAIN, np.eye(4), Material({BODY: Surface(), 3: Surface(0.1 * k)})) for k in range(9)]
    seen = []
    for frame, surface, index in group_by_surface(frames, body, part):
        assert all(frames[k] is frame for k in body[index])
        assert all(frame.material.get_surface(k) is surface for k in part[index])
        seen += index.tolist()
    assert sorted(seen) == list(range(500))
    assert not list(group_by_surface(frames, body[:0], part[:0]))


def shade(surface: Surface, lamp: float = 0.8, ambient: float = 0.3) -> np.ndarray:
    """Return the colour of the top of a box, seen obliquely."""
    mesh = box([0.2, 0.2, 0.2]).painted(np.full(3, 0.5))
    top = int(np.flatnonzero(face_normals(mesh)[:, 2] > 0.9)[0])
    light = Light(np.array([0.5, 0.0, 1.5]), 0.05, np.full(3, lamp), np.full(3, ambient))
    shader = Shader([mesh], [(PLAIN, np.eye(4))], light, build_embree_scene([mesh]), [Material({BODY: surface})])
    one = np.ones((1, 1), np.float32)
    up, ray = one * np.float32([0, 0, 1]), one * np.float32([0.7, 0.0, -0.7])
    hits = RayHits(
        one * np.float32([0, 0, 0.1]), ray, np.zeros(1, int), np.array([top]),
        np.full((1, 3), 1 / 3, np.float32), up, np.zeros(1, np.float32),
    )  # fmt: skip
    return shader.shade(hits, 0)[0].astype(int)


def test_screen_shines_in_the_dark() -> None:
    lit = Surface(0.0, emission=1.0, colour=np.full(3, 0.5))
    assert shade(Surface(0.0), lamp=0.0, ambient=0.0).max() == 0
    assert shade(lit, lamp=0.0, ambient=0.0).min() > 150


def test_metal_reflects_the_room_and_matt_paint_does_not() -> None:
    colour = np.array([0.5, 0.2, 0.1])
    matt, metal = shade(Surface(0.0, colour=colour)), shade(Surface(1.0, colour=colour, metallic=True))
    assert abs(metal - matt).max() > 10
    assert metal[0] > metal[2], "a metal tints what it reflects"
