"""Frames of CAMERA25 and REAL275 with ground truth fitted to coordinate maps, official truths and detections.

Ground truth of an instance, as released methods compute it:

1. Each pixel i of the instance with valid depth gives a camera point p_i (metres) and a NOCS coordinate c_i in
   [-0.5, 0.5]^3 from the coordinate map. At most ``MAX_FIT_PIXELS`` pixels are drawn.
2. RANSAC fits the similarity p_i = s R c_i + t. The fit is rejected if its inlier ratio is below ``MIN_INLIER_RATIO``.
3. The size is s times the model's extents, which have a diagonal of 1. For mugs, pose and extents are moved to the axis
   of the body; see ``MugCorrection``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet
from clipose_ros.data.nocs.files import (
    BACKGROUND,
    FRAME_FILES,
    SUBSETS,
    MetaLine,
    NocsSubset,
    RecordFiles,
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
"""Minimum number of pixels with valid depth; instances below it get no ground truth."""
MAX_FIT_PIXELS = 3000
"""Maximum number of pixels in a fit."""
MIN_INLIER_RATIO = 0.3
"""Minimum inlier ratio of a fit; instances below it get no ground truth."""
MIN_PIXELS_BEYOND_BODY = 20
"""Number of pixels beyond the body of a mug from which its handle counts as visible."""
VISIBLE_HANDLE_RADIUS_RATIO = 1.05
"""Distance from a mug's axis, relative to the radius of its body, from which a pixel lies beyond the body."""


@dataclass(frozen=True, slots=True, eq=False)
class NocsTruth:
    """Ground truth of an instance.

    Attributes:
        instance: Instance number in the mask image.
        model: Name of the object model.
        mask: Visible pixels; score 1.
        T_camera_object: ``(4, 4)`` pose, metres. The origin of a corrected mug lies on the axis of its body, otherwise
            at the centre of its box.
        size: ``(3,)`` full extent of the box centred at the origin, metres, object frame.
        handle_visible: False for a mug whose handle is hidden.
        inlier_ratio: Share of the fitted pixels that agree with the pose.
    """

    instance: int
    model: str
    mask: InstanceMask
    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: bool
    inlier_ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class NocsImage:
    """A frame with ground truth.

    Attributes:
        name: Scene and frame number, such as ``scene_1/0000``.
        frame: Colour, depth and label image (category id x 1000 + instance).
        truths: Ground truth of the instances, in the order of the meta file.
        skipped: Instances without ground truth, each with the reason.
    """

    name: str
    frame: RgbdFrame
    truths: tuple[NocsTruth, ...]
    skipped: tuple[str, ...]


