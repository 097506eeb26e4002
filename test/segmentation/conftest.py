"""Frames and detectors for the segmentation tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.segmentation.isolation import isolate_ultralytics
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


@pytest.fixture
def image() -> ByteArray:
    return np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)


@pytest.fixture(scope="session")
def make_weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes an untrained ultralytics network as a checkpoint."""

    def make(architecture: str, change: Callable[[torch.nn.Module], None] = lambda network: None) -> Path:
        torch.manual_seed(0)
        with isolate_ultralytics():
            from ultralytics import YOLO

            network = YOLO(architecture).model
        change(network)
        path = tmp_path_factory.mktemp("weights") / "random.pt"
        torch.save({"model": network, "train_args": {}, "date": "", "version": ""}, path)
        return path

    return make


@pytest.fixture(scope="session")
def random_weights(make_weights: Callable[..., Path]) -> Path:
    """A yolov8n-seg with seeded random weights that finds cups, bottles, bowls and laptops everywhere."""

    def change(network: torch.nn.Module) -> None:
        network.names[39], network.names[41], network.names[45], network.names[63] = "bottle", "cup", "bowl", "laptop"
        head = network.model[-1]
        with torch.no_grad():
            for classes, coefficients in zip(head.cv3, head.cv4, strict=True):
                classes[-1].weight.normal_(0.0, 0.2)
                classes[-1].bias.fill_(-9.0)
                classes[-1].bias[[39, 41, 45, 63]] = torch.randn(4)
                coefficients[-1].bias.fill_(1.0)
            head.proto.cv3.bn.bias.fill_(1.0)  # masks fill their boxes

    return make_weights("yolov8n-seg.yaml", change)
