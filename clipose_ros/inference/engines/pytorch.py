"""Engine that runs the network's own PyTorch module, on any device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.model.network import CLIPoseNet, PoseNetwork
from clipose_ros.types import FloatArray, IndexArray


class PytorchEngine:
    """Engine that calls the network in eager mode.

    Args:
        network: Network on ``device``; it is put into evaluation mode.
        device: ``cpu`` or ``cuda:N``.
        threads: CPU threads of torch during a call; 0 keeps torch's number.
    """

    name = "pytorch"

    def __init__(self, network: PoseNetwork, device: str = "cpu", threads: int = 0) -> None:
        network.eval()
        self._network, self._threads = network, threads
        self.device = device

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the network was trained on."""
        return self._network.categories

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict as ``Engine`` describes."""
        with torch.inference_mode(), _torch_threads(self._threads):
            points = torch.from_numpy(points_camera).to(self.device)
            output = self._network(points, torch.from_numpy(category).to(self.device))
            # Two copies to the host instead of six: on a GPU each one waits for the device.
            vectors = torch.stack([output.axis_y, output.axis_x, output.translation, output.size]).cpu().numpy()
            confidences = torch.stack([output.confidence_y, output.confidence_x]).cpu().numpy()
        axis_y, axis_x, translation, size = vectors
        confidence_y, confidence_x = confidences
        return RawPoses(axis_y, axis_x, confidence_y, confidence_x, translation, size)

    def warm_up(self, points: int) -> None:
        """Run the network once on a random cloud of ``points`` points."""
        cloud = np.random.default_rng(0).normal(size=(1, points, 3)).astype(np.float32)
        self(cloud, np.zeros(1, np.int64))


def create_pytorch_engine(network: CLIPoseNet, device: str, threads: int) -> PytorchEngine:
    """Create the engine ``pytorch`` and move the network to its device."""
    return PytorchEngine(network.to(device), device, threads)


@contextlib.contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Let torch use a number of threads within the block; 0 changes nothing. The process's number is restored."""
    before = torch.get_num_threads()
    if not threads or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
