"""CAMERA25 and REAL275: frames with the truth that their coordinate maps hold, official truths and detections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet
from clipose_ros.data.nocs.files import (
    BACKGROUND,
    PARTS,
    SUBSETS,
    MetaLine,
    NocsSubset,
    decode_coordinates,
    decode_depth,
    read_image,
    read_mask,
    read_meta,
)
from clipose_ros.data.nocs.frame_index import list_frames
from clipose_ros.data.nocs.ground_truth import OfficialTruth, read_detections, read_official_truths
from clipose_ros.data.nocs.object_models import NocsModels
from clipose_ros.errors import ConfigError, DataError, DegenerateInputError
from clipose_ros.geometry.camera import backproject
from clipose_ros.geometry.similarity import Similarity, fit_similarity_ransac
from clipose_ros.types import LABEL_BASE, BoolArray, FloatArray, InstanceMask, LabelArray, RgbdFrame

MIN_FIT_PIXELS = 64
"""Instances with fewer pixels of valid depth have no truth."""
MAX_FIT_PIXELS = 3000
"""Pixels that a truth is fitted to, at most."""
MIN_INLIER_RATIO = 0.3
"""Share of those pixels that must agree with it."""
MIN_PIXELS_BEYOND_BODY = 20
"""A mug's handle counts as visible when so many pixels lie beyond its body."""
VISIBLE_HANDLE_RADIUS_RATIO = 1.05
"""... farther from its axis than its radius by this factor."""


@dataclass(frozen=True, slots=True, eq=False)
class NocsTruth:
    """An instance and where it really is.

    Attributes:
        instance: Its number in the mask.
        model: Name of its model.
        mask: Where it is seen; score 1.
        T_camera_object: ``(4, 4)`` pose. A mug's origin is on its body's axis if corrected, else at its box's centre.
        size: ``(3,)`` full extent of the box centred there, metres, object frame.
        handle_visible: False for a mug whose handle is hidden.
        inliers: Share of the pixels that agree with the pose.
    """

    instance: int
    model: str
    mask: InstanceMask
    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: bool
    inliers: float


@dataclass(frozen=True, slots=True, eq=False)
class NocsImage:
    """A frame with its truths, and why some instances have none.

    Attributes:
        name: Such as ``scene_1/0000``.
        frame: Colour, depth and labels (category id x 1000 + instance).
        truths: Instances with a truth, in the order of the meta file.
        left_out: The others, each with its reason.
    """

    name: str
    frame: RgbdFrame
    truths: tuple[NocsTruth, ...]
    left_out: tuple[str, ...]


