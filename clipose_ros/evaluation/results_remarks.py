"""Remarks on results: what the NOCS protocol leaves out, and what it counts although it is malformed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.errors import quoted
from clipose_ros.evaluation.metrics.nocs_protocol import CATEGORY_WITH_HANDLE
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.geometry.similarity import describe_similarity_faults
from clipose_ros.types import BoolArray


@dataclass
class _Tally:
    """Number of rows of one kind, and the place of the first."""

    count: int = 0
    first: str = ""

    def add(self, name: str, key: str, rows: BoolArray) -> None:
        """Count the rows that are True."""
        if rows.any() and not self.count:
            self.first = f"first: {quoted(name)}, {key}[{int(np.flatnonzero(rows)[0])}]"
        self.count += int(rows.sum())


class ResultsRemarks:
    """Counts objects that the protocol leaves out, and predictions that are malformed.

    Args:
        categories: Categories of the evaluation.
    """

    def __init__(self, categories: CategorySet) -> None:
        self._categories = categories
        self._unknown = {"true objects": _Tally(), "predictions": _Tally()}
        self._unknown_ids: set[int] = set()
        self._missing, self._improper = _Tally(), _Tally()
        self._images_without_handles = 0

    def check(self, frame: NocsFrame) -> NocsFrame:
        """Count the rows of a frame and return it."""
        self._add_unknown("true objects", "gt_class_ids", frame.name, frame.truths)
        self._add_unknown("predictions", "pred_class_ids", frame.name, frame.predictions)
        matrices, extents = frame.predictions.S_camera_object, frame.predictions.extents
        faults = np.array(describe_similarity_faults(matrices), dtype=np.str_)
        missing = np.isin(faults, ("is not finite", "has the scale 0")) | ~np.isfinite(extents).all(axis=1)
        self._missing.add(frame.name, "pred_RTs", missing)
        self._improper.add(frame.name, "pred_RTs", ~missing & ((faults != "") | (extents <= 0.0).any(axis=1)))
        if not frame.handles_stated and CATEGORY_WITH_HANDLE in self._categories:
            mug = self._categories[CATEGORY_WITH_HANDLE].id
            self._images_without_handles += bool((frame.truths.class_ids == mug).any())
        return frame

    def sentences(self) -> list[str]:
        """Return one line for each kind that occurred."""
        known = ", ".join(str(category.id) for category in self._categories)
        ids = ", ".join(map(str, sorted(self._unknown_ids)[:5]))
        hint = "; class ids count from 1, not from 0" if 0 in self._unknown_ids else ""
        lines = [
            f"{tally.count} {kind} have class ids other than {known} ({ids}) and are left out ({tally.first}){hint}"
            for kind, tally in self._unknown.items()
            if tally.count
        ]
        if self._missing.count:
            lines.append(
                f"{self._missing.count} predictions have a pose or size that is not finite, or the scale 0, and count "
                f"as false ({self._missing.first})"
            )
        if self._improper.count:
            lines.append(
                f"{self._improper.count} predictions are mirrored, skewed or without a positive size and are scored as "
                "the release scores them: the box by its corners, the rotation from the matrix over the cube root of "
                f"its determinant ({self._improper.first})"
            )
        if self._images_without_handles:
            lines.append(
                f"{self._images_without_handles} images with mugs do not state gt_handle_visibility: their handles "
                "count as visible"
            )
        return lines

    def _add_unknown(self, kind: str, key: str, name: str, objects: NocsObjects) -> None:
        """Count the objects whose class id is no category."""
        unknown = ~np.isin(objects.class_ids, [category.id for category in self._categories])
        self._unknown[kind].add(name, key, unknown)
        self._unknown_ids.update(objects.class_ids[unknown].tolist())
