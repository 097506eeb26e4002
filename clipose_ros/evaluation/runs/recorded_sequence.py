"""Recorded sequences: the point clouds of all objects in all frames of a simulated camera sweep, stored in a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig, SegmentationConfig
from clipose_ros.data.arrays import open_arrays
from clipose_ros.data.synthetic.sequence import SequenceConfig, SequenceFrame, render_sequence
from clipose_ros.errors import DataError
from clipose_ros.inference.point_cloud import extract_cloud
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import LABEL_BASE, FloatArray, InstanceMask, ObjectCloud

FPS = 30
CAMERA_SWEEP_DEG = 55.0
"""Half of the angle through which the camera sweeps once around the table, degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedSequence:
    """Point clouds of static objects seen by a moving camera: S clouds of N points in F frames, sorted by frame.

    Attributes:
        points: ``(S, N, 3)`` float32, metres, camera optical frame.
        frame: ``(S,)`` int64 frame index of each cloud.
        category: ``(S,)`` names of the categories.
        instance: ``(S,)`` int64 instance id of the object in the scene.
        T_world_camera: ``(F, 4, 4)`` true camera poses.
    """

    points: FloatArray
    frame: NDArray[np.int64]
    category: NDArray[np.str_]
    instance: NDArray[np.int64]
    T_world_camera: FloatArray

    @property
    def frames(self) -> int:
        """Return the number of frames, frames without objects included."""
        return len(self.T_world_camera)

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file. The file is renamed to ``path`` only after it is complete."""
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            np.savez(stream, **{spec.name: getattr(self, spec.name) for spec in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> RecordedSequence:
        """Read a file written by ``save``.

        Raises:
            DataError: The file is missing or is not a recorded sequence.
        """
        with open_arrays(path, "a recorded sequence", "give the name of a new file to record one") as archive:
            return cls(**{spec.name: archive[spec.name] for spec in fields(cls)})


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
    frame, points, category, instance = zip(*rows, strict=True)
    return RecordedSequence(
        np.stack(points), np.array(frame), np.array(category), np.array(instance, dtype=np.int64), np.stack(poses)
    )


def _object_clouds(
    sequence_frame: SequenceFrame, segmenter: LabelSegmenter, config: CloudConfig
) -> Iterator[tuple[FloatArray, str, int]]:
    """Yield points, category and instance id of each object of a frame whose cloud can be extracted."""
    labels = sequence_frame.frame.labels
    assert labels is not None  # simulated frames have labels
    for mask in segmenter.segment(sequence_frame.frame):
        if isinstance(mask, InstanceMask):
            x0, y0, x1, y1 = mask.box
            cloud = extract_cloud(sequence_frame.frame, mask, config)
            if isinstance(cloud, ObjectCloud):
                label = labels[y0:y1, x0:x1][mask.mask][0]
                yield np.asarray(cloud.points_camera, dtype=np.float32), mask.category, int(label) % LABEL_BASE
