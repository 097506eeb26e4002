"""Recorded sequences: the point clouds of all objects in all frames of a simulated camera sweep, stored in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.atomic_files import write_arrays
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig, SegmentationConfig
from clipose_ros.data.arrays import open_arrays
from clipose_ros.data.synthetic.renderer import ObjectTruth
from clipose_ros.data.synthetic.sequence import SequenceConfig, SequenceFrame, render_sequence
from clipose_ros.errors import DataError
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import LABEL_BASE, BoolArray, FloatArray, InstanceMask, ObjectCloud

FPS = 30
_CONTENT, _REMEDY = "a recorded sequence", "give the name of a new file to record one"
_RECIPE = "recipe"  # array of a film that holds its recipe
CAMERA_SWEEP_DEG = 55.0
"""Half of the angle through which the camera sweeps once around the table, degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class CloudTruths:
    """True poses and sizes of the objects of S clouds.

    Attributes:
        T_camera_object: ``(S, 4, 4)`` poses, metres.
        size: ``(S, 3)`` full extents, metres, object frame.
        handle_visible: ``(S,)`` bool; false for mugs whose handle is hidden in the frame of the cloud.
    """

    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: BoolArray

    @classmethod
    def from_objects(cls, truths: Sequence[ObjectTruth]) -> CloudTruths:
        """Return the truths of one cloud of each object."""
        return cls(
            np.stack([truth.T_camera_object for truth in truths]),
            np.stack([truth.size for truth in truths]),
            np.array([truth.handle_visible for truth in truths], dtype=np.bool_),
        )


