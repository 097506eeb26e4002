"""Event files of the TensorBoard writer, read back with TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clipose_ros.training.reporting.tensorboard import TensorBoardWriter
from clipose_ros.training.run_dir import RunDir


def read_events(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_scalars_are_written_as_one_curve_per_name(tmp_path: Path) -> None:
    writer = TensorBoardWriter(RunDir(tmp_path))
    writer.scalars(100, {"loss/size": 0.5, "run/learning_rate": 1e-3})
    writer.scalars(200, {"loss/size": 0.25})
    writer.close()
    events = read_events(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["loss/size", "run/learning_rate"]
    assert [(event.step, event.value) for event in events.Scalars("loss/size")] == [(100, 0.5), (200, 0.25)]


def test_pictures_keep_their_size_and_rgb_order(tmp_path: Path) -> None:
    writer = TensorBoardWriter(RunDir(tmp_path))
    picture = np.zeros((6, 8, 3), np.uint8)
    picture[..., 0] = 200  # red
    writer.pictures(300, {"validation/mug": picture})
    writer.close()
    (event,) = read_events(tmp_path).Images("validation/mug")
    assert (event.step, event.height, event.width) == (300, 6, 8)
    decoded = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], picture)


def test_folder_that_cannot_be_written_raises_os_error(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("a file in place of the folder")
    with pytest.raises(OSError, match="tensorboard"):
        TensorBoardWriter(RunDir(tmp_path)).scalars(1, {"loss": 1.0})
