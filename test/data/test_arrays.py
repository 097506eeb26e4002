"""Reading of ``.npz`` files: errors name the damaged file."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.data.arrays import open_arrays
from clipose_ros.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def complete_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("arrays") / "whole.npz"
    np.savez_compressed(path, numbers=np.arange(50), names=np.array(["can", "mug"]))
    return path.read_bytes()


@pytest.fixture(scope="module")
def damaged_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken") / "broken.npz"


def read(path: Path) -> tuple[int, list[str]]:
    with open_arrays(path, "a box of arrays", "make another") as archive:
        return int(archive["numbers"].sum()), archive["names"].tolist()


def test_open_arrays_reads_a_complete_file(damaged_path: Path, complete_file: bytes) -> None:
    damaged_path.write_bytes(complete_file)
    assert read(damaged_path) == (1225, ["can", "mug"])


@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_open_arrays_names_a_truncated_file(damaged_path: Path, complete_file: bytes, share: float) -> None:
    damaged_path.write_bytes(complete_file[: int(share * len(complete_file))])
    with pytest.raises(DataError, match=r"broken\.npz is not a box of arrays \(.*\): make another"):
        read(damaged_path)


@given(position=st.floats(0.0, 1.0, exclude_max=True), value=st.integers(0, 255))
def test_open_arrays_detects_a_damaged_byte_or_reads_the_same_values(
    damaged_path: Path, complete_file: bytes, position: float, value: int
) -> None:
    damaged = bytearray(complete_file)
    damaged[int(position * len(complete_file))] = value
    damaged_path.write_bytes(damaged)
    with suppress(DataError):
        assert read(damaged_path) == (1225, ["can", "mug"])


def test_open_arrays_names_a_file_without_the_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "lacking.npz", numbers=np.arange(3))
    with (tmp_path / "single.npz").open("wb") as stream:
        np.save(stream, np.arange(3))
    for name in ("lacking.npz", "single.npz", "missing.npz"):
        with pytest.raises(DataError, match=name):
            read(tmp_path / name)


def test_open_arrays_reports_errors_of_its_context_as_errors_of_the_file(
    damaged_path: Path, complete_file: bytes
) -> None:
    damaged_path.write_bytes(complete_file)
    with pytest.raises(DataError, match="no such category"), open_arrays(damaged_path, "a box", "make another"):
        raise ConfigError("no such category")
