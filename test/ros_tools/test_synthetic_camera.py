"""The synthetic camera and the player over DDS: their messages fit together."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import FrameMessages, Topics
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.geometry.camera import project
from clipose_ros.geometry.se3 import make_transform, rotation_from_quat_xyzw
from clipose_ros.ros_tools.rgbd_player import RgbdPlayer
from clipose_ros.ros_tools.synthetic_camera import SyntheticCamera
from clipose_ros.types import HANDLE_VISIBLE, LABEL_BASE

NAMES = Topics("color", "depth", "info", "labels", "boxes")
SMALL = {"frames": 2, "width": 160, "height": 120, "workers": 1, "rate_hz": 20.0}


def test_all_topics_of_a_frame_carry_one_stamp_and_agree(spin, listener, with_parameters) -> None:
    camera = with_parameters(SyntheticCamera, seed=3, **SMALL)
    spin(lambda: len(listener.stamps_of(*listener.received)) >= 3, listener, camera)
    stamp = listener.stamps_of(*listener.received)[-1]
    color, depth, info, labels, truth, tf = (listener.received[topic][stamp] for topic in listener.received)
    frame = read_frame(FrameMessages(color, depth, info, labels), NAMES)
    assert (frame.frame_id, frame.stamp_ns) == ("camera_color_optical_frame", stamp)
    assert frame.depth.shape == (120, 160)
    assert not np.isinf(frame.depth).any() and not (frame.depth == 0.0).any(), "invalid depth is NaN"
    transform = tf.transforms[0]
    assert (transform.header.frame_id, transform.child_frame_id) == ("world", frame.frame_id)
    assert truth.header == color.header
    values = {int(v) for v in np.unique(frame.labels)} - {0}
    assert {int(d.id) for d in truth.detections} == values
    for detection in truth.detections:
        category, handle = (result.hypothesis for result in detection.results)
        assert NOCS_CATEGORIES[category.class_id].id == int(detection.id) // LABEL_BASE
        assert 0.0 < category.score <= 1.0
        assert handle.class_id == HANDLE_VISIBLE and handle.score in (0.0, 1.0)


def test_truth_lies_under_its_label(spin, listener, with_parameters) -> None:
    camera = with_parameters(SyntheticCamera, seed=3, **SMALL)
    spin(lambda: bool(listener.stamps_of(*listener.received)), listener, camera)
    stamp = listener.stamps_of(*listener.received)[0]
    color, depth, info, labels, truth, tf = (listener.received[topic][stamp] for topic in listener.received)
    frame = read_frame(FrameMessages(color, depth, info, labels), NAMES)
    checked = 0
    for detection in truth.detections:
        p, s = detection.bbox.center.position, detection.bbox.size
        mask = frame.labels == int(detection.id)
        if detection.results[0].hypothesis.score < 0.9 or mask.sum() < 30:
            continue
        rows, columns = np.nonzero(mask)
        u, v = project(np.array([[p.x, p.y, p.z]]), frame.intrinsics)[0]
        assert columns.min() - 3 <= u <= columns.max() + 3 and rows.min() - 3 <= v <= rows.max() + 3
        near = np.nanmedian(frame.depth[mask])
        assert abs(near - p.z) <= np.linalg.norm([s.x, s.y, s.z])
        checked += 1
    assert checked >= 3
    # the world's z is up: the table's middle lies in front of the camera
    t, q = tf.transforms[0].transform.translation, tf.transforms[0].transform.rotation
    T_world_camera = make_transform(rotation_from_quat_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])
    assert T_world_camera[2, 3] > 0.2 and (T_world_camera[:3, :3] @ [0.0, 0.0, 1.0])[2] < 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, value in enumerate((40, 200)):
        cv2.imwrite(str(tmp_path / f"{index}-color.png"), np.full((48, 64, 3), value, np.uint8))
        cv2.imwrite(str(tmp_path / f"{index}-depth.png"), np.full((48, 64), 1000 + index, np.uint16))
    (tmp_path / "camera.json").write_text(json.dumps({"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0}))
    return tmp_path


def test_a_folder_is_played_in_order_held_and_looped(spin, listener, with_parameters, folder: Path) -> None:
    player = with_parameters(RgbdPlayer, folder=str(folder), rate_hz=40.0, hold_s=0.05)
    inputs = list(listener.received)[:3]
    spin(lambda: len(listener.stamps_of(*inputs)) >= 9, listener, player)
    frames = [
        read_frame(FrameMessages(*(listener.received[t][s] for t in inputs)), NAMES)
        for s in listener.stamps_of(*inputs)
    ]
    levels = [int(frame.rgb[0, 0, 0]) for frame in frames]
    assert {40, 200} == set(levels)
    assert all(np.allclose(f.depth, 1.0 if level == 40 else 1.001) for f, level in zip(frames, levels, strict=True))
    changes = sum(a != b for a, b in itertools.pairwise(levels))
    assert 2 <= changes < len(levels) - 1, (
        "frames are held for two periods, then the next comes, and the first after the last"
    )


def test_the_player_stops_after_the_last_frame_where_it_shall_not_loop(
    spin, listener, with_parameters, folder: Path
) -> None:
    player = with_parameters(RgbdPlayer, folder=str(folder), rate_hz=40.0, loop=False)
    spin(lambda: player.finished, listener, player)
    assert player.published == 2


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, ConfigError, "folder"),
        ({"folder": "/nowhere"}, DataError, "/nowhere"),
        ({"rate_hz": 0.0}, ConfigError, "rate_hz"),
    ],
)
def test_a_wrong_parameter_is_named(spin, with_parameters, values: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        with_parameters(RgbdPlayer, **values)
