"""Arrays of clouds with ground truth, and their ``.npz`` files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.atomic_files import write_arrays
from clipose_ros.bounded_files import parse_json
from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.arrays import ArrayArchive, open_arrays
from clipose_ros.data.cloud_checks import find_fault
from clipose_ros.errors import DataError, quoted
from clipose_ros.types import BoolArray, ByteArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class CloudSamples:
    """Clouds with ground truth: S samples of N points.

    Attributes:
        points: ``(S, N, 3)`` float32, metres, camera optical frame.
        category_index: ``(S,)`` int64, index into ``categories``.
        T_camera_object: ``(S, 4, 4)`` float32 poses, metres.
        size: ``(S, 3)`` float32 full extents, metres, object frame.
        handle_visible: ``(S,)`` bool, false for a mug whose handle is hidden.
        visible_fraction: ``(S,)`` float32, visible share of the object's silhouette.
        categories: Category set of the clouds.
        images: ``(S, H, H, 3)`` uint8 RGB crops around the objects, or None.
    """

    points: FloatArray
    category_index: NDArray[np.int64]
    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: BoolArray
    visible_fraction: FloatArray
    categories: CategorySet = NOCS_CATEGORIES
    images: ByteArray | None = None

    def __len__(self) -> int:
        return len(self.points)

    def select(self, rows: NDArray[np.int64]) -> CloudSamples:
        """Return the clouds with the row indices ``(B,)``, in that order; a row may be repeated."""
        arrays = {name: getattr(self, name)[rows] for name in _ARRAYS}
        return replace(self, **arrays, images=None if self.images is None else self.images[rows])

    def save(self, path: str | Path) -> None:
        """Write a ``.npz`` file that is complete or absent.

        Raises:
            DataError: The file cannot be written, for example on a full disk.
        """
        arrays = {"categories": np.array(json.dumps(self.categories.to_records()))}
        arrays |= {name: getattr(self, name) for name in _ARRAYS}
        if self.images is not None:
            arrays["images"] = self.images
        write_arrays(Path(path), arrays)

    @classmethod
    def load(cls, *paths: str | Path) -> CloudSamples:
        """Read and concatenate files that ``save`` wrote.

        Files without a category set have the six NOCS categories. Images are kept only if every file has them.

        Raises:
            DataError: A file is missing or malformed, holds a degenerate cloud, or has other categories than the first.
        """
        loaded: list[CloudSamples] = []
        for path in paths:
            with open_arrays(path, "a file of cloud samples", "create it again with `generate`") as archive:
                categories = _read_categories(archive)
                arrays = _read_arrays(archive, len(categories))
                images = _read_images(archive, len(arrays["points"])) if "images" in archive else None
            loaded.append(cls(**arrays, categories=categories, images=images))  # type: ignore[arg-type]  # checked above
            # Indices of different category sets would be mixed up silently.
            if categories != loaded[0].categories:
                raise DataError(f"{path} has different categories from {paths[0]}: generate both with the same ones")
        return concatenate_samples(loaded)


_ARRAYS = tuple(spec.name for spec in fields(CloudSamples) if spec.name not in ("categories", "images"))
_TYPES = {"points": "f", "category_index": "iu", "handle_visible": "b"}
"""Kinds of NumPy types of the arrays; float for all others."""


def concatenate_samples(sets: Sequence[CloudSamples]) -> CloudSamples:
    """Concatenate sets of clouds, at least one; images are kept only if all have them.

    Raises:
        DataError: The category sets, the numbers of points or the sizes of the images differ.
    """
    if others := [each for each in sets if each.categories != sets[0].categories]:
        names = ["/".join(each.categories.names) for each in (sets[0], others[0])]
        raise DataError(
            f"clouds of {names[0]} and {names[1]} cannot be concatenated: generate both with the same categories"
        )
    images = [each.images for each in sets if each.images is not None]
    for what, parts in (("points", [each.points for each in sets]), ("image pixels", images)):
        if len(shapes := {part.shape[1:-1] for part in parts}) > 1:
            raise DataError(f"clouds have different numbers of {what}, {sorted(shapes)[:2]}: generate all alike")
    arrays = {name: np.concatenate([getattr(each, name) for each in sets]) for name in _ARRAYS}
    all_images = np.concatenate(images) if len(images) == len(sets) else None
    return CloudSamples(**arrays, categories=sets[0].categories, images=all_images)


def _read_arrays(archive: ArrayArchive, categories: int) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a file; raise DataError if their types or shapes are wrong, or a cloud is degenerate."""
    # An optional array whose name is damaged would be left out.
    if unknown := set(archive) - {*_ARRAYS, "categories", "images"}:
        raise DataError(f"it has the unknown array {quoted(min(unknown))}")
    arrays = {name: archive[name] for name in _ARRAYS}
    points = arrays["points"]
    count = len(points) if points.ndim == 3 and points.shape[1] else -1
    tails = {"points": (*points.shape[1:2], 3), "T_camera_object": (4, 4), "size": (3,)}
    for name, array in arrays.items():
        expected = (count, *tails.get(name, ()))
        if array.shape != expected or array.dtype.kind not in _TYPES.get(name, "f"):
            raise DataError(f"'{name}' has the shape {array.shape} and the type {array.dtype!s:.80}")
    index, visible = arrays["category_index"].astype(np.int64), arrays["visible_fraction"].astype(np.float64)
    ranges = (("category_index", index, categories - 1), ("visible_fraction", visible, 1.0 + 1e-6))
    for name, values, high in ranges:
        if len(wrong := np.flatnonzero(~((values >= 0) & (values <= high)))):
            raise DataError(f"cloud {wrong[0]}: its {name} is {values[wrong[0]]}, expected 0 to {high:.0f}")
    T, size = arrays["T_camera_object"].astype(np.float64), arrays["size"].astype(np.float64)
    if fault := find_fault(points.astype(np.float32, copy=False), T, size):
        others = f"; {fault.count} clouds have this fault" if fault.count > 1 else ""
        raise DataError(f"cloud {fault.row}: {fault.reason}{others}")
    return arrays


def _read_images(archive: ArrayArchive, count: int) -> ByteArray:
    """Return the images of a file."""
    images = archive["images"]
    if images.dtype != np.uint8 or images.ndim != 4 or (len(images), images.shape[3]) != (count, 3):
        raise DataError(f"'images' has the shape {images.shape} and the type {images.dtype!s:.80}")
    return images.astype(np.uint8, copy=False)


def _read_categories(archive: ArrayArchive) -> CategorySet:
    """Return the category set of a file."""
    if "categories" not in archive:
        return NOCS_CATEGORIES
    records = parse_json(str(archive["categories"]))
    if not isinstance(records, list):
        raise DataError("its categories are not a list")
    return CategorySet.from_records(records)
