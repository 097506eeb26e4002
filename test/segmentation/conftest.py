"""Frames for the segmentation tests."""

from collections.abc import Callable

import numpy as np
import pytest

from clipose_ros.types import ByteArray, CameraIntrinsics, LabelArray, RgbdFrame


@pytest.fixture
def make_frame() -> Callable[..., RgbdFrame]:
    """Builds a frame around a colour image or a label image."""

    def make(rgb: ByteArray | None = None, labels: LabelArray | None = None) -> RgbdFrame:
        height, width = (rgb if rgb is not None else labels).shape[:2]
        intrinsics = CameraIntrinsics(600.0, 600.0, width / 2, height / 2, width, height)
        colour = rgb if rgb is not None else np.zeros((height, width, 3), np.uint8)
        return RgbdFrame(colour, np.ones((height, width), np.float32), intrinsics, frame_id="camera", labels=labels)

    return make
