"""The plain engine: the network's own PyTorch module, on any device."""

from __future__ import annotations

import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engines.base import IndexArray, RawPoses
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.types import FloatArray


class PytorchEngine:
    """Computes with the network as it is.

    Args:
        network: In evaluation mode, on ``device``.
        device: ``cpu`` or ``cuda:N``.
        threads: CPU threads of torch in this process; 0 leaves them as they are.
    """

    name = "pytorch"

    def __init__(self, network: CLIPoseNet, device: str = "cpu", threads: int = 0) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._network = network.eval()
        self.device = device

    @property
    def categories(self) -> CategorySet:
        """What the network was trained on."""
        return self._network.categories

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """As ``Engine`` says."""
        with torch.inference_mode():
            points = torch.from_numpy(points_camera).to(self.device)
            output = self._network(points, torch.from_numpy(category).to(self.device))
            vectors = torch.stack([output.axis_y, output.axis_x, output.translation, output.size]).cpu().numpy()
            confidences = torch.stack([output.confidence_y, output.confidence_x]).cpu().numpy()
        axis_y, axis_x, translation, size = vectors
        confidence_y, confidence_x = confidences
        return RawPoses(axis_y, axis_x, confidence_y, confidence_x, translation, size)

    def warm_up(self, points: int) -> None:
        """As ``Engine`` says."""
        cloud = np.random.default_rng(0).normal(size=(1, points, 3)).astype(np.float32)
        self(cloud, np.zeros(1, np.int64))
