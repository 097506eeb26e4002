"""Safe pickles: plain values and arrays are read, code is rejected."""

import os
import pickle

import numpy as np
import pytest

from clipose_ros.data.safe_pickle import read_pickle
from clipose_ros.errors import DataError


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_read_pickle_restores_arrays_and_plain_values(tmp_path, protocol):
    value = {
        "gt_RTs": np.random.default_rng(0).normal(size=(2, 4, 4)),
        "pred_masks": np.eye(3, dtype=bool),
        "scale": np.float32(0.25),
        "empty": np.zeros((0, 3), np.float32),
        "plain": [1, 2.5, "mug", None, (True, b"x")],
    }
    path = tmp_path / "results.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    read = read_pickle(path)
    assert read["plain"] == value["plain"]
    for name in ("gt_RTs", "pred_masks", "scale", "empty"):
        np.testing.assert_array_equal(read[name], value[name])
        assert read[name].dtype == value[name].dtype


@pytest.mark.parametrize("home", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_read_pickle_accepts_arrays_of_numpy_1_and_2(tmp_path, home):
    data = pickle.dumps(np.arange(3.0), protocol=2)
    for known in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        data = data.replace(b"c" + known, b"c" + home)
    (tmp_path / "old.pkl").write_bytes(data)
    np.testing.assert_array_equal(read_pickle(tmp_path / "old.pkl"), np.arange(3.0))


class CodeInPickle:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_read_pickle_rejects_code_without_running_it(tmp_path):
    (tmp_path / "code.pkl").write_bytes(pickle.dumps({"a": CodeInPickle(tmp_path / "ran")}))
    with pytest.raises(DataError, match=r"code\.pkl.*mkdir"):
        read_pickle(tmp_path / "code.pkl")
    assert not (tmp_path / "ran").exists()


def test_read_pickle_names_missing_and_damaged_files(tmp_path):
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(np.arange(100))[:50])
    (tmp_path / "text.pkl").write_text("no pickle")
    for name in ("cut.pkl", "text.pkl", "missing.pkl"):
        with pytest.raises(DataError, match=name):
            read_pickle(tmp_path / name)
