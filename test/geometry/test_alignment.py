"""A shift of depth against colour is found on rendered scenes; aligned frames, rendered and real, give no alarm."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY
from clipose_ros.data.synthetic.depth_noise import add_depth_noise, random_depth_noise
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.samples import random_scene_config
from clipose_ros.data.synthetic.scenes import make_scene
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.geometry.alignment import EVERY_N, DepthShift, ShiftDetector, find_shift, score_shifts
from clipose_ros.types import CameraIntrinsics, FloatArray, RgbdFrame

CAMERA = CameraIntrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
REAL_FRAMES = Path(os.environ.get("CLIPOSE_DATA", "no-data")) / "rgbd" / "tabletop"


@pytest.fixture(scope="module")
def scenes() -> list[RgbdFrame]:
    """Noisy depth of rendered scenes."""
    frames = []
    for seed in range(8):
        rng = np.random.default_rng([5, seed])
        library = NOCS_OBJECT_LIBRARY
        scene = make_scene(rng, random_scene_config(rng, library.drawable), library.make)
        centre = np.array([item.T_world_object[:3, 3] for item in scene.objects]).mean(0)
        elevation, azimuth = np.radians(rng.uniform(20, 60)), rng.uniform(0, 6.28)
        direction = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
        T_world_camera = look_at(centre + rng.uniform(0.6, 1.2) * np.array(direction), centre, 0.0)
        view = Renderer(scene, library.categories).render(T_world_camera, CAMERA, colour=True)
        noise = random_depth_noise(rng)
        depth = add_depth_noise(view.depth, view.cos_incidence, view.albedo, CAMERA.fx, rng, noise)
        frames.append(RgbdFrame(view.rgb, depth, CAMERA))
    return frames


def moved(depth: FloatArray, right: int, down: int) -> FloatArray:
    matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(depth, matrix, depth.shape[::-1], flags=cv2.INTER_NEAREST), np.float32)


def shift_of(frame: RgbdFrame, right: int, down: int) -> DepthShift | None:
    scores = score_shifts(frame.rgb, moved(frame.depth, right, down))
    return None if scores is None else find_shift(scores, 2)


@pytest.mark.parametrize(("right", "down"), [(8, 0), (-8, 0), (0, 8), (0, -8), (-8, 6)])
def test_known_shifts_are_found_in_most_scenes_and_never_wrongly(scenes, right, down):
    found = [shift for frame in scenes if (shift := shift_of(frame, right, down)) is not None]
    assert len(found) >= len(scenes) // 2
    assert all(abs(shift.right - right) <= 2 and abs(shift.down - down) <= 2 for shift in found), found


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (0, -2), (1, 1)])
def test_aligned_scenes_give_no_alarm(scenes, right, down):
    assert [shift_of(frame, right, down) for frame in scenes] == [None] * len(scenes)


def test_several_tests_must_agree(scenes):
    frame = next(frame for frame in scenes if shift_of(frame, 8, 0) is not None)
    shifted = RgbdFrame(frame.rgb, moved(frame.depth, 8, 0), CAMERA)
    detector = ShiftDetector()
    reports = [detector.update(shifted) for _ in range(5 * EVERY_N)]
    assert reports[: 4 * EVERY_N] == [None] * (4 * EVERY_N)
    assert reports[-1] is not None and abs(reports[-1].right - 8) <= 2
    assert [detector.update(frame) for _ in range(EVERY_N + 1)][-1] is None


def test_frames_without_edges_are_no_evidence():
    flat = RgbdFrame(np.zeros((240, 320, 3), np.uint8), np.ones((240, 320), np.float32), CAMERA)
    assert score_shifts(flat.rgb, flat.depth) is None
    empty = RgbdFrame(np.zeros((4, 5, 3), np.uint8), np.ones((4, 5), np.float32), CameraIntrinsics(5, 5, 2, 2, 5, 4))
    assert ShiftDetector().update(empty) is None


@pytest.mark.skipif(not REAL_FRAMES.is_dir(), reason="CLIPOSE_DATA does not name a folder with real images")
def test_real_frames_give_no_alarm_and_their_shifts_are_found():
    found = 0
    for path in sorted(REAL_FRAMES.glob("*-color.png")):
        rgb = cv2.imread(str(path))[..., ::-1].copy()
        depth_path = str(path).replace("color", "depth")
        depth = cv2.imread(depth_path, cv2.IMREAD_UNCHANGED).astype(np.float32) * np.float32(1e-3)
        for right in (0, 16):
            scores = score_shifts(rgb, moved(depth, right, 0))
            shift = None if scores is None else find_shift(scores, round(depth.shape[1] / 160))
            found += shift is not None
            assert shift is None if right == 0 else shift is None or abs(shift.right - right) <= 4
    assert found >= 4


@settings(deadline=None)
@given(st.one_of(st.integers(1, 40), st.integers(1, 900)), st.one_of(st.integers(1, 40), st.integers(1, 1300)))
def test_images_of_any_size_are_scored_or_give_no_evidence(height: int, width: int) -> None:
    rng = np.random.default_rng([height, width])
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    scores = score_shifts(rgb, rng.uniform(0.5, 2.0, (height, width)).astype(np.float32))
    assert scores is None or scores.shape == (13, 13)
