"""Files of named features: both forms, and files from anywhere."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.data.named_features import read_named_features
from clipose_ros.errors import DataError

FEATURES = np.array([[3.0, 4.0], [0.0, 2.0], [-5.0, 0.0]], np.float32)
GOOD: dict[str, Any] = {"features": FEATURES, "labels": np.array([1, 0, 1]), "categories": np.array(["mug", "can"])}


def packed(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def test_npz_and_npy_give_unit_rows_with_names(tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(packed(GOOD))
    np.save(tmp_path / "b.npy", FEATURES.astype(np.float16))
    (tmp_path / "names.txt").write_text("can\nmug \ncan\n")
    for read in (
        read_named_features(tmp_path / "b.npz"),
        read_named_features(tmp_path / "b.npy", tmp_path / "names.txt"),
    ):
        assert read.names == ("can", "mug", "can") and read.features.dtype == np.float32
        np.testing.assert_allclose(read.features, [[0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": FEATURES[:, 0]}, r"must be \(N, D\).*got \(3,\)"),
        ({"features": FEATURES.astype(int)}, r"floats.*got \(3, 2\) of type 'int64'"),
        ({"features": np.array([[1, 1], [np.nan, 1], [1, 1]])}, r"row 1 \(from 0\) has length nan"),
        ({"features": np.array([[1, 1], [1, 1], [0, 0.0]])}, r"row 2 \(from 0\) has length 0"),
        ({"features": np.array([[1e300, 1], [1, 1], [1, 1]])}, r"row 0 \(from 0\) has length inf"),
        ({"features": np.zeros((0, 2)), "labels": np.zeros(0, int)}, r"got \(0, 2\)"),
        ({"features": np.zeros((3, 0))}, r"got \(3, 0\)"),
        ({"features": np.float64(3)}, "labels must be"),
        ({"features": np.array([{}, 1, 2], object)}, "not a file of features"),
        ({"labels": np.array([0, 1])}, r"labels must be integers, one per row .*got \(2,\)"),
        ({"labels": np.array([0, 1, 0.5])}, r"labels must be integers.*float64"),
        ({"labels": np.array([0, 2, 1])}, r"label of row 1 \(from 0\) is 2, expected 0 to 1"),
        ({"labels": np.array([0, 1, -1])}, r"label of row 2 \(from 0\) is -1"),
        ({"labels": np.array([0, 1, 2**64 - 1], np.uint64)}, r"label of row 2 \(from 0\) is 18446744073709551615"),
        ({"categories": np.array([1, 2])}, "categories must be a list of names"),
        ({"categories": np.array([["mug", "can"]])}, r"categories must be a list of names, got \(1, 2\)"),
        ({"categories": np.array([], "U3")}, r"label of row 0 \(from 0\) is 1"),
        ({"categories": np.array([2**31 - 1], np.uint32).view("U1")}, "a character beyond Unicode"),
    ],
)  # fmt: skip
def test_malformed_npz_is_refused_by_file_row_and_remedy(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "bank.npz"
    path.write_bytes(packed(GOOD | changes))
    with pytest.raises(DataError, match=message) as error:
        read_named_features(path)
    assert "bank.npz" in str(error.value) and str(error.value).isprintable() and ": " in str(error.value)


@pytest.mark.parametrize("missing", GOOD)
def test_npz_without_an_array_is_refused(tmp_path: Path, missing: str) -> None:
    (tmp_path / "bank.npz").write_bytes(packed({name: value for name, value in GOOD.items() if name != missing}))
    with pytest.raises(DataError, match=rf"bank\.npz .*lacks the array '{missing}'.*give a \.npz"):
        read_named_features(tmp_path / "bank.npz")


def test_bomb_pipe_folder_and_missing_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", bytes(1 << 27))
    os.mkfifo(tmp_path / "pipe.npz")
    for name in ("bomb.npz", "pipe.npz", ".", "none.npz"):
        with pytest.raises(DataError, match="is not a file of features"):
            read_named_features(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (b"a\nb\n", r"3 rows, but '.*names\.txt' has 2 names"),
        (b"\xff\n", r"names\.txt is not a list of names"),
    ],
)
def test_names_that_do_not_fit_a_npy_are_refused(tmp_path: Path, names: bytes, message: str) -> None:
    np.save(tmp_path / "bank.npy", FEATURES)
    (tmp_path / "names.txt").write_bytes(names)
    with pytest.raises(DataError, match=message):
        read_named_features(tmp_path / "bank.npy", tmp_path / "names.txt")
    with pytest.raises(DataError, match="have no names: give the text file"):
        read_named_features(tmp_path / "bank.npy")


@given(st.integers(0, len(packed(GOOD)) - 1), st.integers(0, 255))
def test_damaged_npz_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    content = bytearray(packed(GOOD))
    content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content)
    with contextlib.suppress(DataError):  # any other exception fails
        read_named_features(path)
