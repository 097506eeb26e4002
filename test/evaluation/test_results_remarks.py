"""Remarks on results: counts and places of objects that are left out or malformed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.evaluation.metrics.nocs_protocol import as_record, evaluate_frames
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.evaluation.results_remarks import ResultsRemarks
from clipose_ros.geometry.se3 import exp_so3, make_transform

MUG = NOCS_CATEGORIES["mug"].id


def make_frame(truth_ids=(1, 4, 6), prediction_ids=(1, 4, 6), name="results_0"):
    def objects(ids):
        poses = np.stack([make_transform(exp_so3([0.1, 0.2, 0.3]), [0.3 * i, 0.0, 1.0]) for i in range(len(ids))])
        return NocsObjects.from_poses(ids, poses, np.full((len(ids), 3), 0.1))

    scores = np.linspace(0.9, 0.8, len(prediction_ids))
    return NocsFrame(name, objects(truth_ids), np.ones(len(truth_ids), bool), objects(prediction_ids), scores)


def change(frame, row, **changes):
    """Return the frame with one row of the predictions changed."""
    arrays = {name: getattr(frame.predictions, name).copy() for name in changes}
    for name, value in changes.items():
        arrays[name][row] = value
    return dataclasses.replace(frame, predictions=dataclasses.replace(frame.predictions, **arrays))


def remarks_on(*frames):
    remarks = ResultsRemarks(NOCS_CATEGORIES)
    for frame in frames:
        assert remarks.check(frame) is frame
    return remarks.sentences()


def test_proper_results_need_no_remark():
    assert remarks_on(make_frame(), make_frame((1,), (2,))) == []


@given(st.lists(st.integers(-2, 9), min_size=1, max_size=6), st.lists(st.integers(-2, 9), min_size=1, max_size=6))
def test_class_ids_without_category_are_counted(truth_ids, prediction_ids):
    sentences = remarks_on(make_frame(truth_ids, prediction_ids))
    for kind, ids in (("true objects", truth_ids), ("predictions", prediction_ids)):
        unknown = sum(NOCS_CATEGORIES.by_id(i) is None for i in ids)
        found = [
            line
            for line in sentences
            if line.startswith(f"{unknown} {kind} have class ids other than 1, 2, 3, 4, 5, 6")
        ]
        assert len(found) == bool(unknown)
        assert all(("count from 1" in line) == (0 in truth_ids + prediction_ids) for line in found)


def test_first_place_of_a_kind_is_named():
    (line,) = remarks_on(make_frame(), make_frame(prediction_ids=(1, 7, 9), name="results_1"), make_frame((2,), (8,)))
    assert line.startswith("3 predictions") and "(7, 8, 9)" in line and "first: 'results_1', pred_class_ids[1]" in line


MIRRORED = make_transform(0.2 * exp_so3([0.1, 0.2, 0.3]) @ np.diag([1.0, 1.0, -1.0]), [0.3, 0.0, 1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"S_camera_object": np.nan}, "count as false"),
        ({"S_camera_object": np.diag([0.0, 0.0, 0.0, 1.0])}, "count as false"),
        ({"extents": np.inf}, "count as false"),
        ({"S_camera_object": MIRRORED}, "as the release scores them"),
        ({"S_camera_object": np.diag([0.1, 0.1, 0.2, 1.0])}, "as the release scores them"),
        ({"extents": [0.1, 0.0, 0.1]}, "as the release scores them"),
        ({"extents": [0.1, -0.1, 0.1]}, "as the release scores them"),
    ],
)
def test_malformed_predictions_are_counted_and_scored(changes, message):
    frame = change(make_frame(), 1, **changes)
    (line,) = remarks_on(frame)
    assert line.startswith("1 predictions") and message in line and "first: 'results_0', pred_RTs[1]" in line
    for table in evaluate_frames([frame], NOCS_CATEGORIES).values():
        can = as_record(table["can"])
        assert (can["truths"], can["predictions"]) == (1, 1)
        if "false" in message:
            assert can["matched"] == 0 and can["IoU25"] == 0.0
        for value in can.values():
            assert value is not None and 0.0 <= value <= 100.0


def test_images_without_visibility_of_handles_are_counted_if_they_have_mugs():
    silent = [dataclasses.replace(make_frame(ids), handles_stated=False) for ids in ((1, MUG), (1, 2), (MUG,))]
    (line,) = remarks_on(*silent)
    assert line.startswith("2 images with mugs do not state gt_handle_visibility")