class NocsDataset:
    """A subset of the NOCS datasets.

    The list of frames is cached in the index file. Folders that changed since are listed again.

    Args:
        root: Folder of the unpacked archives.
        subset: ``camera_train``, ``camera_val``, ``real_train`` or ``real_test``.
        correct_mugs: Centre mugs on the axis of their body, as published methods do; needs ``mug_meta.pkl``.
        categories: Category set by which class ids are looked up; instances of other NOCS categories are skipped.
        index: Index file of the frames; ``.clipose_SUBSET.json`` in the root if left out.

    Attributes:
        frames: Names of the complete frames, such as ``scene_1/0000``.
        missing: Files that the incomplete frames lack.
        folder: Folder of the frames.

    Raises:
        ConfigError: The subset is unknown.
        DataError: The folder of the subset is missing or holds no complete frame.
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
        self.root, self.subset = Path(root), SUBSETS[subset]
        self.categories, self.correct_mugs = categories, correct_mugs
        self.folder = _find_frames_folder(self.root, self.subset)
        self._models = NocsModels(self.root, self.subset)
        scenes = list_frames(self.folder, Path(index) if index else self.root / f".clipose_{subset}.json")
        self.frames = tuple(f"{name}/{number}" for name, scene in scenes.items() for number in scene.whole)
        self.missing = tuple(self.folder / name / file for name, scene in scenes.items() for file in scene.missing)
        if not self.frames:
            hint = f"; the first missing file is '{self.missing[0]}'" if self.missing else ""
            raise DataError(f"'{self.folder}' holds no complete frame (NNNN_ with {', '.join(FRAME_FILES)}){hint}")

    def __len__(self) -> int:
        return len(self.frames)

    def read_frame(self, index: int) -> RgbdFrame:
        """Read colour, depth and labels of a frame, without its coordinate map and models.

        Raises:
            DataError: A file is missing or malformed; the message names it.
        """
        name = self.frames[index]
        # OpenCV reads BGR.
        rgb = np.ascontiguousarray(read_image(self._file(name, "color.png"), cv2.IMREAD_COLOR)[..., ::-1])
        labels: LabelArray = np.zeros(rgb.shape[:2], dtype=np.uint16)
        for line, category, pixels in self._iter_instances(name):
            labels[pixels] = category.id * LABEL_BASE + line.instance
        return RgbdFrame(rgb, self._read_depth(name), self.subset.intrinsics, labels=labels)

    def read(self, index: int) -> NocsImage:
        """Read a frame and fit its ground truth to the coordinate map. Equal calls give equal results.

        Raises:
            DataError: A file is missing or malformed; the message names it.
        """
        name, frame = self.frames[index], self.read_frame(index)
        points = backproject(frame.depth, self.subset.intrinsics)
        coordinates = decode_coordinates(read_image(self._file(name, "coord.png"), cv2.IMREAD_COLOR))
        truths, skipped = [], []
        for line, category, pixels in self._iter_instances(name):
            try:
                truths.append(self._fit_truth(line, category.name, points[pixels], coordinates[pixels], pixels))
            except DegenerateInputError as error:
                skipped.append(f"{name}, instance {line.instance} ({line.model}): {error}")
        return NocsImage(name, frame, tuple(truths), tuple(skipped))

    def read_official(self, index: int) -> list[OfficialTruth]:
        """Read the released ground truth of a frame; mugs are not corrected.

        Raises:
            DataError: The subset has no released truth, or a file of the frame is missing or malformed, or its rows
                are not those of mask and meta file.
        """
        path = self._find_record(index, self.subset.truth, "official truths")
        instances = list(self._iter_visible(self.frames[index]))
        return read_official_truths(path, instances, self._models, self.categories)

    def read_detections(self, index: int) -> list[InstanceMask]:
        """Read the Mask R-CNN detections of a frame.

        Raises:
            DataError: The subset has no detections, or the file of the frame is missing or malformed.
        """
        return read_detections(self._find_record(index, self.subset.detections, "detections"), self.categories)

    def _find_record(self, index: int, files: RecordFiles | None, content: str) -> Path:
        """Return the existing pickle of a frame's truths or detections, or raise DataError."""
        if files is None:
            raise DataError(f"there are no {content} of {self.subset.name}, only of camera_val and real_test")
        scene, number = self.frames[index].split("/")
        paths = [self.root / files.folder / f"{prefix}_{scene}_{number}.pkl" for prefix in files.prefixes]
        for path in paths:
            if path.is_file():
                return path
        raise DataError(f"there is no '{paths[0]}', which holds the {content} of {self.frames[index]}")

    def _iter_instances(self, name: str) -> Iterator[tuple[MetaLine, Category, BoolArray]]:
        """Yield the visible instances of the categories with their pixel masks ``(H, W)``."""
        for line, pixels in self._iter_visible(name):
            category = self.categories.by_id(line.class_id)
            if category is not None:
                yield line, category, pixels

    def _iter_visible(self, name: str) -> Iterator[tuple[MetaLine, BoolArray]]:
        """Yield the instances that have pixels, without distractors, in the order of the meta file."""
        mask = read_mask(self._file(name, "mask.png"))
        for line in read_meta(path := self._file(name, "meta.txt")):
            # Distractors have class id 0, which is no category. The background value is no instance even if a meta file
            # lists it.
            if line.class_id == 0 or line.instance == BACKGROUND:
                continue
            if not any(known.by_id(line.class_id) for known in (self.categories, NOCS_CATEGORIES)):
                raise DataError(
                    f"'{path}': instance {line.instance} has the class id {line.class_id}, which is no category: "
                    f"expected {', '.join(str(category.id) for category in self.categories)}, or 0 for a distractor"
                )
            pixels = mask == line.instance
            if pixels.any():
                yield line, pixels

    def _file(self, name: str, suffix: str) -> Path:
        """Return the path of a file of a frame."""
        return self.folder / f"{name}_{suffix}"

    def _read_depth(self, name: str) -> FloatArray:
        """Read the composed depth if the root has it, otherwise the depth of the objects without background."""
        path = self._file(name, "depth.png")
        # CAMERA renders objects into real scenes: its plain depth lacks the table around them.
        if self.subset.composed is not None and (self.root / self.subset.composed).is_dir():
            path = self.root / self.subset.composed / f"{name}_composed.png"
        return decode_depth(read_image(path), path)

    def _fit_truth(
        self, line: MetaLine, category: str, points: FloatArray, coordinates: FloatArray, pixels: BoolArray
    ) -> NocsTruth:
        """Fit the ground truth of one instance.

        Args:
            line: Entry of the meta file.
            category: Name of the category.
            points: ``(N, 3)`` camera points of the instance's pixels, metres; NaN without depth.
            coordinates: ``(N, 3)`` NOCS coordinates of these pixels.
            pixels: ``(H, W)`` bool, the N pixels.

        Raises:
            DegenerateInputError: The instance gets no ground truth; the message is the reason.
        """
        fit, inliers = _fit_similarity(coordinates, points, line.instance)
        extents, handle = self._models.read_extents(line), True
        if category == "mug":
            correction = self._models.mug_correction(line.model) if self.correct_mugs else None
            # The file has no correction for models known to be improper.
            if self.correct_mugs and correction is None:
                raise DegenerateInputError("mug_meta.pkl has no correction for this model")
            handle = has_visible_handle(coordinates, extents)
            if correction is not None:
                fit, extents = correction.correct_pose(fit), correction.correct_extents(extents)
        mask = InstanceMask.from_full(category, 1.0, pixels)
        assert mask is not None  # _iter_instances yields no empty masks
        return NocsTruth(line.instance, line.model, mask, fit.T_camera_object, fit.scale * extents, handle, inliers)


