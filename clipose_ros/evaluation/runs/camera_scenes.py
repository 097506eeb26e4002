"""Accuracy and occlusion of one, two and three merged cameras on simulated tables.

The cameras stand around the table, evenly spaced, with equal sensors. Each poses its one image with true masks, as
``~/detect_once`` does, and the poses are merged. An object counts as found if its merged position is within
``FOUND_M`` of the true one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.scenes import PlacedObject, make_scene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.evaluation.runs.grasp_scenes import CROWDED, measure_view
from clipose_ros.geometry.se3 import rotate_covariance
from clipose_ros.geometry.symmetry import rotation_error_deg
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.tracking.merging import MergeLimits, TrackMerger
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import FloatArray, TrackedObject

FOUND_M = 0.05
"""Largest distance of a found object from the true one, metres."""
_STREAM = 24
_AXIAL = {category.name: category.symmetry.axial_y for category in NOCS_CATEGORIES}


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """Results of a number of cameras.

    Attributes:
        cameras: Number of cameras.
        objects: Number of objects on the tables.
        position_m: Distance of each found object from the true one, metres.
        axis_deg: Rotation error of each found object up to its symmetry, degrees.
        extra: Merged objects that are not those of the table: doubled or wrong ones.
    """

    cameras: int
    objects: int
    position_m: tuple[float, ...]
    axis_deg: tuple[float, ...]
    extra: int

    @property
    def recall(self) -> float:
        """Return the share of objects that were found."""
        return len(self.position_m) / self.objects if self.objects else float("nan")

    def __add__(self, other: CameraCounts) -> CameraCounts:
        return CameraCounts(
            self.cameras,
            self.objects + other.objects,
            self.position_m + other.position_m,
            self.axis_deg + other.axis_deg,
            self.extra + other.extra,
        )


def evaluate_cameras(scenes: int, seed: int, cameras: int, pipeline: PosePipeline) -> Iterator[list[CameraCounts]]:
    """Pose simulated tables with several cameras.

    Args:
        scenes: Number of tables.
        seed: Seed of the tables.
        cameras: Largest number of cameras; the first of them also count alone.
        pipeline: Pipeline that segments by label images.

    Yields:
        The counts of 1 to ``cameras`` cameras on each table.
    """
    for index in range(scenes):
        rng = np.random.default_rng((_STREAM, seed, index))
        scene = make_scene(rng, CROWDED)
        renderer, start = Renderer(scene), rng.uniform(0, 2 * np.pi)
        seen = [_see(renderer, start + 2 * np.pi * k / cameras, rng, pipeline) for k in range(cameras)]
        yield [count_merged(seen[: k + 1], scene.objects) for k in range(cameras)]


def count_merged(seen: Sequence[Sequence[TrackedObject]], truths: Sequence[PlacedObject]) -> CameraCounts:
    """Merge the objects of cameras, in the world frame, and compare them with the true ones."""
    merger = TrackMerger(_AXIAL, MergeLimits())
    for k, tracks in enumerate(seen):
        merger.add(f"camera_{k}", 1, tracks)
    result = merger.merge()
    merged = [each.merged for each in result[1]] if result is not None else []
    position_m, axis_deg = [], []
    for truth in truths:
        near = [item for item in merged if item.category == truth.object.category]
        nearest = min(near, key=lambda item: _distance(item, truth), default=None)
        if nearest is not None and _distance(nearest, truth) <= FOUND_M:
            merged.remove(nearest)
            position_m.append(_distance(nearest, truth))
            symmetry = NOCS_CATEGORIES[truth.object.category].symmetry
            R, R_true = nearest.T_frame_object[:3, :3], truth.T_world_object[:3, :3]
            axis_deg.append(rotation_error_deg(R, R_true, symmetry))
    return CameraCounts(len(seen), len(truths), tuple(position_m), tuple(axis_deg), len(merged))


def sum_counts(results: Sequence[Sequence[CameraCounts]]) -> list[CameraCounts]:
    """Return the counts of all tables by number of cameras."""
    totals: dict[int, CameraCounts] = {}
    for result in results:
        for each in result:
            totals[each.cameras] = totals[each.cameras] + each if each.cameras in totals else each
    return list(totals.values())


def _see(renderer: Renderer, azimuth: float, rng: np.random.Generator, pipeline: PosePipeline) -> list[TrackedObject]:
    """Return the objects that a camera estimates, in the world frame."""
    direction = np.array([np.cos(azimuth), np.sin(azimuth), 0.8])
    T_world_camera = look_at(0.9 * direction / np.linalg.norm(direction), np.zeros(3))
    _, frame = measure_view(renderer, T_world_camera, rng)
    tracker = Tracker(PoseNodeConfig().tracking, pipeline.predictor.categories)
    tracks = tracker.update(pipeline.process(frame), 1, np.eye(4), confirm=True)
    return [_moved(track, T_world_camera) for track in tracks]


def _moved(track: TrackedObject, T: FloatArray) -> TrackedObject:
    """Return a track in another frame."""
    covariance = rotate_covariance(track.covariance, T[:3, :3])
    return replace(track, T_frame_object=T @ track.T_frame_object, covariance=covariance)


def _distance(item: TrackedObject, truth: PlacedObject) -> float:
    """Return the distance of an estimated object from a true one, metres."""
    return float(np.linalg.norm(item.T_frame_object[:3, 3] - truth.T_world_object[:3, 3]))
