"""Materials of the six categories: labels, glaze, metal, caps, screens and lenses, drawn from a stream of their own.

Nothing here changes a shape, or a colour of a mesh, on which simulated depth noise depends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import BODY, HANDLE, INSIDE, PRINTED, Mesh
from clipose_ros.data.synthetic.assets.printed_labels import draw_cover
from clipose_ros.data.synthetic.assets.prints import SidePrint
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.device_materials import make_camera_material, make_laptop_material
from clipose_ros.data.synthetic.materials import PLAIN_MATERIAL, Material, Surface
from clipose_ros.data.synthetic.scenes import Scene
from clipose_ros.data.synthetic.vessel_materials import (
    make_bottle_material,
    make_bowl_material,
    make_can_material,
    make_mug_material,
)

_MAKERS: dict[str, Callable[[np.random.Generator, Mesh], Material]] = {
    "bottle": make_bottle_material,
    "bowl": make_bowl_material,
    "camera": make_camera_material,
    "can": make_can_material,
    "laptop": make_laptop_material,
    "mug": make_mug_material,
}
"""Makers of materials by category."""


def make_materials(scene: Scene) -> list[Material]:
    """Draw the materials of objects and props of a scene, each from a stream seeded by the phase of its texture."""
    materials = [
        make_object_material(seed_stream(item.texture), item.object.category, item.object.mesh)
        for item in scene.objects
    ]
    return materials + [make_prop_material(seed_stream(prop.texture), prop.mesh) for prop in scene.props]


def seed_stream(texture: Texture) -> np.random.Generator:
    """Return a random generator that depends on the phase of a texture alone."""
    return np.random.default_rng(np.frombuffer(np.ascontiguousarray(texture.phase).tobytes(), dtype=np.uint32))


def make_clear(rng: np.random.Generator, material: Material) -> Material:
    """Return a material with walls of clear or tinted glass, for shaders that look through surfaces."""
    tint = np.full(3, rng.uniform(0.7, 0.95)) if rng.uniform() < 0.7 else 0.3 + 0.65 * rng.uniform(size=3)
    share = float(rng.uniform(0.75, 0.97))
    walls = {
        part: replace(
            material.get_surface(part), gloss=1.0, roughness=0.05, colour=tint, metallic=False, transmission=share
        )
        for part in (BODY, HANDLE, INSIDE)
    }
    return Material({**material.surface_by_part, **walls})


def make_random_prop_material(rng: np.random.Generator, printed: float) -> Material:
    """Draw a material of random gloss, printed on all sides with a given probability."""
    gloss, roughness = float(rng.uniform(0.0, 0.7)), float(rng.uniform(0.4, 1.0))
    if rng.uniform() >= printed:
        return Material({BODY: Surface(gloss, roughness)})
    cover = SidePrint(draw_cover(rng), float(np.exp(rng.uniform(np.log(0.08), np.log(0.6)))))
    return Material({BODY: Surface(gloss, roughness, textured=0.0, prints=(cover,))})


def make_object_material(rng: np.random.Generator, category: str, mesh: Mesh) -> Material:
    """Draw the material of an object.

    Args:
        rng: Random generator; equal states give equal materials.
        category: Name of the category; those without a material of their own get a glossy one.
        mesh: The object in its own frame, metres. One with a texture gets a glossy material without print.
    """
    if mesh.texture is not None:
        return Material({BODY: Surface(float(rng.uniform(0.1, 0.8)), textured=0.0)})
    make = _MAKERS.get(category)
    return make(rng, mesh) if make is not None else Material({BODY: Surface(float(rng.uniform(0.1, 0.8)))})


def make_prop_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw the material of a prop: printed parts get a cover, all others keep their procedural texture."""
    if not (mesh.parts == PRINTED).any() or rng.uniform() < 0.25:
        return PLAIN_MATERIAL
    cover = SidePrint(draw_cover(rng), float(np.ptp(mesh.vertices, axis=0).max() * rng.uniform(0.6, 1.2)))
    plain = Surface(0.1, 0.6, textured=0.0)
    return Material({BODY: plain, PRINTED: Surface(float(rng.uniform(0.1, 0.6)), 0.3, textured=0.0, prints=(cover,))})