def _fit_similarity(coordinates: FloatArray, points: FloatArray, seed: int) -> tuple[Similarity, float]:
    """Fit the similarity from NOCS coordinates ``(N, 3)`` to camera points ``(N, 3)`` and return its inlier ratio.

    Raises:
        DegenerateInputError: Too few pixels have depth, or too few agree with the best fit.
    """
    valid = np.flatnonzero(np.isfinite(points).all(axis=1))
    if valid.size < MIN_FIT_PIXELS:
        raise DegenerateInputError(f"{valid.size} pixels have depth, at least {MIN_FIT_PIXELS} are needed")
    rng = np.random.default_rng(seed)  # seeded by the instance, so that each read gives the same truth
    chosen = valid if valid.size <= MAX_FIT_PIXELS else rng.choice(valid, MAX_FIT_PIXELS, replace=False)
    fit, inliers = fit_similarity_ransac(coordinates[chosen], points[chosen], rng)
    share = float(inliers.mean())
    if share < MIN_INLIER_RATIO:
        raise DegenerateInputError(
            f"only {share:.0%} of the pixels agree with the best pose, at least {MIN_INLIER_RATIO:.0%} are needed"
        )
    return fit, share


def has_visible_handle(coordinates: FloatArray, extents: FloatArray) -> bool:
    """Return True if enough of a mug's pixels lie beyond its round body.

    The diameter of the body is the z extent of the box, and its axis is at x = -(x extent - z extent) / 2, because the
    handle points to +x.

    Args:
        coordinates: ``(N, 3)`` coordinates of the mug's pixels, NOCS units, not corrected.
        extents: ``(3,)`` extents of the mug's box, NOCS units.
    """
    x, _, z = extents
    beyond = np.hypot(coordinates[:, 0] + (x - z) / 2.0, coordinates[:, 2]) > VISIBLE_HANDLE_RADIUS_RATIO * z / 2.0
    return int(beyond.sum()) >= MIN_PIXELS_BEYOND_BODY


def _find_frames_folder(root: Path, subset: NocsSubset) -> Path:
    """Return the first existing folder of the subset's frames, or raise DataError."""
    for name in subset.folders:
        if (root / name).is_dir():
            return root / name
    listed = " or ".join(f"'{root / name}'" for name in subset.folders)
    raise DataError(f"there are no frames of {subset.name}: expected the folder {listed}")
