"""Statistics of a running pose node."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.evaluation.runs.live_statistics import (
    MATCH_WITHIN_M,
    CategorySummary,
    LiveStatistics,
    LiveSummary,
    PublishedObject,
    TrueObject,
    match_errors,
)
from clipose_ros.geometry.se3 import exp_so3, make_transform

SIZE = np.array([0.1, 0.1, 0.1])


def pose(x: float, turn_y_deg: float = 0.0, turn_x_deg: float = 0.0) -> np.ndarray:
    R = exp_so3(np.radians([turn_x_deg, 0.0, 0.0])) @ exp_so3(np.radians([0.0, turn_y_deg, 0.0]))
    return make_transform(R, np.array([x, 0.0, 1.0]))


def published(category: str, T: np.ndarray) -> PublishedObject:
    return PublishedObject(f"{category}_1", category, T, SIZE, 0.9)


def test_match_errors_are_in_centimetres_and_degrees() -> None:
    errors = match_errors([published("mug", pose(0.02, 30.0))], [TrueObject("mug", pose(0.0))], NOCS_CATEGORIES)
    assert errors[0] is not None
    assert errors[0].translation_cm == pytest.approx(2.0)
    assert errors[0].rotation_deg == pytest.approx(30.0)


@given(st.floats(-180, 180), st.floats(0, 90))
def test_match_errors_ignore_rotation_about_a_symmetry_axis(turn: float, tilt: float) -> None:
    for category, handle in (("bottle", True), ("mug", False)):
        true = [TrueObject(category, pose(0.0), handle)]
        error = match_errors([published(category, pose(0.0, turn, tilt))], true, NOCS_CATEGORIES)[0]
        assert error is not None and error.rotation_deg == pytest.approx(tilt, abs=1e-4)


def test_match_errors_minimize_the_sum_of_distances() -> None:
    # a greedy match would assign the truth at 0.10 to the first
    found = [published("can", pose(0.06)), published("can", pose(0.11))]
    true = [TrueObject("can", pose(0.0)), TrueObject("can", pose(0.10))]
    errors = match_errors(found, true, NOCS_CATEGORIES)
    assert [round(e.translation_cm, 3) for e in errors if e] == [6.0, 1.0]


def test_match_errors_are_none_for_unmatched_objects() -> None:
    true = [TrueObject("mug", pose(0.0)), TrueObject("can", pose(1.0))]
    found = [published("can", pose(0.0)), published("mug", pose(MATCH_WITHIN_M + 0.01)), published("mug", pose(0.01))]
    errors = match_errors(found, true, NOCS_CATEGORIES)
    assert errors[:2] == [None, None] and errors[2] is not None
    assert match_errors(found, [], NOCS_CATEGORIES) == [None] * 3
    assert match_errors([], true, NOCS_CATEGORIES) == []


def test_summary_counts_frames_drops_and_latency() -> None:
    statistics = LiveStatistics()
    ms = 1_000_000
    for stamp in range(0, 100, 10):
        statistics.add_frame(stamp * ms)
    mug = [published("mug", pose(0.03))]
    true = [TrueObject("mug", pose(0.0))]
    for stamp, latency, found in ((0, 20, mug), (20, 30, mug), (40, 40, []), (60, 50, mug)):
        statistics.add_answer(stamp * ms, (stamp + latency) * ms, found)
        statistics.add_errors(found, match_errors(found, true, NOCS_CATEGORIES))
    statistics.add_answer(60 * ms, 900 * ms, mug)  # second answer to the same frame
    assert statistics.summary().as_record() == {
        "frames_in": 7,  # 70, 80 and 90 came after the last answer
        "frames_posed": 3,
        "dropped": 3,
        "rate_hz": 50.0,  # four answers in the 60 ms from the first to the last
        "latency_ms_p50": 35.0,
        "latency_ms_p95": 48.5,
        "latency_ms_p99": 49.7,
        "categories": {
            "mug": {"count": 3, "matched": 3, "translation_error_cm_median": 3.0, "rotation_error_deg_median": 0.0}
        },
    }


def test_summary_without_answers_or_truth_has_no_figures() -> None:
    statistics = LiveStatistics()
    statistics.add_frame(5)
    assert statistics.summary() == LiveSummary(1, 0, 1, None, None, None, None, {})
    statistics.add_answer(5, 10, [published("bowl", pose(0.0))])
    summary = statistics.summary()
    assert summary.categories == {"bowl": CategorySummary(1, 0, None, None)}
    assert (summary.frames_answered, summary.has_matches) == (1, False)


def test_summary_record_has_the_keys_of_summary_json() -> None:
    category = CategorySummary(3, 2, 1.24, 4.0)
    summary = LiveSummary(9, 3, 6, 30.0, 12.5, None, None, {"mug": category})
    assert summary.has_matches and summary.frames_answered == 3
    assert summary.as_record() == {
        "frames_in": 9,
        "frames_posed": 3,
        "dropped": 6,
        "rate_hz": 30.0,
        "latency_ms_p50": 12.5,
        "latency_ms_p95": None,
        "latency_ms_p99": None,
        "categories": {
            "mug": {"count": 3, "matched": 2, "translation_error_cm_median": 1.24, "rotation_error_deg_median": 4.0}
        },
    }
