"""Training clouds of NOCS frames: through the same cloud extraction and imperfect masks as simulated ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from clipose_ros.config import CloudConfig
from clipose_ros.data.cloud_sample import CloudSample, stack_samples
from clipose_ros.data.image_crop import crop_object_image
from clipose_ros.data.mask_augmentation import augment_mask
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import DataError
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.types import LABEL_BASE, ObjectCloud

MIN_CLOUD_POINTS = 50
"""Clouds of fewer pixels with depth are skipped (FS-Net, HS-Pose)."""


def load_nocs_samples(
    dataset: NocsDataset,
    seed: int,
    frames: int | None = None,
    cloud: CloudConfig | None = None,
    image_side: int = 0,
) -> CloudSamples:
    """The clouds of a part of the NOCS data.

    Args:
        dataset: The part.
        seed: Of the masks' imperfections and the choice of frames.
        frames: How many frames, drawn at random; all if left out.
        cloud: As of ``extract_frame_clouds``.
        image_side: Pixels of the side of each object's image; 0 makes none.

    Raises:
        DataError: A file is missing or malformed, or no frame gives a cloud.
    """
    chosen = np.sort(draw_frame_order(dataset, seed)[:frames])
    clouds = [each for index in chosen for each in extract_frame_clouds(dataset, int(index), seed, cloud, image_side)]
    if not clouds:
        raise DataError(f"{len(chosen)} frames of '{dataset.folder}' gave no cloud: ask for more frames")
    return stack_samples(clouds, dataset.categories)


def draw_frame_order(dataset: NocsDataset, seed: int) -> NDArray[np.int64]:
    """All frames in random order: the first so many of them are the choice of so many."""
    return np.random.default_rng(seed).permutation(len(dataset))


def extract_frame_clouds(
    dataset: NocsDataset, index: int, seed: int, cloud: CloudConfig | None = None, image_side: int = 0
) -> Iterator[CloudSample]:
    """The clouds of one frame; how much of an object is visible is not known and told as 1.

    Args:
        dataset: Whose frame.
        index: Its place there.
        seed: Of the masks' imperfections.
        cloud: How clouds are made; the robot's defaults, from 50 pixels, if left out.
        image_side: Pixels of the side of each object's image; 0 makes none.

    Raises:
        DataError: A file is missing or malformed.
    """
    config = cloud or CloudConfig(min_points=MIN_CLOUD_POINTS)
    shown, rng = dataset.read(index), np.random.default_rng([seed, index])
    for truth in shown.truths:
        category = truth.mask.category
        rough = augment_mask(truth.mask, shown.frame.depth.shape, rng)
        seen = extract_cloud(shown.frame, rough, config) if rough is not None else None
        if isinstance(seen, ObjectCloud):
            image = None
            if image_side:
                here = shown.frame.labels == dataset.categories[category].id * LABEL_BASE + truth.instance
                image = crop_object_image(shown.frame.rgb, np.asarray(here), image_side)
            yield CloudSample(
                points=np.asarray(seen.points_camera, dtype=np.float32),
                category=category,
                T_camera_object=truth.T_camera_object.astype(np.float32),
                size=truth.size.astype(np.float32),
                handle_visible=truth.handle_visible,
                visible_fraction=1.0,
                image=image,
            )
