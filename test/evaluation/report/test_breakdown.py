"""Accuracy by visibility, distance and viewpoint, and scores of single clouds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.nocs_protocol import as_record, evaluate_frames
from clipose_ros.evaluation.metrics.pose_accuracy import summarize
from clipose_ros.evaluation.report.breakdown import ALL, breakdown, breakdown_records
from clipose_ros.evaluation.runs.stored_clouds import PosedClouds, as_frames, latencies_ms, pose_clouds
from clipose_ros.geometry.se3 import exp_so3, make_transform
from clipose_ros.types import FloatArray, PoseEstimate

NAMES = ["mug", "mug", "can", "laptop"]


def samples() -> CloudSamples:
    """Return four clouds; the can is tilted and far, the handle of the second mug is hidden."""
    R = np.stack([np.eye(3), np.eye(3), exp_so3(np.array([np.radians(-70.0), 0.0, 0.0])), np.eye(3)])
    t = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 1.5], [-1.0, 0.0, 0.01]])
    return CloudSamples(
        points=np.tile(t[:, None], (1, 32, 1)).astype(np.float32),
        category_index=np.array([NOCS_CATEGORIES.index(name) for name in NAMES]),
        T_camera_object=make_transform(R, t).astype(np.float32),
        size=np.full((4, 3), 0.1, dtype=np.float32),
        handle_visible=np.array([True, False, True, True]),
        visible_fraction=np.array([0.3, 0.6, 0.8, 1.0], dtype=np.float32),
    )


class QuarterTurnPredictor:
    """Predictor of true poses, but the first mug is rotated by 90 degrees about y with a low score."""

    categories = NOCS_CATEGORIES
    device = "cpu"

    def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
        known = samples()
        rows = [int(np.argmin(np.abs(known.points[:, 0] - p[0]).sum(axis=1))) for p in points_camera]
        poses = known.T_camera_object.astype(np.float64)
        poses[0, :3, :3] = exp_so3(np.array([0.0, np.pi / 2, 0.0]))
        scores = [0.2, 0.9, 0.9, 0.9]
        return [PoseEstimate(NAMES[r], poses[r], np.full(3, 0.1), scores[r], (scores[r], scores[r])) for r in rows]


@pytest.fixture(scope="module")
def posed() -> PosedClouds:
    return pose_clouds(QuarterTurnPredictor(), samples())


def test_breakdown_assigns_every_cloud_to_its_bin(posed: PosedClouds) -> None:
    table = breakdown(posed)
    wrong_bins = {
        ("visible share of the outline", "below 0.5"),
        ("distance, m", "below 0.6"),
        ("handle of a mug", "visible"),
    }
    for factor, bins in table.items():
        for label, cells in bins.items():
            percent = cells["mug"].percent
            if (factor, label) in wrong_bins:
                assert cells["mug"].count == 1 and percent == 0.0, (factor, label)
            elif cells["mug"].count == 1:
                assert percent == 100.0, (factor, label)
        if not factor.startswith(("turn", "handle")):
            assert sum(cells[ALL].count for cells in bins.values()) == 4
    elevation = table["elevation over the object's xz plane, degrees"]
    assert elevation["from 60"]["can"].count + elevation["below 0"]["can"].count == 1
    turn = table["turn about y from the front (+x), degrees"]
    assert turn["below 45"]["laptop"].count == 1 and all(cells["can"].count == 0 for cells in turn.values())
    assert breakdown_records(table)["distance, m"]["below 0.6"]["mug"] == {"count": 1, "percent": 0.0}


def test_breakdown_elevation_is_positive_for_a_camera_above(posed: PosedClouds) -> None:
    elevation = breakdown(posed)["elevation over the object's xz plane, degrees"]
    T = posed.samples.T_camera_object[2].astype(np.float64)
    height = (-T[:3, 3]) @ T[:3, 1]  # height of the camera along the y axis of the can
    assert elevation["from 60" if height > 0 else "below 0"]["can"].count == 1


def test_as_frames_yields_one_image_per_cloud(posed: PosedClouds) -> None:
    def precision(ranked: bool) -> dict[str, float]:
        frames = as_frames(posed, NOCS_CATEGORIES, ranked)
        return as_record(evaluate_frames(frames, NOCS_CATEGORIES, [IouKind.ORIENTED])[IouKind.ORIENTED]["mug"])

    shares = summarize(posed.errors, NOCS_CATEGORIES)["mug"].within
    assert shares["10deg5cm"] == 50.0
    assert precision(ranked=True)["10deg5cm"] == pytest.approx(50.0), "the correct pose has the higher score"
    assert precision(ranked=False)["10deg5cm"] in (pytest.approx(50.0), pytest.approx(25.0)), (
        "the order of equal scores is arbitrary"
    )
    assert precision(ranked=True)["truths"] == 2
    assert precision(ranked=True)["IoU75"] == pytest.approx(100.0), "a cube is equal after a quarter turn"


def test_latencies_are_of_six_clouds(posed: PosedClouds) -> None:
    counts = []

    class CountingPredictor(QuarterTurnPredictor):
        def predict(self, points_camera: FloatArray, categories: Sequence[str]) -> list[PoseEstimate]:
            counts.append(len(points_camera))
            return super().predict(points_camera, categories)

    times = latencies_ms(CountingPredictor(), samples())
    assert set(counts) == {6} and len(counts) == len(times) + 1 and min(times) > 0.0
