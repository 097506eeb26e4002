"""Training clouds of small scenes around objects, measured by simulated depth cameras.

For each view and object, only the object's window is ray-cast: labels from the colour camera, infrared images from the
depth camera. The mask is distorted as the detector does, and the cloud is extracted by the code of the robot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clipose_ros.config import CloudConfig
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.synthetic.assets.mesh import HANDLE, Mesh
from clipose_ros.data.synthetic.assets.object_library import ObjectLibrary
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.detector_masks import distort_mask
from clipose_ros.data.synthetic.object_scenes import ObjectScene, ObjectSceneConfig, make_object_scene
from clipose_ros.data.synthetic.renderer import MIN_HANDLE_FRACTION, MIN_HANDLE_PIXELS, ObjectTruth
from clipose_ros.data.synthetic.samples import (
    MIN_HANDLE_POINTS,
    MIN_OBJECT_PIXELS,
    MIN_VISIBLE,
    count_handle_points,
    crop_intrinsics,
    random_intrinsics,
)
from clipose_ros.data.synthetic.sensors.cameras import DepthCamera, random_depth_camera
from clipose_ros.data.synthetic.sensors.lighting import SurfaceScene
from clipose_ros.data.synthetic.sensors.raster_images import RasterScene
from clipose_ros.data.synthetic.sensors.ray_images import RayScene
from clipose_ros.data.synthetic.silhouettes import RasterSilhouette, RaySilhouette, Silhouette
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray, InstanceMask, ObjectCloud, RgbdFrame

VIEWS_PER_SCENE = 4
"""Number of views of each scene."""
MAX_WINDOW_PX = 320
"""Largest side of an object's box in an image; cameras stay farther away."""
MARGIN_PX = 8
"""Margin around an object's box, pixels; masks grow by up to 6 pixels."""
MIN_MEASURED = 0.2
"""Minimum share of an object's visible pixels with depth; objects below it are skipped."""
DISTANCE_M = (0.3, 1.5)
"""Smallest and largest distance of the camera from the object."""


class WindowRenderer(NamedTuple):
    """Renderer of the windows of the objects.

    Attributes:
        make_scene: Source of the scene from its meshes and the random generator of their textures.
        make_silhouette: Source of the silhouette of a mesh.
    """

    make_scene: Callable[[Sequence[Mesh], np.random.Generator], SurfaceScene]
    make_silhouette: Callable[[Mesh], Silhouette]


