"""Clouds with their ground truth, and the ``.npz`` files that hold them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
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
    """Clouds with their truth; S samples of N points.

    Attributes:
        points: ``(S, N, 3)`` float32, metres, camera optical frame.
        category_index: ``(S,)`` int64, place in ``categories``.
        T_camera_object: ``(S, 4, 4)`` float32.
        size: ``(S, 3)`` float32, full extent, metres, object frame.
        handle_visible: ``(S,)`` bool, whether the cloud shows the mug's handle; true for other categories.
        visible_fraction: ``(S,)`` float32, visible share of the object's outline.
        categories: What the clouds are of.
        images: ``(S, H, H, 3)`` uint8 RGB, the square around each object; None where colour was not asked for.
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

    def save(self, path: str | Path) -> None:
        """Write to ``.npz``; the file appears under its name only when it is whole."""
        path = Path(path)
        part = path.with_name(f".{path.name}.part")
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.images is not None:
            arrays["images"] = self.images
        with part.open("wb") as stream:
            np.savez(stream, categories=json.dumps(self.categories.to_records()), **arrays)
        part.replace(path)

    @classmethod
    def load(cls, *paths: str | Path) -> CloudSamples:
        """Read one or more files that ``save`` wrote, one after the other. Files that name none are of the six.

        Images are left out unless every file has them.

        Raises:
            DataError: A file is missing, not one of these, or of other categories than the first.
        """
        images: list[ByteArray] = []
        columns: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _ARRAYS}
        categories: CategorySet | None = None
        for path in paths:
            with open_arrays(path, "a file of cloud samples", "make it with `generate`") as archive:
                own = _categories_of(archive)
                for name in _ARRAYS:
                    columns[name].append(archive[name])
                if "images" in archive:
                    images.append(archive["images"])
            if categories not in (None, own):
                raise DataError(f"{path} is of other categories than {paths[0]}: generate both with the same")
            categories = own
        arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
        seen = np.concatenate(images) if paths and len(images) == len(paths) else None
        return cls(**arrays, categories=categories or NOCS_CATEGORIES, images=seen)


_ARRAYS = tuple(spec.name for spec in fields(CloudSamples) if spec.name not in ("categories", "images"))


def _categories_of(archive: NpzFile) -> CategorySet:
    """The category set that a file names."""
    if "categories" not in archive:
        return NOCS_CATEGORIES
    return CategorySet.from_records(json.loads(str(archive["categories"])))
