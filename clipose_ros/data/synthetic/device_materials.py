"""Materials of laptops and cameras: screens, lids, coated glass, ribbed rings, leather and displays."""

from __future__ import annotations

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import BARREL, BODY, GRIP, LENS, LID, SCREEN, Mesh
from clipose_ros.data.synthetic.assets.object_prints import (
    draw_camera_back,
    draw_decal,
    draw_name_plate,
    draw_ribs,
    draw_screen,
)
from clipose_ros.data.synthetic.assets.prints import FlatPrint, Print, WrappedPrint
from clipose_ros.data.synthetic.materials import Material, Surface
from clipose_ros.types import FloatArray

_, Y, Z = np.eye(3)


def make_laptop_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw a lit or dark screen, and a sign on the lid."""
    body = Surface(float(rng.uniform(0.1, 0.5)), 0.4, textured=0.0)
    centre, down, width, height = _find_screen(mesh)
    if rng.uniform() < 0.75:
        picture = FlatPrint(draw_screen(rng), centre, -Z, down, width, height)
        screen = Surface(0.6, 0.1, emission=float(rng.uniform(0.6, 1.0)), textured=0.0, prints=(picture,))
    else:
        screen = Surface(1.0, 0.08, np.full(3, 0.01), textured=0.0)
    surface_by_part = {BODY: body, SCREEN: screen}
    if rng.uniform() < 0.7:
        # The lid is seen from behind, where right and left are exchanged.
        sign = FlatPrint(draw_decal(rng), centre, Z, down, 0.22 * width, 0.22 * width)
        surface_by_part[LID] = Surface(body.gloss, body.roughness, textured=0.0, prints=(sign,))
    return Material(surface_by_part)


def make_camera_material(rng: np.random.Generator, mesh: Mesh) -> Material:
    """Draw coated glass, ribbed rings, leather, the name of a maker and a display on the back."""
    (x0, y0, z0), (x1, y1, z1) = mesh.bounds
    lens = mesh.vertices[mesh.faces[mesh.parts == BARREL].ravel()] if (mesh.parts == BARREL).any() else mesh.vertices
    (lens_x0, _, _), (lens_x1, _, _) = lens.min(axis=0), lens.max(axis=0)
    middle = (lens.min(axis=0) + lens.max(axis=0)) / 2.0
    height, width = float(y1 - y0), float(z1 - z0)
    name_at = np.array([x1, 0.5 * (lens[:, 1].max() + y1), middle[2]])
    name = FlatPrint(draw_name_plate(rng), name_at, -Z, -Y, 0.32 * width, 0.11 * height)
    prints: list[Print] = [name] if rng.uniform() < 0.85 else []
    if rng.uniform() < 0.75:
        at = np.array([x0, y0 + 0.42 * height, 0.5 * (z0 + z1)])
        prints.append(FlatPrint(draw_camera_back(rng), at, Z, -Y, 0.85 * width, 0.62 * height))
    ring = np.sort(rng.uniform(0.1, 0.9, 2)) * (lens_x1 - lens_x0) + lens_x0
    ribs = WrappedPrint(
        draw_ribs(int(rng.integers(30, 60)), 0.8), float(ring[0]), float(ring[1]), axis=0, centre=middle
    )
    coating = np.array([rng.uniform(0.01, 0.06), rng.uniform(0.005, 0.03), rng.uniform(0.02, 0.09)])
    gloss = float(rng.uniform(0.2, 0.7))
    return Material(
        {
            BODY: Surface(gloss, 0.35, textured=0.0, prints=tuple(prints)),
            GRIP: Surface(0.15, 0.6, textured=0.0, prints=tuple(prints[1:])),
            BARREL: Surface(gloss, 0.3, textured=0.0, prints=(ribs,)),
            LENS: Surface(1.0, 0.06, coating, textured=0.0),
        }
    )


def _find_screen(mesh: Mesh) -> tuple[FloatArray, FloatArray, float, float]:
    """Return centre, unit vector towards the hinge, width and height of a laptop's screen, metres.

    Meshes from files have no marked screen; theirs is taken to be the upper half of the mesh.
    """
    marked = mesh.faces[mesh.parts == SCREEN]
    points = mesh.vertices[marked.ravel()] if len(marked) else mesh.vertices[mesh.vertices[:, 1] > 0.0]
    if len(points) == 0:
        points = mesh.vertices
    low, high = points.min(axis=0), points.max(axis=0)
    # The screen is widest along z; across it, its longest extent lies in the plane of x and y.
    flat = points[:, :2] - points[:, :2].mean(axis=0)
    along = np.linalg.svd(flat, full_matrices=False)[2][0]
    down = np.array([*along, 0.0]) * (-1.0 if along[1] > 0 else 1.0)
    reach = points @ down
    return (low + high) / 2.0, down, float(high[2] - low[2]), float(max(np.ptp(reach), 1e-3))
