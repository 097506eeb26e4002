"""Pose errors and accuracy by category."""

from __future__ import annotations

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES, Symmetry
from clipose_ros.evaluation.metrics.pose_accuracy import PoseError, as_records, pose_error, summarize
from clipose_ros.geometry.se3 import exp_so3, make_transform


def test_pose_error_has_degrees_centimetres_and_per_cent() -> None:
    true = make_transform(np.eye(3), [0.0, 0.0, 1.0])
    off = make_transform(exp_so3([0.0, np.radians(30.0), 0.0]), [0.03, 0.0, 1.04])
    size = np.array([0.1, 0.2, 0.1])
    error = pose_error("mug", Symmetry(mirror_xy=True), off, true, size * [1.1, 1.0, 0.8], size)
    assert error.rotation_deg == pytest.approx(30.0)
    assert error.translation_cm == pytest.approx(5.0)
    assert error.size_percent == pytest.approx(10.0)
    assert pose_error("can", Symmetry(axial_y=True), off, true, size, size).rotation_deg == pytest.approx(0.0, abs=1e-5)


def test_summarize_averages_over_categories() -> None:
    errors = [PoseError("mug", 4.0, 1.0, 0.0)] * 9 + [PoseError("can", 40.0, 1.0, 0.0)]
    table = summarize(errors, NOCS_CATEGORIES)
    assert list(table) == ["can", "mug", "mean"]
    assert table["mug"].within["5deg2cm"] == 100.0 and table["can"].within["10deg10cm"] == 0.0
    assert table["mean"].within["5deg2cm"] == 50.0 and table["mean"].count == 10
    assert table["mean"].rotation_deg_median == pytest.approx(22.0)


def test_summarize_requires_angle_and_distance_within_thresholds() -> None:
    table = summarize([PoseError("mug", 7.0, 3.0, 0.0)], NOCS_CATEGORIES)["mug"].within
    assert table == {"5deg2cm": 0.0, "5deg5cm": 0.0, "10deg2cm": 0.0, "10deg5cm": 100.0, "10deg10cm": 100.0}


def test_as_records_returns_plain_values() -> None:
    import json

    assert (
        json.loads(json.dumps(as_records(summarize([PoseError("mug", 1.0, 1.0, 1.0)], NOCS_CATEGORIES))))["mug"][
            "count"
        ]
        == 1
    )


def test_summarize_of_no_errors_is_empty() -> None:
    assert summarize([], NOCS_CATEGORIES) == {}
