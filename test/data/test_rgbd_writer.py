"""Recorded frames are read back by the reader of RGB-D folders."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clipose_ros.data import rgbd_writer
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.errors import DataError
from clipose_ros.types import CameraIntrinsics, RgbdFrame

CAMERA = CameraIntrinsics(20.25, 21.0, 7.5, 5.5, 16, 12)
SHAPE = (12, 16)


def make_frame(seed: int = 0, camera: CameraIntrinsics = CAMERA, depth: np.ndarray | None = None) -> RgbdFrame:
    rng = np.random.default_rng(seed)
    shape = (camera.height, camera.width)
    rgb = rng.integers(0, 255, (*shape, 3), np.uint8)
    return RgbdFrame(rgb, rng.uniform(0.1, 5.0, shape).astype(np.float32) if depth is None else depth, camera)


@settings(max_examples=25)  # each one syncs three files to disk
@given(depth=arrays.arrays(np.float32, SHAPE, elements=st.floats(width=32)))
def test_frames_are_read_as_they_were_recorded(depth: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frame = make_frame(depth=depth)
        RgbdFolderWriter(Path(folder)).write(frame)
        recorded = open_rgbd_folder(folder)
        back = recorded.read(0)
    assert recorded.intrinsics == CAMERA
    np.testing.assert_array_equal(back.rgb, frame.rgb)
    is_kept = (depth >= 0.001) & (depth <= 65.5)
    np.testing.assert_allclose(back.depth[is_kept], depth[is_kept], atol=0.0006)
    assert np.isnan(back.depth[~(depth > 0.0) | ~np.isfinite(depth) | (depth > 66.0)]).all()


def test_a_second_recording_continues_the_first(tmp_path: Path) -> None:
    for seed in range(3):
        writer = RgbdFolderWriter(tmp_path / "new/folder")
        writer.write(make_frame(seed))
        assert writer.written == 1
    folder = open_rgbd_folder(tmp_path / "new/folder")
    assert [pair.colour.name for pair in folder.pairs] == [f"{k:06d}-color.png" for k in range(3)]
    np.testing.assert_array_equal(folder.read(2).rgb, make_frame(2).rgb)


def test_frames_of_another_camera_are_refused(tmp_path: Path) -> None:
    other = CameraIntrinsics(20.25, 21.0, 7.0, 5.5, 16, 12)
    writer = RgbdFolderWriter(tmp_path)
    writer.write(make_frame())
    for other_writer in (writer, RgbdFolderWriter(tmp_path)):
        with pytest.raises(DataError, match="another"):
            other_writer.write(make_frame(camera=other))
    assert len(open_rgbd_folder(tmp_path)) == 1


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="new or empty"):
        RgbdFolderWriter(tmp_path).write(make_frame())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("failing", ["color", "depth"])
@pytest.mark.parametrize("error", [DataError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_frame_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    writer = RgbdFolderWriter(tmp_path)
    writer.write(make_frame(0))
    before = sorted(tmp_path.iterdir())
    write = rgbd_writer.write_atomically

    def fail(path: Path, chunks: list[bytes]) -> None:
        if failing in path.name:
            raise error
        write(path, chunks)

    monkeypatch.setattr(rgbd_writer, "write_atomically", fail)
    with pytest.raises(type(error)):
        writer.write(make_frame(1))
    assert sorted(tmp_path.iterdir()) == before and writer.written == 1
    monkeypatch.setattr(rgbd_writer, "write_atomically", write)
    writer.write(make_frame(2))
    np.testing.assert_array_equal(open_rgbd_folder(tmp_path).read(1).rgb, make_frame(2).rgb)


def test_a_path_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        RgbdFolderWriter(tmp_path / "file").write(make_frame())
