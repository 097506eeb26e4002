"""Contact sheet of random shapes, to be looked at: ``python -m ...household.contact_sheet bottle bottles.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.household.shapes import HOUSEHOLD_GENERATORS, make_household_object
from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.types import ByteArray, CameraIntrinsics

_COLUMNS, _ROWS, _SIDE = 10, 6, 150
_DISTANCE_M = 1.2
_Y_TO_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]])


def draw_contact_sheet(category: str, seed: int) -> ByteArray:
    """Draw 60 random shapes of a category at one scale, each from a random side with its size in millimetres.

    Returns:
        ``(H, W, 3)`` uint8 image, RGB.
    """
    objects = [make_household_object(category, np.random.default_rng([seed, i])) for i in range(_COLUMNS * _ROWS)]
    extent = float(np.quantile([np.linalg.norm(item.size) for item in objects], 0.95))
    tiles = []
    for i, item in enumerate(objects):
        tile = _draw(item.mesh, extent, np.random.default_rng([seed, i, 1]))
        text = " ".join(f"{1e3 * side:.0f}" for side in item.size)
        tiles.append(cv2.putText(tile, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA))
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)


def _draw(mesh: Mesh, extent: float, rng: np.random.Generator) -> ByteArray:
    """Draw a mesh by its normals and colours, seen from a random side above the table."""
    focal = 0.95 * _SIDE * _DISTANCE_M / extent
    window = CameraIntrinsics(2 * focal, 2 * focal, _SIDE, _SIDE, 2 * _SIDE, 2 * _SIDE)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(15, 50))
    direction = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    T_world_camera = look_at(_DISTANCE_M * np.array(direction), np.zeros(3))
    view = RayScene([mesh.transformed(_Y_TO_Z_UP)], rng, 0.0).cast(T_world_camera, window)
    light = 0.35 + 0.65 * np.clip(view.normals @ (T_world_camera[:3, :3] @ np.array([-0.4, -0.5, -0.77])), 0.0, 1.0)
    # Dark surfaces are lightened, so that their form can be seen.
    grey = np.where(view.body >= 0, light * (0.25 + 0.75 * np.sqrt(view.albedo)), 1.0)
    small = cv2.resize((255 * np.clip(grey, 0, 1)).astype(np.uint8), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(np.repeat(small[..., None], 3, axis=2))


def main() -> None:
    """Write the contact sheet of a category to an image file."""
    parser = argparse.ArgumentParser(prog="contact_sheet", description=__doc__)
    parser.add_argument("category", choices=tuple(HOUSEHOLD_GENERATORS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.imwrite(str(options.out), draw_contact_sheet(options.category, options.seed))


if __name__ == "__main__":
    main()
