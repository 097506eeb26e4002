"""Clouds of simulated scenes, extracted by the code that runs on the robot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clipose_ros.config import CloudConfig
from clipose_ros.data.image_crop import crop_object_image
from clipose_ros.data.mask_augmentation import augment_mask
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary
from clipose_ros.data.synthetic.depth_noise import add_depth_noise, random_depth_noise
from clipose_ros.data.synthetic.renderer import ObjectTruth, Renderer
from clipose_ros.data.synthetic.scenes import SceneConfig, make_scene
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
"""Cameras per scene."""
MIN_VISIBLE = 0.25
"""Objects less visible than this are left out."""
MIN_OBJECT_PIXELS = 200
"""Objects of fewer pixels are left out."""
MARGIN_PX = 16
"""Pixels around an object that are rendered with it, for masks and noise that reach beyond."""
MIN_HANDLE_POINTS = 8
"""A mug's handle counts as seen when this many of the cloud's points lie on it."""


def generate_samples(
    scenes: int,
    seed: int,
    categories: tuple[str, ...] | None = None,
    cloud: CloudConfig | None = None,
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY,
    image_side: int = 0,
) -> CloudSamples:
    """Simulate scenes and take the cloud of every object that can be seen well enough.

    Args:
        scenes: How many; each is seen from three places.
        seed: Scene i of a seed is always the same; different seeds share none.
        categories: What to put on the tables; all that the object library can draw if left out.
        cloud: How clouds are made; the robot's defaults if left out.
        object_library: The categories there are, and where instances come from.
        image_side: Pixels of the side of each object's image; 0 makes none, which is much faster.
    """
    chosen = object_library.drawable if categories is None else categories
    rows = [
        row
        for index in range(scenes)
        for row in simulate_scene(
            np.random.default_rng([seed, index]), chosen, cloud or CloudConfig(), object_library, image_side
        )
    ]
    if not rows:
        raise DataError(f"{scenes} scenes of seed {seed} gave no sample: ask for more scenes")
    points, truths, handles, images = zip(*rows, strict=True)
    return CloudSamples(
        points=np.stack(points),
        category_index=np.array([object_library.categories.index(truth.category) for truth in truths], dtype=np.int64),
        T_camera_object=np.stack([truth.T_camera_object for truth in truths]).astype(np.float32),
        size=np.stack([truth.size for truth in truths]).astype(np.float32),
        handle_visible=np.array(handles, dtype=bool),
        visible_fraction=np.array([truth.visible_fraction for truth in truths], dtype=np.float32),
        categories=object_library.categories,
        images=np.stack(images) if image_side else None,
    )


def simulate_scene(
    rng: np.random.Generator,
    categories: tuple[str, ...],
    cloud: CloudConfig,
    object_library: ObjectLibrary = NOCS_OBJECT_LIBRARY,
    image_side: int = 0,
) -> Iterator[tuple[FloatArray, ObjectTruth, bool, ByteArray | None]]:
    """Clouds of one random scene, each with its truth, whether a handle shows in it, and its image if asked for."""
    scene = make_scene(rng, random_scene_config(rng, categories), object_library.make)
    renderer = Renderer(scene, object_library.categories)
    for _ in range(VIEWS_PER_SCENE):
        camera, T_world_camera, sensor = random_intrinsics(rng), random_view(rng, scene), random_depth_noise(rng)
        for item in scene.objects:
            crop = crop_intrinsics(invert_transform(T_world_camera) @ item.T_world_object, item.object.size, camera)
            if crop is None:
                continue
            rendered = renderer.render(T_world_camera, crop, colour=image_side > 0, instances=(item.instance,))
            if not rendered.truths or rendered.truths[0].visible_fraction < MIN_VISIBLE:
                continue
            noisy = add_depth_noise(rendered.depth, rendered.cos_incidence, rendered.albedo, crop.fx, rng, sensor)
            truth = rendered.truths[0]
            seen = rendered.labels == object_library.categories[truth.category].id * LABEL_BASE + truth.instance
            points = _cloud(rng, RgbdFrame(rendered.rgb, noisy, crop), seen, truth.category, cloud)
            if points is not None:
                hidden = item.object.has_handle and _handle_points(points, truth) < MIN_HANDLE_POINTS
                image = crop_object_image(rendered.rgb, seen, image_side) if image_side else None
                yield points, truth, truth.handle_visible and not hidden, image


def crop_intrinsics(T_camera_object: FloatArray, size: FloatArray, camera: CameraIntrinsics) -> CameraIntrinsics | None:
    """The part of a camera's image that shows an object and a margin around it; rays elsewhere would be wasted.

    Returns:
        A camera of that window, or None where the object is out of sight or reaches behind the camera.
    """
    corners = box_corners(T_camera_object, size)
    if corners[:, 2].min() < 0.05:
        return None
    pixels = project(corners, camera)
    x0, y0 = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - MARGIN_PX, 0)
    x1, y1 = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + MARGIN_PX + 1, (camera.width, camera.height))
    if x1 - x0 < 16 or y1 - y0 < 16:
        return None
    return CameraIntrinsics(camera.fx, camera.fy, camera.cx - x0, camera.cy - y0, int(x1 - x0), int(y1 - y0))


def random_scene_config(rng: np.random.Generator, categories: tuple[str, ...]) -> SceneConfig:
    """Tables from crowded to sparse."""
    return SceneConfig(
        categories=categories,
        objects_max=9,
        radius_m=float(rng.uniform(0.16, 0.42)),
        distractors_max=int(rng.integers(0, 7)),
    )


def random_intrinsics(rng: np.random.Generator) -> CameraIntrinsics:
    """A VGA camera with a field of view between those of common depth cameras."""
    focal = float(rng.uniform(530, 640))
    return CameraIntrinsics(
        focal, focal * float(rng.uniform(0.995, 1.005)), 319.5 + rng.normal(0, 6), 239.5 + rng.normal(0, 6), 640, 480
    )


def _cloud(
    rng: np.random.Generator, frame: RgbdFrame, seen: BoolArray, category: str, config: CloudConfig
) -> FloatArray | None:
    """The cloud of one object, seen at those pixels, under an imperfect mask; None where too little of it is seen."""
    mask = InstanceMask.from_full(category, 1.0, seen)
    if mask is None or mask.mask.sum() < MIN_OBJECT_PIXELS:
        return None
    rough = augment_mask(mask, frame.depth.shape, rng)
    result = extract_cloud(frame, rough, config) if rough is not None else None
    return np.asarray(result.points_camera, dtype=np.float32) if isinstance(result, ObjectCloud) else None


def _handle_points(points: FloatArray, truth: ObjectTruth) -> int:
    """How many points of a mug's cloud lie beyond its body, where only the handle is."""
    local = transform_points(invert_transform(truth.T_camera_object), points)
    x, z = truth.size[0], truth.size[2]
    axis_x = (z - x) / 2.0
    within = (np.abs(local) < truth.size / 2.0 + 0.004).all(axis=1)
    beyond = np.hypot(local[:, 0] - axis_x, local[:, 2]) > z / 2.0 + 0.004
    return int((within & beyond).sum())
