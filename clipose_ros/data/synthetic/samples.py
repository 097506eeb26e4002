"""Training clouds of synthetic scenes, extracted by the same code that runs on the robot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from clipose_ros.config import CloudConfig
from clipose_ros.data.cloud_sample import CloudSample, stack_samples
from clipose_ros.data.image_crop import crop_object_image
from clipose_ros.data.mask_augmentation import augment_mask
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.depth_noise import add_depth_noise, random_depth_noise
from clipose_ros.data.synthetic.depth_renderer import DepthRenderer
from clipose_ros.data.synthetic.renderer import ObjectTruth, RenderedFrame, Renderer
from clipose_ros.data.synthetic.scenes import Scene, SceneConfig, make_scene
from clipose_ros.data.synthetic.viewpoints import random_view
from clipose_ros.errors import DataError
from clipose_ros.geometry.boxes import box_corners
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import invert_transform, transform_points
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.types import (
    LABEL_BASE,
    BoolArray,
    ByteArray,
    CameraIntrinsics,
    FloatArray,
    InstanceMask,
    ObjectCloud,
    RgbdFrame,
)

VIEWS_PER_SCENE = 3
"""Number of views rendered of each scene."""
MIN_VISIBLE = 0.25
"""Minimum visible share of an object's silhouette; objects below it are skipped."""
MIN_OBJECT_PIXELS = 200
"""Minimum number of visible pixels of an object; objects below it are skipped."""
MARGIN_PX = 16
"""Margin rendered around an object, pixels, because masks and noise extend beyond its silhouette."""
MIN_HANDLE_POINTS = 8
"""Number of cloud points on a mug's handle from which the handle counts as visible."""


def generate_samples(
    scenes: int,
    seed: int,
    categories: tuple[str, ...] | None = None,
    cloud: CloudConfig | None = None,
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY,
    image_side: int = 0,
) -> CloudSamples:
    """Simulate scenes and extract the cloud of every sufficiently visible object.

    Args:
        scenes: Number of scenes, each with ``VIEWS_PER_SCENE`` views.
        seed: Seed of the scenes. Scene i of a seed is always the same; different seeds share no scene.
        categories: Categories of the objects; all drawable categories of the object library if left out.
        cloud: Cloud extraction settings; the robot's defaults if left out.
        object_library: Category set and source of the objects.
        image_side: Side of each object's image, pixels; 0 for no images, which is much faster.

    Raises:
        DataError: No scene gave a cloud.
    """
    chosen = object_library.drawable if categories is None else categories
    config = cloud or CloudConfig()
    clouds = [
        sample
        for index in range(scenes)
        for sample in simulate_scene(np.random.default_rng([seed, index]), chosen, config, object_library, image_side)
    ]
    if not clouds:
        raise DataError(f"{scenes} scenes of seed {seed} gave no sample: request more scenes")
    return stack_samples(clouds, object_library.categories)


def simulate_scene(
    rng: np.random.Generator,
    categories: tuple[str, ...],
    cloud: CloudConfig,
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY,
    image_side: int = 0,
    is_rasterized: bool = False,
) -> Iterator[CloudSample]:
    """Simulate one random scene and yield the clouds of its objects, view by view.

    Args:
        rng: Random generator; equal states give equal clouds.
        categories: Categories of the objects.
        cloud: Cloud extraction settings.
        object_library: Category set and source of the objects.
        image_side: Side of each object's image, pixels; 0 for no images.
        is_rasterized: Use the rasterizer instead of rays; images need rays.

    Yields:
        The cloud of each sufficiently visible object with its ground truth.
    """
    scene = make_scene(rng, random_scene_config(rng, categories), object_library.make)
    render = _choose_renderer(scene, object_library, image_side, is_rasterized)
    for _ in range(VIEWS_PER_SCENE):
        camera, T_world_camera, sensor = random_intrinsics(rng), random_view(rng, scene), random_depth_noise(rng)
        for item in scene.objects:
            crop = crop_intrinsics(invert_transform(T_world_camera) @ item.T_world_object, item.object.size, camera)
            if crop is None:
                continue
            # Rays are cast for the object's window only: most objects fill a small part of the image.
            rendered = render(T_world_camera, crop, instances=(item.instance,))
            if not rendered.truths or rendered.truths[0].visible_fraction < MIN_VISIBLE:
                continue
            noisy = add_depth_noise(rendered.depth, rendered.cos_incidence, rendered.albedo, crop.fx, rng, sensor)
            truth = rendered.truths[0]
            visible = rendered.labels == object_library.categories[truth.category].id * LABEL_BASE + truth.instance
            points = _extract_cloud(rng, RgbdFrame(rendered.rgb, noisy, crop), visible, truth.category, cloud)
            if points is None:
                continue
            # The depth of a thin handle may be lost although its pixels are visible.
            lost = item.object.has_handle and count_handle_points(points, truth) < MIN_HANDLE_POINTS
            image = crop_object_image(rendered.rgb, visible, image_side) if image_side else None
            yield _make_sample(points, truth, truth.handle_visible and not lost, image)


