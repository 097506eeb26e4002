"""Compare simulated depth cameras with real frames: ``python -m ...sensors.compare_cameras xtion --frames FOLDER``.

The statistics of the frames and of simulated tables are printed. ``--out`` draws depth of both side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.data.synthetic.scenes import SceneConfig, make_scene
from clipose_ros.data.synthetic.sensors.cameras import DEPTH_CAMERAS, DepthCamera
from clipose_ros.data.synthetic.sensors.depth_statistics import DepthStatistics, measure_statistics
from clipose_ros.data.synthetic.sensors.raster_images import RasterScene
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.data.synthetic.sequence import default_intrinsics
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray

_NEAREST_M, _FARTHEST_M = 0.4, 1.5


def simulate_tables(
    camera: DepthCamera, intrinsics: CameraIntrinsics, count: int, is_rasterized: bool = True
) -> list[FloatArray]:
    """Return the depth ``(H, W)`` of random tables as a camera measures it, by the rasterizer or by rays."""
    make_bodies = RasterScene if is_rasterized else RayScene
    images, config = [], SceneConfig(objects_min=7, objects_max=8, lying=0.0, tilted=0.0, stacked=0.0)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        scene = make_scene(rng, config)
        meshes = [item.object.mesh.transformed(item.T_world_object) for item in scene.objects]
        bodies = make_bodies([*meshes, *(prop.mesh.transformed(prop.T_world_prop) for prop in scene.props)], rng)
        T_world_camera = look_at(np.array([0.1, -0.8, 0.55]), np.array([0.0, 0.0, 0.03]))
        images.append(camera.measure(bodies, T_world_camera, intrinsics, rng))
    return images


def draw_depth(images: Sequence[FloatArray]) -> ByteArray:
    """Draw depth images side by side in colours at half size; pixels without depth are black."""
    panels = []
    for image in images:
        share = np.clip((image - _NEAREST_M) / (_FARTHEST_M - _NEAREST_M), 0.0, 1.0)
        colours = np.asarray(cv2.applyColorMap((20 + 230 * share).astype(np.uint8), cv2.COLORMAP_TURBO))
        panels.append((colours * (image > 0)[..., None])[::2, ::2])
    return np.hstack(panels).astype(np.uint8)


def _print_statistics(name: str, statistics: DepthStatistics) -> None:
    plane, correlation = (", ".join(f"{x:.2f}" for x in v) for v in (statistics.plane_mm, statistics.correlation))
    shadows = f"left {statistics.left_shadow_mm:.0f} mm, right {statistics.right_shadow_mm:.0f} mm"
    holes = f"other holes {statistics.hole_px:.0f} px; invalid {100 * statistics.invalid:.0f} %"
    print(f"{name}: planes {plane} mm at 1 m, correlation {correlation}; shadows {shadows}; {holes}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the statistics of a simulated camera and of real frames; draw both if requested."""
    parser = argparse.ArgumentParser(prog="compare_cameras", description=__doc__)
    parser.add_argument("camera", choices=tuple(DEPTH_CAMERAS))
    parser.add_argument("--frames", type=Path, help="Folder of registered RGB-D frames with their intrinsics.")
    parser.add_argument("--tables", type=int, default=4, help="Number of simulated tables (4).")
    parser.add_argument("--rays", action="store_true", help="Render by rays instead of the rasterizer.")
    parser.add_argument("--out", type=Path, help="Draw the depth of the first real and simulated images.")
    options = parser.parse_args(arguments)
    intrinsics, real = default_intrinsics(640, 480), list[FloatArray]()
    if options.frames is not None:
        folder = open_rgbd_folder(options.frames)
        intrinsics = folder.intrinsics
        real = [np.nan_to_num(folder.read(index).depth) for index in range(len(folder))]
        _print_statistics("real", measure_statistics(real, intrinsics.fx))
    simulated = simulate_tables(DEPTH_CAMERAS[options.camera], intrinsics, options.tables, not options.rays)
    _print_statistics(options.camera, measure_statistics(simulated, intrinsics.fx))
    if options.out is not None:
        cv2.imwrite(str(options.out), draw_depth([*real[:2], *simulated[:2]]))


if __name__ == "__main__":
    main()
