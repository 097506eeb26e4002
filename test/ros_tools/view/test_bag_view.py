"""View of a recording: frames, poses by stamp, and the time slider."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bag_files import camera_bag, make_frames, scene_items, write_bag

from clipose_ros.cli.view import main
from clipose_ros.client.objects import DetectedObject, DetectedObjects
from clipose_ros.errors import DataError
from clipose_ros.ros_tools.view import bag_view
from clipose_ros.ros_tools.view.bag_view import BagFrame, BagView, FrameStore, load_frames, read_detections_of
from clipose_ros.ros_tools.view.server import ViewServer


@pytest.fixture
def server() -> Iterator[ViewServer]:
    served = ViewServer(port=0)
    yield served
    served.stop()


def load(path: Path, poses: Path | None = None) -> tuple[list[BagFrame], list[str]]:
    store, lines = FrameStore(), list[str]()
    load_frames(path, poses, store, lines.append)
    return store.frames, lines


def test_every_frame_of_a_short_recording_is_shown_in_order(tmp_path: Path) -> None:
    given = make_frames(5)
    frames, lines = load(camera_bag(tmp_path / "bag", given))
    assert [frame.stamp_ns for frame in frames] == [frame.stamp_ns for frame in given] and not lines
    assert all(frame.detected is None and len(frame.cloud.points) for frame in frames)


def test_long_recordings_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_view, "MAX_FRAMES", 4)
    given = make_frames(20)
    frames, _ = load(camera_bag(tmp_path / "bag", given))
    stamps = [frame.stamp_ns for frame in given]
    assert [stamps.index(frame.stamp_ns) for frame in frames] == [0, 8, 16]


def test_truth_of_the_camera_is_not_taken_for_poses(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", scene_items(3))
    assert read_detections_of(bag, lambda line: None) == {}


def test_poses_are_drawn_at_their_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ViewServer) -> None:
    given = make_frames(3)
    T = np.eye(4)
    T[2, 3] = 1.0
    item = DetectedObject("mug_1", "mug", 0.9, T, np.full(3, 0.1), 1e-4 * np.eye(6))
    stamps, frame_id = [frame.stamp_ns for frame in given], given[0].frame_id
    posed = {
        stamp: DetectedObjects(stamp, frame_id, items) for stamp, items in zip(stamps[1:], ((item,), ()), strict=True)
    }
    monkeypatch.setattr(bag_view, "read_detections_of", lambda path, report: posed)
    frames, _ = load(camera_bag(tmp_path / "bag", given))
    assert [frame.stamp_ns for frame in frames] == stamps[1:], "the first frame has no poses"
    view = BagView(server)
    for frame in frames:
        view.add(frame)

    def boxes() -> bool:
        handle = server.scene.get_handle_by_name("/boxes/lines")
        return handle is not None and bool(handle.visible)

    for number, frame in enumerate(frames):
        view.seek(1e-9 * (frame.stamp_ns - frames[0].stamp_ns))
        assert boxes() is (number == 0) and f"{1 - number} objects" in view.panel.status


def test_faults_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError):
        load(tmp_path / "none.mcap")
    assert main(["--bag", str(tmp_path / "none.mcap"), "--port", "0"]) == 1
    assert main(["--poses", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 2