def _choose_renderer(
    scene: Scene, object_library: ObjectLibrary, image_side: int, is_rasterized: bool
) -> Callable[..., RenderedFrame]:
    """Return the function that renders a window of a camera."""
    if is_rasterized and not image_side:
        return DepthRenderer(scene, object_library.categories).render
    return partial(Renderer(scene, object_library.categories).render, colour=image_side > 0)


def _make_sample(points: FloatArray, truth: ObjectTruth, handle_visible: bool, image: ByteArray | None) -> CloudSample:
    """Combine a cloud ``(N, 3)``, its ground truth and its image to a sample."""
    return CloudSample(
        points=points,
        category=truth.category,
        T_camera_object=truth.T_camera_object.astype(np.float32),
        size=truth.size.astype(np.float32),
        handle_visible=handle_visible,
        visible_fraction=truth.visible_fraction,
        image=image,
    )


def crop_intrinsics(
    T_camera_object: FloatArray, size: FloatArray, camera: CameraIntrinsics, margin_px: int = MARGIN_PX
) -> CameraIntrinsics | None:
    """Crop intrinsics to the image window of an object with a margin, so that only its rays are cast.

    Args:
        T_camera_object: ``(4, 4)`` pose, metres.
        size: ``(3,)`` full extent, metres, object frame.
        camera: Intrinsics of the whole image.
        margin_px: Margin around the object's box, pixels.

    Returns:
        Intrinsics of the window; None if it is smaller than 16 pixels or the object is closer than 50 mm to the camera
        plane.
    """
    corners = box_corners(T_camera_object, size)
    if corners[:, 2].min() < 0.05:
        return None
    pixels = project(corners, camera)
    x0, y0 = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - margin_px, 0)
    x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + margin_px + 1, (camera.width, camera.height))
    if x1 - x0 < 16 or y1 - y0 < 16:
        return None
    return CameraIntrinsics(camera.fx, camera.fy, camera.cx - x0, camera.cy - y0, int(x1 - x0), int(y1 - y0))


def random_scene_config(rng: np.random.Generator, categories: tuple[str, ...]) -> SceneConfig:
    """Draw scene settings between crowded and sparse tables."""
    return SceneConfig(
        categories=categories,
        objects_max=9,
        radius_m=float(rng.uniform(0.16, 0.42)),
        distractors_max=int(rng.integers(0, 7)),
    )


def random_intrinsics(rng: np.random.Generator) -> CameraIntrinsics:
    """Draw intrinsics of a 640x480 camera with the focal length range of common depth cameras."""
    focal = float(rng.uniform(530, 640))
    return CameraIntrinsics(
        focal, focal * float(rng.uniform(0.995, 1.005)), 319.5 + rng.normal(0, 6), 239.5 + rng.normal(0, 6), 640, 480
    )


def _extract_cloud(
    rng: np.random.Generator, frame: RgbdFrame, visible: BoolArray, category: str, config: CloudConfig
) -> FloatArray | None:
    """Extract the cloud ``(N, 3)`` of the object at its visible pixels with an augmented mask, or None if too small."""
    mask = InstanceMask.from_full(category, 1.0, visible)
    if mask is None or mask.mask.sum() < MIN_OBJECT_PIXELS:
        return None
    augmented = augment_mask(mask, frame.depth.shape, rng)
    result = extract_cloud(frame, augmented, config) if augmented is not None else None
    return np.asarray(result.points_camera, dtype=np.float32) if isinstance(result, ObjectCloud) else None


def count_handle_points(points: FloatArray, truth: ObjectTruth) -> int:
    """Count the points of a mug's cloud ``(N, 3)`` on its handle: inside the box but beyond the round body."""
    local = transform_points(invert_transform(truth.T_camera_object), points)
    x, z = truth.size[0], truth.size[2]
    axis_x = (z - x) / 2.0
    within = (np.abs(local) < truth.size / 2.0 + 0.004).all(axis=1)
    beyond = np.hypot(local[:, 0] - axis_x, local[:, 2]) > z / 2.0 + 0.004
    return int((within & beyond).sum())