class NocsDataset:
    """One part of the NOCS data.

    ``frames`` names the whole ones and ``missing`` the files that others lack. The list is kept in ``index`` and
    renewed for the folders that changed since.

    Args:
        root: Folder of the unpacked archives.
        subset: ``camera_train``, ``camera_val``, ``real_train`` or ``real_test``.
        correct_mugs: Whether mugs are centred on their body's axis, as published methods do; needs ``mug_meta.pkl``.
        categories: Where class ids are looked up; others are left out.
        index: File for the list of frames; within the root if left out.

    Raises:
        ConfigError: There is no such subset.
        DataError: The root or the subset's folder is missing, or holds no whole frame.
    """

    def __init__(
        self,
        root: str | Path,
        subset: str,
        *,
        correct_mugs: bool = True,
        categories: CategorySet = NOCS_CATEGORIES,
        index: str | Path | None = None,
    ) -> None:
        if subset not in SUBSETS:
            raise ConfigError(f"unknown NOCS subset '{subset}': expected one of {', '.join(SUBSETS)}")
        self.root, self.subset, self.categories, self.correct_mugs = (
            Path(root),
            SUBSETS[subset],
            categories,
            correct_mugs,
        )
        self.folder = _frames_folder(self.root, self.subset)
        self._models = NocsModels(self.root, self.subset)
        scenes = list_frames(self.folder, Path(index) if index else self.root / f".clipose_{subset}.json")
        self.frames = tuple(f"{name}/{number}" for name, scene in scenes.items() for number in scene.whole)
        self.missing = tuple(self.folder / name / file for name, scene in scenes.items() for file in scene.missing)
        if not self.frames:
            hint = f"; the first missing file is '{self.missing[0]}'" if self.missing else ""
            raise DataError(f"'{self.folder}' holds no whole frame (NNNN_ with {', '.join(PARTS)}){hint}")

    def __len__(self) -> int:
        return len(self.frames)

    def read_frame(self, index: int) -> RgbdFrame:
        """Colour, depth and labels of a frame; needs neither its coordinate map nor the models.

        Raises:
            DataError: A file is missing or malformed; the message names it.
        """
        name = self.frames[index]
        rgb = np.ascontiguousarray(read_image(self._part(name, "color.png"), cv2.IMREAD_COLOR)[..., ::-1])
        labels: LabelArray = np.zeros(rgb.shape[:2], dtype=np.uint16)
        for line, category, here in self._instances(name):
            labels[here] = category.id * LABEL_BASE + line.instance
        return RgbdFrame(rgb, self._depth(name), self.subset.intrinsics, labels=labels)

    def read(self, index: int) -> NocsImage:
        """A frame with the truths fitted to its coordinate map; equal calls give equal truths.

        Raises:
            DataError: A file is missing or malformed; the message names it.
        """
        name, frame = self.frames[index], self.read_frame(index)
        points = backproject(frame.depth, self.subset.intrinsics)
        coordinates = decode_coordinates(read_image(self._part(name, "coord.png"), cv2.IMREAD_COLOR))
        truths, left_out = [], []
        for line, category, here in self._instances(name):
            try:
                truths.append(self._truth(line, category.name, here, points, coordinates))
            except DegenerateInputError as error:
                left_out.append(f"{name}, instance {line.instance} ({line.model}): {error}")
        return NocsImage(name, frame, tuple(truths), tuple(left_out))

    def read_official(self, index: int) -> list[OfficialTruth]:
        """The released truths of a frame, as their file says: mugs are not corrected.

        Raises:
            DataError: The subset has none, or the frame's file is missing or malformed.
        """
        return read_official_truths(self._record(index, self.subset.truth, "official truths"), self.categories)

    def read_detections(self, index: int) -> list[InstanceMask]:
        """What Mask R-CNN found in a frame.

        Raises:
            DataError: The subset has none, or the frame's file is missing or malformed.
        """
        return read_detections(self._record(index, self.subset.detections, "detections"), self.categories)

    def _record(self, index: int, place: tuple[str, tuple[str, ...]] | None, what: str) -> Path:
        """The file of a frame's truths or detections."""
        if place is None:
            raise DataError(f"there are no {what} of {self.subset.name}, only of camera_val and real_test")
        folder, beginnings = place
        scene, number = self.frames[index].split("/")
        paths = [self.root / folder / f"{start}_{scene}_{number}.pkl" for start in beginnings]
        for path in paths:
            if path.is_file():
                return path
        raise DataError(f"there is no '{paths[0]}', which holds the {what} of {self.frames[index]}")

    def _instances(self, name: str) -> Iterator[tuple[MetaLine, Category, BoolArray]]:
        """Instances of known categories that a frame shows, each with its pixels."""
        mask = read_mask(self._part(name, "mask.png"))
        for line in read_meta(self._part(name, "meta.txt")):
            category, here = self.categories.by_id(line.class_id), mask == line.instance
            if category is not None and line.instance != BACKGROUND and here.any():
                yield line, category, here

    def _part(self, name: str, part: str) -> Path:
        return self.folder / f"{name}_{part}"

    def _depth(self, name: str) -> FloatArray:
        """Composed depth where the root has it, else that of the objects alone."""
        path = self._part(name, "depth.png")
        if self.subset.composed is not None and (self.root / self.subset.composed).is_dir():
            path = self.root / self.subset.composed / f"{name}_composed.png"
        return decode_depth(read_image(path), path)

    def _truth(
        self, line: MetaLine, category: str, here: BoolArray, points: FloatArray, coordinates: FloatArray
    ) -> NocsTruth:
        """The truth of one instance, or DegenerateInputError with the reason why there is none."""
        fit, inliers = _fit(coordinates[here], points[here], line.instance)
        extents, stored, handle = self._models.extents(line), coordinates[here], True
        if category == "mug":
            correction = self._models.mug_correction(line.model) if self.correct_mugs else None
            if self.correct_mugs and correction is None:
                raise DegenerateInputError("mug_meta.pkl has no correction for it")
            handle = handle_visible(stored, extents)
            if correction is not None:
                fit, extents = correction.pose(fit), correction.extents(extents)
        mask = InstanceMask.from_full(category, 1.0, here)
        assert mask is not None  # some pixel is set
        return NocsTruth(line.instance, line.model, mask, fit.T_camera_object, fit.scale * extents, handle, inliers)


def _fit(coordinates: FloatArray, points: FloatArray, seed: int) -> tuple[Similarity, float]:
    """The similarity that carries an instance's coordinates to its points, and the share of pixels that agree."""
    valid = np.flatnonzero(np.isfinite(points).all(axis=1))
    if valid.size < MIN_FIT_PIXELS:
        raise DegenerateInputError(f"{valid.size} pixels have depth, {MIN_FIT_PIXELS} are needed")
    rng = np.random.default_rng(seed)
    chosen = valid if valid.size <= MAX_FIT_PIXELS else rng.choice(valid, MAX_FIT_PIXELS, replace=False)
    fit, inliers = fit_similarity_ransac(coordinates[chosen], points[chosen], rng)
    share = float(inliers.mean())
    if share < MIN_INLIER_RATIO:
        raise DegenerateInputError(f"only {share:.0%} of its pixels agree with any pose")
    return fit, share


def handle_visible(stored: FloatArray, extents: FloatArray) -> bool:
    """Whether enough of a mug's coordinates lie beyond its round body, whose diameter is its z extent.

    Args:
        stored: ``(N, 3)`` coordinates of its pixels, NOCS units, not corrected.
        extents: ``(3,)`` of its box, NOCS units.
    """
    x, _, z = extents
    beyond = np.hypot(stored[:, 0] + (x - z) / 2.0, stored[:, 2]) > VISIBLE_HANDLE_RADIUS_RATIO * z / 2.0
    return int(beyond.sum()) >= MIN_PIXELS_BEYOND_BODY


def _frames_folder(root: Path, subset: NocsSubset) -> Path:
    for name in subset.folders:
        if (root / name).is_dir():
            return root / name
    listed = " or ".join(f"'{root / name}'" for name in subset.folders)
    raise DataError(f"the frames of {subset.name} are not there: expected the folder {listed}")