RAYS = WindowRenderer(RayScene, RaySilhouette)
"""Rays of Embree, as the frozen test sets were made."""
RASTER = WindowRenderer(RasterScene, RasterSilhouette)
"""The compiled rasterizer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """An object of a scene with what measures its visibility.

    Attributes:
        body: Index of the body in the ray scene.
        item: The object.
        T_world_object: ``(4, 4)`` pose, metres.
        silhouette: Silhouette of the object.
        handle: Silhouette of its handle, or None.
    """

    body: int
    item: MeshObject
    T_world_object: FloatArray
    silhouette: Silhouette
    handle: Silhouette | None


def simulate_object_scene(
    rng: np.random.Generator,
    cloud: CloudConfig,
    object_library: ObjectLibrary,
    config: ObjectSceneConfig,
    renderer: WindowRenderer,
    draw_depth_camera: Callable[[np.random.Generator], DepthCamera] = random_depth_camera,
) -> Iterator[CloudSample]:
    """Simulate one random scene and yield the clouds of its objects, view by view.

    Args:
        rng: Random generator; equal states give equal clouds.
        cloud: Cloud extraction settings.
        object_library: Category set and source of the objects.
        config: Shares of the kinds of scene.
        renderer: How the windows of the objects are rendered.
        draw_depth_camera: Draws the depth camera of each view.

    Yields:
        The cloud of each sufficiently visible object with its ground truth.
    """
    scene = make_object_scene(rng, config, object_library.drawable, object_library.make)
    meshes = [item.mesh.transformed(T) for item, T in zip(scene.objects, scene.T_world_objects, strict=True)]
    bodies = renderer.make_scene([*meshes, *scene.others], rng)
    targets = [_make_target(scene, body, renderer) for body in range(len(scene.objects))]
    for _ in range(VIEWS_PER_SCENE):
        camera, depth_camera = random_intrinsics(rng), draw_depth_camera(rng)
        T_world_camera = _draw_view(rng, scene, camera)
        for target in targets:
            T_camera_object = invert_transform(T_world_camera) @ target.T_world_object
            window = crop_intrinsics(T_camera_object, target.item.size, camera, MARGIN_PX)
            if window is None or max(window.width, window.height) > 1.4 * MAX_WINDOW_PX:
                continue
            body, face, _ = bodies.find_bodies(T_world_camera, window)
            visible = body == target.body
            truth = _measure_truth(target, T_camera_object, window, visible, face)
            if truth.visible_fraction < MIN_VISIBLE or np.count_nonzero(visible) < MIN_OBJECT_PIXELS:
                continue
            mask = InstanceMask.from_full(truth.category, 1.0, distort_mask(visible, rng))
            if mask is None:
                continue
            depth = depth_camera.measure(bodies, T_world_camera, window, rng)
            if np.count_nonzero(depth[visible]) < MIN_MEASURED * np.count_nonzero(visible):
                continue
            frame = RgbdFrame(np.zeros((*depth.shape, 3), np.uint8), depth, window)
            result = extract_cloud(frame, mask, cloud)
            if isinstance(result, ObjectCloud):
                yield _make_sample(np.asarray(result.points_camera, dtype=np.float32), truth, target.item)


def _make_target(scene: ObjectScene, body: int, renderer: WindowRenderer) -> _Target:
    """Return an object of a scene with its silhouettes."""
    item = scene.objects[body]
    handle = renderer.make_silhouette(item.mesh.select_part(HANDLE)) if item.has_handle else None
    return _Target(body, item, scene.T_world_objects[body], renderer.make_silhouette(item.mesh), handle)


def _draw_view(rng: np.random.Generator, scene: ObjectScene, camera: CameraIntrinsics) -> FloatArray:
    """Draw a camera pose ``T_world_camera`` that sees an object anywhere in the image, or cut by its border."""
    index = int(rng.integers(len(scene.objects)))
    item, centre = scene.objects[index], scene.T_world_objects[index][:3, 3]
    diagonal = float(np.linalg.norm(item.size))
    nearest = max(DISTANCE_M[0], camera.fx * diagonal / MAX_WINDOW_PX)
    distance = np.exp(rng.uniform(np.log(nearest), np.log(max(DISTANCE_M[1], 1.2 * nearest))))
    # Most robots look down at 20 to 60 degrees; some views are level, where a table is hardly seen.
    elevation = np.radians(rng.uniform(20, 60) if rng.uniform() < 0.65 else rng.uniform(2, 80))
    azimuth = np.radians(scene.azimuth_deg + rng.normal(0.0, 40.0))
    flat = np.cos(elevation)
    eye = centre + distance * np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    roll = rng.normal(0.0, 6.0) if rng.uniform() < 0.8 else rng.uniform(-180.0, 180.0)
    T = look_at(eye, centre, roll)
    pixel = _draw_pixel(rng, camera, camera.fx * diagonal / distance)
    ray = np.array([(pixel[0] - camera.cx) / camera.fx, (pixel[1] - camera.cy) / camera.fy, 1.0])
    T[:3, :3] = T[:3, :3] @ _rotation_to(ray / np.linalg.norm(ray)).T
    return T


def _draw_pixel(rng: np.random.Generator, camera: CameraIntrinsics, side_px: float) -> FloatArray:
    """Draw the pixel ``(2,)`` at which an object's centre appears; one of six is near the border of the image."""
    size = np.array([camera.width, camera.height], dtype=np.float64)
    pixel: FloatArray = rng.uniform(0.15, 0.85, 2) * size
    if rng.uniform() < 1 / 6:
        axis, end = int(rng.integers(2)), float(rng.integers(2))
        pixel[axis] = end * size[axis] + rng.uniform(-0.15, 0.3) * side_px * (1 - 2 * end)
    return pixel


def _rotation_to(direction: FloatArray) -> FloatArray:
    """Return the smallest rotation ``(3, 3)`` that turns +z to a unit vector with a positive z."""
    x, y, z = direction
    return np.array(
        [[1 - x * x / (1 + z), -x * y / (1 + z), x], [-x * y / (1 + z), 1 - y * y / (1 + z), y], [-x, -y, z]]
    )


def _measure_truth(
    target: _Target, T_camera_object: FloatArray, window: CameraIntrinsics, visible: BoolArray, face: NDArray[np.int32]
) -> ObjectTruth:
    """Return pose, size and visibility of an object in a window."""
    seen = target.silhouette.measure_visibility(T_camera_object, window, visible)
    is_handle_visible = True
    if target.handle is not None:
        on_handle = visible & (target.item.mesh.parts[np.where(visible, face, 0)] == HANDLE)
        handle = target.handle.measure_visibility(T_camera_object, window, on_handle)
        is_handle_visible = handle.fraction >= MIN_HANDLE_FRACTION and handle.pixels >= MIN_HANDLE_PIXELS
    item = target.item
    return ObjectTruth(target.body + 1, item.category, T_camera_object, item.size, seen.fraction, is_handle_visible)


def _make_sample(points: FloatArray, truth: ObjectTruth, item: MeshObject) -> CloudSample:
    """Combine a cloud ``(N, 3)`` and its ground truth to a sample."""
    # The depth of a thin handle may be lost although its pixels are visible.
    lost = item.has_handle and count_handle_points(points, truth) < MIN_HANDLE_POINTS
    return CloudSample(
        points=points,
        category=truth.category,
        T_camera_object=truth.T_camera_object.astype(np.float32),
        size=truth.size.astype(np.float32),
        handle_visible=truth.handle_visible and not lost,
        visible_fraction=truth.visible_fraction,
    )
