"""The OpenVINO form of the shipped detector sees what its weights see."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.node_settings import read_parameters
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.data.synthetic.sequence import SequenceConfig, render_sequence
from clipose_ros.resources import config_path
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.overlap import count_shared_pixels
from clipose_ros.types import InstanceMask, RgbdFrame

MODELS = Path(__file__).resolve().parents[2] / "models"
pytestmark = pytest.mark.skipif(
    not (MODELS / "clipose_segmenter.pt").is_file() or find_spec("ultralytics") is None,
    reason="the shipped detector (AGPL-3.0) was deleted, or ultralytics is not installed",
)


def detect(model: str, frame: RgbdFrame) -> list[InstanceMask]:
    """Return what a form of the shipped detector finds, with the settings of the demo."""
    settings = read_parameters(config_path("detector.yaml")) | read_parameters(config_path("demo_detector.yaml"))
    config = PoseNodeConfig.from_mapping(nest(settings | {"segmentation.model": model})).segmentation
    return list(create_segmenter(config, NOCS_CATEGORIES, "cpu").segment(frame))


def overlap(a: InstanceMask, b: InstanceMask) -> float:
    """Return the intersection over union of two masks."""
    shared = count_shared_pixels(a, b)
    return float(shared / (np.count_nonzero(a.mask) + np.count_nonzero(b.mask) - shared))


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
@pytest.mark.timeout(300)
def test_openvino_form_finds_what_the_weights_find() -> None:
    frame = next(render_sequence(SequenceConfig(seed=3, frames=2, workers=1))).frame
    expected, found = detect(str(MODELS / "clipose_segmenter.pt"), frame), detect("clipose_segmenter", frame)
    sure = [each for each in expected if each.score > 0.6]
    assert len(sure) >= 4
    for each in sure:
        assert max(overlap(each, other) for other in found if other.category == each.category) > 0.85
