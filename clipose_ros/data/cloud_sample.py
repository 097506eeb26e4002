"""A single cloud with ground truth: the record type of shards and scene sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import DataError
from clipose_ros.types import ByteArray, FloatArray


@dataclass(frozen=True, slots=True)
class CloudSample:
    """A cloud with ground truth; one row of ``CloudSamples``.

    Attributes:
        points: ``(N, 3)`` float32, metres, camera optical frame.
        category: Name of the category.
        T_camera_object: ``(4, 4)`` float32 pose, metres.
        size: ``(3,)`` float32 full extent, metres, object frame.
        handle_visible: False for a mug whose handle is hidden.
        visible_fraction: Visible share of the object's silhouette.
        image: ``(H, H, 3)`` uint8 RGB crop around the object, or None.
    """

    points: FloatArray
    category: str
    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: bool
    visible_fraction: float
    image: ByteArray | None = None


def stack_samples(samples: Sequence[CloudSample], categories: CategorySet) -> CloudSamples:
    """Stack clouds, at least one, into arrays. Images are kept only if every cloud has one.

    Raises:
        DataError: Clouds differ in their number of points, or in the size of their images.
    """
    images = [sample.image for sample in samples if sample.image is not None]
    for what, arrays in (("points", [sample.points for sample in samples]), ("image pixels", images)):
        if len(shapes := {array.shape[:-1] for array in arrays}) > 1:
            raise DataError(f"clouds have different numbers of {what}, {sorted(shapes)[:2]}: generate all alike")
    return CloudSamples(
        points=np.stack([sample.points for sample in samples]),
        category_index=np.array([categories.index(sample.category) for sample in samples], dtype=np.int64),
        T_camera_object=np.stack([sample.T_camera_object for sample in samples]),
        size=np.stack([sample.size for sample in samples]),
        handle_visible=np.array([sample.handle_visible for sample in samples], dtype=bool),
        visible_fraction=np.array([sample.visible_fraction for sample in samples], dtype=np.float32),
        categories=categories,
        images=np.stack(images) if len(images) == len(samples) else None,
    )
