"""A film as the network sees it: the clouds of every object in every frame, kept in a file."""

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
SWING_DEG = 55.0
"""The camera goes through twice this angle, once."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedSequence:
    """Static objects before a moving camera; S clouds of N points in F frames, in the order of the frames.

    Attributes:
        points: ``(S, N, 3)`` float32, metres, camera optical frame.
        frame: ``(S,)`` int64, the frame of each cloud.
        category: ``(S,)`` names.
        instance: ``(S,)`` int64, which object of the scene.
        T_world_camera: ``(F, 4, 4)`` the camera's true poses.
    """

    points: FloatArray
    frame: NDArray[np.int64]
    category: NDArray[np.str_]
    instance: NDArray[np.int64]
    T_world_camera: FloatArray

    @property
    def frames(self) -> int:
        """How many frames; some may show nothing."""
        return len(self.T_world_camera)

    def save(self, path: Path) -> None:
        """Write to ``.npz``; the file appears under its name only when it is whole."""
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            np.savez(stream, **{spec.name: getattr(self, spec.name) for spec in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> RecordedSequence:
        """Read what ``save`` wrote.

        Raises:
            DataError: It is missing or something else.
        """
        with open_arrays(path, "a film", "give the name of a new file to have one made") as archive:
            return cls(**{spec.name: archive[spec.name] for spec in fields(cls)})


def record_sequence(
    seconds: float, seed: int = 0, workers: int = 0, cloud: CloudConfig | None = None
) -> RecordedSequence:
    """Film a simulated table, a sweep of the camera at ``FPS``, and take the clouds under the true masks.

    Args:
        seconds: Length of the film.
        seed: Of scene and sensor noise.
        workers: Processes that render; 0 for one per core.
        cloud: How clouds are made; the robot's defaults if left out.
    """
    config = SequenceConfig(seed=seed, frames=max(2, round(seconds * FPS)), swing_deg=SWING_DEG, workers=workers)
    segmenter = LabelSegmenter(SegmentationConfig(), NOCS_CATEGORIES)
    rows, poses = [], []
    for number, shown in enumerate(render_sequence(config, colour=False)):
        poses.append(shown.T_world_camera)
        rows += [(number, *row) for row in _clouds(shown, segmenter, cloud or CloudConfig())]
    if not rows:
        raise DataError(f"no object can be seen in the film of seed {seed}: take another")
    frame, points, category, instance = zip(*rows, strict=True)
    return RecordedSequence(
        np.stack(points), np.array(frame), np.array(category), np.array(instance, dtype=np.int64), np.stack(poses)
    )


def _clouds(
    shown: SequenceFrame, segmenter: LabelSegmenter, config: CloudConfig
) -> Iterator[tuple[FloatArray, str, int]]:
    """Points, category and instance of each object that the frame shows well enough."""
    labels = shown.frame.labels
    assert labels is not None  # simulated frames have them
    for mask in segmenter.segment(shown.frame):
        if isinstance(mask, InstanceMask):
            x0, y0, x1, y1 = mask.box
            cloud = extract_cloud(shown.frame, mask, config)
            if isinstance(cloud, ObjectCloud):
                label = labels[y0:y1, x0:x1][mask.mask][0]
                yield np.asarray(cloud.points_camera, dtype=np.float32), mask.category, int(label) % LABEL_BASE
