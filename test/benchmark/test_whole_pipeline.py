"""Duration of the whole pipeline by number of objects."""

from collections.abc import Sequence

import numpy as np
import pytest

from clipose_ros.benchmark.inputs import BenchmarkInputs
from clipose_ros.benchmark.rows import PipelineRow
from clipose_ros.benchmark.whole_pipeline import time_pipeline
from clipose_ros.config import NetworkConfig
from clipose_ros.inference.predictor import Predictor
from clipose_ros.types import PoseEstimate


def test_time_pipeline_poses_as_many_objects_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    posed: list[int] = []
    predict = Predictor.predict

    def noted(self: Predictor, points: np.ndarray, names: Sequence[str]) -> list[PoseEstimate]:
        posed.append(len(names))
        return predict(self, points, names)

    monkeypatch.setattr(Predictor, "predict", noted)
    network = NetworkConfig("clipose_small", "cpu")
    rows = list(time_pipeline(network, BenchmarkInputs.rendered(), (1, 7), budget_s=0.0))
    assert [(row.objects, row.engine, row.device) for row in rows] == [(1, "auto", "cpu"), (7, "auto", "cpu")]
    assert set(posed) == {1, 7} and all(row.timing.count >= 3 for row in rows)
    assert PipelineRow.from_json(rows[0].to_json()) == rows[0]
