"""Video files: duration, colours and error messages."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from clipose_ros.errors import DataError, ShapeError
from clipose_ros.visualization.video import VideoWriter, write_animation

RED = np.zeros((48, 64, 3), np.uint8)
RED[..., 0] = 220
BLUE = RED[..., ::-1].copy()


def read(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (got := capture.read())[0]:
        frames.append(got[1][..., ::-1])
    return frames


def test_video_plays_irregular_images_in_real_time(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with VideoWriter(path, fps=10.0) as video:
        video.add(RED, 5_000_000_000)
        video.add(BLUE, 5_500_000_000)
        video.add(BLUE, 5_950_000_000)
    frames = read(path)
    assert 10 <= len(frames) <= 11
    colours = ["red" if frame[20, 20, 0] > frame[20, 20, 2] else "blue" for frame in frames]
    assert colours[:6].count("red") in (5, 6) and set(colours[6:]) == {"blue"}


def test_long_gap_is_shortened(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", fps=10.0) as video:
        video.add(RED, 0)
        video.add(BLUE, 3_600_000_000_000)
    assert len(read(tmp_path / "v.mp4")) <= 25


def test_backward_step_of_time_is_accepted(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4", fps=10.0) as video:
        video.add(RED, 60_000_000_000)
        for tenth in range(10):
            video.add(BLUE, tenth * 100_000_000)
    assert len(read(tmp_path / "v.mp4")) >= 9, "images with earlier stamps follow directly"


def test_one_image_is_a_video_and_none_is_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "one.mp4") as video:
        video.add(RED, 0)
    assert len(read(tmp_path / "one.mp4")) == 1
    with VideoWriter(tmp_path / "none.mp4"):
        pass
    assert not (tmp_path / "none.mp4").exists()


def test_wrong_size_and_missing_folder_raise(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "v.mp4") as video:
        video.add(RED, 0)
        with pytest.raises(ShapeError, match=r"\(48, 64, 3\).*\(10, 64, 3\)"):
            video.add(RED[:10], 1)
    with pytest.raises(DataError, match="absent"), VideoWriter(tmp_path / "absent" / "v.mp4") as video:
        video.add(RED, 0)


def test_animation_shows_each_image_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    write_animation(path, [RED, BLUE, RED], [0, 100_000_000, 400_000_000])
    with Image.open(path) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (3, 0)
        durations, colours = [], []
        for number in range(3):
            picture.seek(number)
            frame = np.asarray(picture.convert("RGB"))[20, 20]
            durations.append(picture.info["duration"])
            colours.append("red" if frame[0] > frame[2] else "blue")
    assert durations == [100, 300, 200] and colours == ["red", "blue", "red"]
    with pytest.raises(DataError, match="at least two images, got 1"):
        write_animation(path, [RED], [0])
    with pytest.raises(DataError, match="absent"):
        write_animation(tmp_path / "absent" / "a.webp", [RED, BLUE], [0, 1])
