"""Arrays of clouds with ground truth, and their ``.npz`` files."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.arrays import open_arrays
from clipose_ros.errors import DataError
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
        """Write a ``.npz`` file through a temporary file that is renamed when complete."""
        path = Path(path)
        # An interrupted run leaves a temporary file, not a truncated one that looks complete.
        part = path.with_name(f".{path.name}.part")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.images is not None:
            arrays["images"] = self.images
        with part.open("wb") as stream:
            np.savez(stream, categories=json.dumps(self.categories.to_records()), **arrays)
        part.replace(path)

    @classmethod
    def load(cls, *paths: str | Path) -> CloudSamples:
        """Read and concatenate files that ``save`` wrote.

        Files without a category set have the six NOCS categories. Images are kept only if every file has them.

        Raises:
            DataError: A file is missing or malformed, or has other categories than the first.
        """
        images: list[ByteArray] = []
        columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _ARRAYS}
        categories: CategorySet | None = None
        for path in paths:
            with open_arrays(path, "a file of cloud samples", "make it with `generate`") as archive:
                file_categories = _read_categories(archive)
                for name in _ARRAYS:
                    columns[name].append(archive[name])
                if "images" in archive:
                    images.append(archive["images"])
            # Indices of different category sets would be mixed up silently.
            if categories not in (None, file_categories):
                raise DataError(f"{path} has different categories from {paths[0]}: generate both with the same ones")
            categories = file_categories
        arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
        all_images = np.concatenate(images) if paths and len(images) == len(paths) else None
        return cls(**arrays, categories=categories or NOCS_CATEGORIES, images=all_images)


_ARRAYS = tuple(spec.name for spec in fields(CloudSamples) if spec.name not in ("categories", "images"))


def _read_categories(archive: NpzFile) -> CategorySet:
    """Return the category set of a file."""
    if "categories" not in archive:
        return NOCS_CATEGORIES
    return CategorySet.from_records(json.loads(str(archive["categories"])))
