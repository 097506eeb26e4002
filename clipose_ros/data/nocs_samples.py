"""Training clouds of NOCS frames: through the same cloud extraction and imperfect masks as simulated ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clipose_ros.config import CloudConfig
from clipose_ros.data.masks import perturb_mask
from clipose_ros.data.nocs import NocsDataset, NocsTruth
from clipose_ros.data.object_image import object_image
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import DataError
from clipose_ros.inference.cloud import extract_cloud
from clipose_ros.segmentation.labels import LABEL_BASE
from clipose_ros.types import ByteArray, FloatArray, ObjectCloud

MIN_POINTS = 50
"""Clouds of fewer pixels with depth are skipped (FS-Net, HS-Pose)."""


def nocs_samples(
    dataset: NocsDataset,
    seed: int,
    frames: int | None = None,
    cloud: CloudConfig | None = None,
    image_side: int = 0,
) -> CloudSamples:
    """The clouds of a part of the NOCS data; how much of an object is visible is not known and told as 1.

    Args:
        dataset: The part.
        seed: Of the masks' imperfections and the choice of frames.
        frames: How many frames, drawn at random; all if left out.
        cloud: How clouds are made; the robot's defaults, from 50 pixels, if left out.
        image_side: Pixels of the side of each object's image; 0 makes none.

    Raises:
        DataError: A file is missing or malformed, or no frame gives a cloud.
    """
    order = np.random.default_rng(seed).permutation(len(dataset))[:frames]
    config = cloud or CloudConfig(min_points=MIN_POINTS)
    rows = [row for index in np.sort(order) for row in _rows(dataset, int(index), seed, config, image_side)]
    if not rows:
        raise DataError(f"{len(order)} frames of '{dataset.folder}' gave no cloud: ask for more frames")
    points, truths, images = zip(*rows, strict=True)
    return CloudSamples(
        points=np.stack(points),
        category_index=np.array([dataset.categories.index(t.mask.category) for t in truths], dtype=np.int64),
        T_camera_object=np.stack([t.T_camera_object for t in truths]).astype(np.float32),
        size=np.stack([t.size for t in truths]).astype(np.float32),
        handle_visible=np.array([t.handle_visible for t in truths], dtype=bool),
        visible_fraction=np.ones(len(truths), dtype=np.float32),
        categories=dataset.categories,
        images=np.stack(images) if image_side else None,
    )


def _rows(
    dataset: NocsDataset, index: int, seed: int, config: CloudConfig, image_side: int
) -> Iterator[tuple[FloatArray, NocsTruth, ByteArray | None]]:
    """Clouds of one frame with their truths, and images where asked for."""
    shown, rng = dataset.read(index), np.random.default_rng([seed, index])
    for truth in shown.truths:
        rough = perturb_mask(truth.mask, shown.frame.depth.shape, rng)
        cloud = extract_cloud(shown.frame, rough, config) if rough is not None else None
        if not isinstance(cloud, ObjectCloud):
            continue
        seen = shown.frame.labels == dataset.categories[truth.mask.category].id * LABEL_BASE + truth.instance
        image = object_image(shown.frame.rgb, np.asarray(seen), image_side) if image_side else None
        yield np.asarray(cloud.points_camera, dtype=np.float32), truth, image
