"""Object models: correction of mugs, and extents in both formats."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.data.nocs.files import SUBSETS, MetaLine
from clipose_ros.data.nocs.object_models import MUG_META, MugCorrection, NocsModels
from clipose_ros.errors import DataError
from clipose_ros.geometry.similarity import Similarity

REAL, CAMERA = SUBSETS["real_test"], SUBSETS["camera_val"]
numbers = st.floats(-0.4, 0.4)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@given(st.tuples(numbers, numbers, numbers), st.floats(0.5, 2.0), st.floats(-3, 3), st.floats(0.05, 0.5))
def test_correction_of_pose_and_coordinates_keeps_camera_points(shift, factor, angle, scale):
    c, s = np.cos(angle), np.sin(angle)
    fit = Similarity(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([0.1, -0.2, 0.8]), scale)
    correction = MugCorrection(np.array(shift), factor)
    stored = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 3))
    corrected, pose = correction.correct_coordinates(stored), correction.correct_pose(fit)
    np.testing.assert_allclose(
        pose.scale * corrected @ pose.R.T + pose.t, fit.scale * stored @ fit.R.T + fit.t, atol=1e-9
    )


@given(st.tuples(numbers, numbers, numbers), st.floats(0.5, 2.0))
def test_corrected_extents_contain_the_corrected_mug(shift, factor):
    extents = np.array([0.7, 0.5, 0.4])
    correction = MugCorrection(np.array(shift), factor)
    corners = correction.correct_coordinates(0.5 * extents * np.array([[1, 1, 1], [-1, -1, -1], [1, -1, 1]]))
    assert (np.abs(corners) <= correction.correct_extents(extents) / 2 + 1e-12).all()


def test_extents_have_a_diagonal_of_one_in_both_formats(tmp_path):
    write(tmp_path / REAL.models / "mug_a.txt", "0.2 0.1 0.2")
    write(tmp_path / CAMERA.models / "03797390" / "abc" / "bbox.txt", "-0.2 -0.1 -0.2\n0.2 0.1 0.2")
    real = NocsModels(tmp_path, REAL).read_extents(MetaLine(1, 6, "mug_a", ""))
    camera = NocsModels(tmp_path, CAMERA).read_extents(MetaLine(1, 6, "abc", "03797390"))
    np.testing.assert_allclose(real, np.array([2, 1, 2]) / 3)
    np.testing.assert_allclose(camera, real)


@pytest.mark.parametrize("text", ["1 2", "0 1 1", "a b c", "1 2 3 4 5 6"])
def test_malformed_extents_raise_with_the_file_name(tmp_path, text):
    write(tmp_path / REAL.models / "odd.txt", text)
    with pytest.raises(DataError, match="odd.txt"):
        NocsModels(tmp_path, REAL).read_extents(MetaLine(1, 6, "odd", ""))


def test_missing_extents_raise_with_the_archive_name(tmp_path):
    with pytest.raises(DataError, match="obj_models.zip"):
        NocsModels(tmp_path, REAL).read_extents(MetaLine(1, 6, "none", ""))


def test_mug_corrections_are_read_from_the_file(tmp_path):
    path = tmp_path / MUG_META
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps({"mug_a": (np.array([0.1, 0.0, 0.0]), 1.2)}))
    models = NocsModels(tmp_path, REAL)
    correction = models.mug_correction("mug_a")
    assert correction is not None and correction.factor == 1.2
    assert models.mug_correction("improper") is None
    path.write_bytes(pickle.dumps({"mug_a": 3}))
    with pytest.raises(DataError, match="shift"):
        NocsModels(tmp_path, REAL).mug_correction("mug_a")
    path.unlink()
    with pytest.raises(DataError, match="correct_mugs"):
        NocsModels(tmp_path, REAL).mug_correction("mug_a")


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [np.zeros(3)],
        [np.zeros(2), 1.0],
        [np.zeros(3), 0.0],
        [np.zeros(3), -1.0],
        [np.full(3, np.nan), 1.0],
        [np.zeros(3), np.inf],
        ["abc", 1.0],
    ],
)
def test_malformed_mug_corrections_name_file_and_model(tmp_path, entry):
    path = tmp_path / "obj_models" / "mug_meta.pkl"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps({"mug_white": entry}))
    with pytest.raises(DataError, match=r"mug_meta\.pkl', 'mug_white'"):
        NocsModels(tmp_path, SUBSETS["real_test"]).mug_correction("mug_white")
    path.write_bytes(pickle.dumps([entry]))
    with pytest.raises(DataError, match=r"mug_meta\.pkl' must map models"):
        NocsModels(tmp_path, SUBSETS["real_test"]).mug_correction("mug_white")
