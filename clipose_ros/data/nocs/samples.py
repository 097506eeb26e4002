"""Training clouds of NOCS frames, with the same cloud extraction and mask augmentation as synthetic ones."""

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
"""Minimum number of pixels with depth of a cloud, as in FS-Net and HS-Pose; clouds below it are skipped."""


def load_nocs_samples(
    dataset: NocsDataset,
    seed: int,
    frames: int | None = None,
    cloud: CloudConfig | None = None,
    image_side: int = 0,
) -> CloudSamples:
    """Extract the clouds of a subset of the NOCS data.

    Args:
        dataset: The subset.
        seed: Seed of the mask augmentation and of the choice of frames.
        frames: Number of frames, drawn at random; all if left out.
        cloud: Cloud extraction settings; see ``extract_frame_clouds``.
        image_side: Side of each object's image, pixels; 0 for no images.

    Raises:
        DataError: A file is missing or malformed, or no frame gave a cloud.
    """
    # Ascending order reads neighbouring files together.
    chosen = np.sort(draw_frame_order(dataset, seed)[:frames])
    clouds = [each for index in chosen for each in extract_frame_clouds(dataset, int(index), seed, cloud, image_side)]
    if not clouds:
        raise DataError(f"{len(chosen)} frames of '{dataset.folder}' gave no cloud: request more frames")
    return stack_samples(clouds, dataset.categories)


def draw_frame_order(dataset: NocsDataset, seed: int) -> NDArray[np.int64]:
    """Draw a random order of all frames. The first n of it are the choice of n frames."""
    return np.random.default_rng(seed).permutation(len(dataset))


def extract_frame_clouds(
    dataset: NocsDataset, index: int, seed: int, cloud: CloudConfig | None = None, image_side: int = 0
) -> Iterator[CloudSample]:
    """Extract the clouds of one frame. The visible fraction is unknown and set to 1.

    Args:
        dataset: The subset.
        index: Index of the frame.
        seed: Seed of the mask augmentation.
        cloud: Cloud extraction settings; if left out, the robot's defaults with at least ``MIN_CLOUD_POINTS`` pixels.
        image_side: Side of each object's image, pixels; 0 for no images.

    Raises:
        DataError: A file is missing or malformed.
    """
    config = cloud or CloudConfig(min_points=MIN_CLOUD_POINTS)
    # Seeding by frame makes the clouds independent of the choice and order of frames.
    nocs_image, rng = dataset.read(index), np.random.default_rng([seed, index])
    for truth in nocs_image.truths:
        category = truth.mask.category
        augmented = augment_mask(truth.mask, nocs_image.frame.depth.shape, rng)
        extracted = extract_cloud(nocs_image.frame, augmented, config) if augmented is not None else None
        if isinstance(extracted, ObjectCloud):
            image = None
            if image_side:
                visible = nocs_image.frame.labels == dataset.categories[category].id * LABEL_BASE + truth.instance
                image = crop_object_image(nocs_image.frame.rgb, np.asarray(visible), image_side)
            yield CloudSample(
                points=np.asarray(extracted.points_camera, dtype=np.float32),
                category=category,
                T_camera_object=truth.T_camera_object.astype(np.float32),
                size=truth.size.astype(np.float32),
                handle_visible=truth.handle_visible,
                visible_fraction=1.0,
                image=image,
            )
