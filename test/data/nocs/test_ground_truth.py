"""Official truths and detections: both releases of the pickles, and error messages."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.nocs.ground_truth import read_detections, read_official_truths
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import rotation_angle_deg

BOWL = NOCS_CATEGORIES["bowl"].id
UNKNOWN = 99


def rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def make_record(**changes):
    S = np.eye(4)
    S[:3, :3], S[:3, 3] = 0.2 * rotation(0.4), (0.1, -0.2, 0.9)
    record = {
        "gt_class_ids": np.array([BOWL, UNKNOWN]),
        "gt_bboxes": np.array([[10, 20, 30, 50], [0, 0, 1, 1]]),
        "gt_RTs": np.stack([S, np.eye(4)]),
        "gt_scales": np.array([[0.5, 0.3, 0.5], [1.0, 1.0, 1.0]]),
        "gt_handle_visibility": np.array([0, 1]),
    }
    return {key: value for key, value in (record | changes).items() if value is not None}


@pytest.fixture
def write(tmp_path):
    def write_record(record):
        path = tmp_path / "record.pkl"
        path.write_bytes(pickle.dumps(record, protocol=2))
        return path

    return write_record


def test_official_similarity_is_split_into_pose_scale_and_size(write):
    (truth,) = read_official_truths(write(make_record()), NOCS_CATEGORIES)
    assert (truth.category, truth.box, truth.handle_visible) == ("bowl", (20, 10, 50, 30), False)
    assert truth.scale == pytest.approx(0.2)
    np.testing.assert_allclose(truth.size, [0.1, 0.06, 0.1])
    assert rotation_angle_deg(truth.T_camera_object[:3, :3], rotation(0.4)) < 1e-5
    np.testing.assert_allclose(truth.T_camera_object[:3, 3], [0.1, -0.2, 0.9])


def test_handle_is_visible_by_default(write):
    (truth,) = read_official_truths(write(make_record(gt_handle_visibility=None)), NOCS_CATEGORIES)
    assert truth.handle_visible


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt_RTs": None}, "gt_RTs"),
        ({"gt_scales": np.ones((1, 3))}, "differ in length"),
        ({"gt_RTs": np.stack([np.diag([1.0, 1.0, -1.0, 1.0])] * 2)}, "similarities"),
    ],
)
def test_malformed_truths_raise(write, changes, message):
    with pytest.raises(DataError, match=message):
        read_official_truths(write(make_record(**changes)), NOCS_CATEGORIES)


def test_record_that_is_no_dict_raises(write):
    with pytest.raises(DataError, match="list"):
        read_official_truths(write([1, 2]), NOCS_CATEGORIES)


@pytest.mark.parametrize("prefix", ["pred_", ""])
def test_detections_of_both_releases_are_read(write, prefix):
    masks = np.zeros((6, 8, 3), bool)
    masks[1:4, 2:5, 0] = True
    masks[2, 2, 1] = True
    record = {
        f"{prefix}class_ids": np.array([BOWL, UNKNOWN, BOWL]),
        f"{prefix}scores": np.array([0.9, 0.8, 0.7]),
        f"{prefix}masks": masks,
    }
    (found,) = read_detections(write(record), NOCS_CATEGORIES)  # an unknown class and an empty mask are left out
    assert (found.category, found.score) == ("bowl", pytest.approx(0.9))
    assert found.box == (2, 1, 5, 4)
    assert found.mask.all() and found.mask.sum() == masks[..., 0].sum()


def test_masks_of_another_shape_raise(write):
    record = {"class_ids": np.array([BOWL]), "scores": np.array([0.9]), "masks": np.zeros((6, 8), bool)}
    with pytest.raises(DataError, match="H, W, N"):
        read_detections(write(record), NOCS_CATEGORIES)
