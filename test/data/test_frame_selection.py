"""One frame is selected from each interval, the sharpest one."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.data.frame_selection import SharpestFrameSelector, sharpness
from clipose_ros.types import CameraIntrinsics, RgbdFrame

CAMERA = CameraIntrinsics(20.0, 20.0, 8.0, 6.0, 16, 12)
PATTERN = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
DEPTH = np.ones((12, 16), np.float32)


def make_frame(stamp_ns: int, contrast: float) -> RgbdFrame:
    return RgbdFrame((contrast * PATTERN).astype(np.uint8), DEPTH, CAMERA, stamp_ns)


@given(sigma=st.floats(0.6, 5.0))
def test_blur_lowers_the_sharpness(sigma: float) -> None:
    assert sharpness(np.asarray(cv2.GaussianBlur(PATTERN, (0, 0), sigma), np.uint8)) < sharpness(PATTERN)


@given(
    steps=st.lists(st.tuples(st.integers(1, 400), st.floats(0.0, 1.0)), min_size=1, max_size=60),
    interval=st.integers(100, 1000),
)
def test_selected_frames_are_the_sharpest_of_intervals(steps: list[tuple[int, float]], interval: int) -> None:
    stamps = np.cumsum([step for step, _ in steps])
    frames = [make_frame(int(stamp), contrast) for stamp, (_, contrast) in zip(stamps, steps, strict=True)]
    selector, group, expected = SharpestFrameSelector(interval), [frames[0]], []
    selected = [found for frame in frames if (found := selector.add(frame)) is not None]
    for frame in frames[1:]:
        if frame.stamp_ns - group[0].stamp_ns >= interval:
            expected.append(max(group, key=lambda each: sharpness(each.rgb)))
            group = []
        group.append(frame)
    assert [frame.stamp_ns for frame in selected] == [frame.stamp_ns for frame in expected]


@given(contrasts=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9))
def test_an_interval_of_zero_selects_every_frame(contrasts: list[float]) -> None:
    selector = SharpestFrameSelector(0)
    frames = [make_frame(k, contrast) for k, contrast in enumerate(contrasts)]
    assert all(selector.add(frame) is frame for frame in frames)


def test_a_jump_back_of_the_stamps_begins_a_new_interval() -> None:
    second = 1_000_000_000
    selector = SharpestFrameSelector(second)
    assert selector.add(make_frame(100 * second, 1.0)) is None
    assert selector.add(make_frame(2 * second, 0.5)) is None
    last = make_frame(3 * second, 0.2)
    found = selector.add(last)
    assert found is not None and found.stamp_ns == 2 * second