@dataclass(frozen=True, slots=True, eq=False)
class RecordedSequence:
    """Point clouds of static objects seen by a camera: S clouds of N points in F frames, sorted by frame.

    Attributes:
        points: ``(S, N, 3)`` float32, metres, camera optical frame.
        frame: ``(S,)`` int64 frame index of each cloud.
        category: ``(S,)`` names of the categories.
        instance: ``(S,)`` int64 instance id of the object in the scene.
        T_world_camera: ``(F, 4, 4)`` true camera poses.
        truths: True pose and size of each cloud; None in files of earlier versions.
    """

    points: FloatArray
    frame: NDArray[np.int64]
    category: NDArray[np.str_]
    instance: NDArray[np.int64]
    T_world_camera: FloatArray
    truths: CloudTruths | None = None

    @property
    def frames(self) -> int:
        """Return the number of frames, frames without objects included."""
        return len(self.T_world_camera)

    @property
    def camera_rests(self) -> bool:
        """Return True if the camera has the same pose in all frames."""
        return bool((self.T_world_camera == self.T_world_camera[0]).all())

    def require_truths(self) -> CloudTruths:
        """Return the truths.

        Raises:
            DataError: The sequence has none.
        """
        if self.truths is None:
            raise DataError("the sequence was recorded by an earlier version and has no true poses: record it again")
        return self.truths

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file. The file is renamed to ``path`` only after it is complete."""
        write_arrays(path, self._arrays(""))

    @classmethod
    def load(cls, path: Path) -> RecordedSequence:
        """Read a file written by ``save``.

        Raises:
            DataError: The file is missing or is not a recorded sequence.
        """
        with open_arrays(path, _CONTENT, _REMEDY) as archive:
            return cls._from_arrays(archive, "")

    def _arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """Return all arrays by name, the truths among the others."""
        arrays = {f"{prefix}{name}": getattr(self, name) for name in _SEQUENCE_ARRAYS}
        if self.truths is not None:
            arrays |= {f"{prefix}{name}": getattr(self.truths, name) for name in _TRUTH_ARRAYS}
        return arrays

    @classmethod
    def _from_arrays(cls, archive: Mapping[str, NDArray[np.generic]], prefix: str) -> RecordedSequence:
        """Return the sequence of the arrays whose names have a prefix."""
        truths = None
        if f"{prefix}{_TRUTH_ARRAYS[0]}" in archive:
            truths = CloudTruths(**{name: archive[f"{prefix}{name}"] for name in _TRUTH_ARRAYS})  # type: ignore[arg-type]  # arrays of an archive have no dtype
        return cls(**{name: archive[f"{prefix}{name}"] for name in _SEQUENCE_ARRAYS}, truths=truths)  # type: ignore[arg-type]  # as above


_TRUTH_ARRAYS = tuple(spec.name for spec in fields(CloudTruths))
_SEQUENCE_ARRAYS = tuple(spec.name for spec in fields(RecordedSequence) if spec.name != "truths")


def save_film(path: Path, sequences: Sequence[RecordedSequence], recipe: str) -> None:
    """Write several sequences to one ``.npz`` file. The file is renamed to ``path`` only after it is complete.

    Args:
        path: The file.
        sequences: Recorded sequences.
        recipe: Text that determines the sequences.
    """
    arrays: dict[str, NDArray[np.generic]] = {_RECIPE: np.array(recipe)}
    for number, sequence in enumerate(sequences):
        arrays |= sequence._arrays(f"{number:04d}.")
    write_arrays(path, arrays)


def load_film(path: Path) -> tuple[list[RecordedSequence], str]:
    """Read the sequences and the recipe of a file written by ``save_film``.

    Raises:
        DataError: The file is missing or holds no sequences of tables.
    """
    with open_arrays(path, "a film of several tables", _REMEDY) as archive:
        recipe = str(archive[_RECIPE])
        prefixes = sorted({name.split(".")[0] for name in archive if name != _RECIPE})
        return [RecordedSequence._from_arrays(archive, f"{prefix}.") for prefix in prefixes], recipe


def record_sequence(
    seconds: float, seed: int = 0, workers: int = 0, cloud: CloudConfig | None = None
) -> RecordedSequence:
    """Render one camera sweep over a simulated table at ``FPS`` and extract the clouds under the true masks.

    Args:
        seconds: Length of the sequence.
        seed: Seed of scene and sensor noise.
        workers: Number of rendering processes; 0 for one per core.
        cloud: Settings of the clouds; the defaults of the pose node if None.

    Raises:
        DataError: No object is visible in any frame.
    """
    config = SequenceConfig(seed=seed, frames=max(2, round(seconds * FPS)), swing_deg=CAMERA_SWEEP_DEG, workers=workers)
    segmenter = LabelSegmenter(SegmentationConfig(), NOCS_CATEGORIES)
    rows, poses = [], []
    for number, sequence_frame in enumerate(render_sequence(config, colour=False)):
        poses.append(sequence_frame.T_world_camera)
        rows += [(number, *row) for row in _object_clouds(sequence_frame, segmenter, cloud or CloudConfig())]
    if not rows:
        raise DataError(f"expected visible objects in the sequence of seed {seed}, got none: use another seed")
    return assemble_sequence(rows, np.stack(poses))


def assemble_sequence(
    rows: Sequence[tuple[int, FloatArray, ObjectTruth]], T_world_camera: FloatArray
) -> RecordedSequence:
    """Return the sequence of clouds given as frame index, points ``(N, 3)`` and truth, sorted by frame.

    Args:
        rows: At least one cloud.
        T_world_camera: ``(F, 4, 4)`` true camera poses.
    """
    frame, points, truths = zip(*rows, strict=True)
    return RecordedSequence(
        np.stack(points),
        np.array(frame, dtype=np.int64),
        np.array([truth.category for truth in truths]),
        np.array([truth.instance for truth in truths], dtype=np.int64),
        T_world_camera,
        CloudTruths.from_objects(truths),
    )


def _object_clouds(
    sequence_frame: SequenceFrame, segmenter: LabelSegmenter, config: CloudConfig
) -> Iterator[tuple[FloatArray, ObjectTruth]]:
    """Yield points and truth of each object of a frame whose cloud can be extracted."""
    labels = sequence_frame.frame.labels
    assert labels is not None  # simulated frames have labels
    truths = {truth.instance: truth for truth in sequence_frame.truths}
    for mask in segmenter.segment(sequence_frame.frame):
        if isinstance(mask, InstanceMask):
            x0, y0, x1, y1 = mask.box
            cloud = extract_cloud(sequence_frame.frame, mask, config)
            if isinstance(cloud, ObjectCloud):
                label = labels[y0:y1, x0:x1][mask.mask][0]
                yield np.asarray(cloud.points_camera, dtype=np.float32), truths[int(label) % LABEL_BASE]
