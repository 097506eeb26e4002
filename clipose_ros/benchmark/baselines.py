"""Runtimes that the engines are compared with. The pose node does not use them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipose_ros.benchmark.rows import POINTS
from clipose_ros.categories import CategorySet
from clipose_ros.cores import count_cores
from clipose_ros.errors import DeviceError, one_line
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.model.onnx_export import INPUTS, OUTPUTS, export_onnx, require
from clipose_ros.types import FloatArray, IndexArray


class OnnxRuntime:
    """Engine that runs the ONNX export of a network with onnxruntime on the CPU.

    The export accepts clouds of ``POINTS`` points only.

    Args:
        network: Network in evaluation mode.
        threads: Number of threads; 0 for one per core that this process may use.

    Raises:
        ExportError: A required package is missing.
    """

    name = "onnxruntime"
    device = "cpu"

    def __init__(self, network: CLIPoseNet, threads: int = 0) -> None:
        require("onnxruntime")
        import onnxruntime

        self.categories: CategorySet = network.categories
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or count_cores()
        with tempfile.TemporaryDirectory(prefix="clipose_onnx_") as folder:
            path = Path(folder) / "network.onnx"
            export_onnx(network, path, POINTS)
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Compute raw poses, see ``inference.engines.base.Engine``."""
        values = self._session.run(list(OUTPUTS), dict(zip(INPUTS, (points_camera, category), strict=True)))
        return RawPoses(**dict(zip(OUTPUTS, values, strict=True)))

    def warm_up(self, points: int) -> None:
        """Run the network once on zeros, see ``inference.engines.base.Engine``."""
        self(np.zeros((1, points, 3), np.float32), np.zeros(1, np.int64))


@dataclass(frozen=True, eq=False)
class _Captured:
    """Captured pass: its input tensors, its output ``(B, 14)``, and the function that computes one from the others."""

    points: Tensor
    category: Tensor
    output: Tensor
    replay: Callable[[], object]


class CudaGraph:
    """Engine that replays the eager PyTorch module as a CUDA graph, captured once for each shape of the input.

    Args:
        network: Network in evaluation mode.
        device: ``cuda:N``. ``cpu`` computes without a graph, for tests.

    Raises:
        DeviceError: The network cannot be captured.
    """

    name = "cuda_graph"

    def __init__(self, network: CLIPoseNet, device: str) -> None:
        self.device, self.categories = device, network.categories
        self._network = network.eval().to(device)
        self._captured: dict[tuple[int, ...], _Captured] = {}
        self.warm_up(POINTS)

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Compute raw poses, see ``inference.engines.base.Engine``."""
        if points_camera.shape not in self._captured:
            self._captured[points_camera.shape] = self._capture(points_camera, category)
        captured = self._captured[points_camera.shape]
        captured.points.copy_(torch.from_numpy(points_camera))
        captured.category.copy_(torch.from_numpy(category))
        captured.replay()
        axis_y, axis_x, translation, size, confidences = np.split(captured.output.cpu().numpy(), (3, 6, 9, 12), axis=1)
        return RawPoses(axis_y, axis_x, confidences[:, 0], confidences[:, 1], translation, size)

    def warm_up(self, points: int) -> None:
        """Capture a pass for one random cloud, see ``inference.engines.base.Engine``."""
        cloud = np.random.default_rng(0).normal(size=(1, points, 3)).astype(np.float32)
        self(cloud, np.zeros(1, np.int64))

    @torch.no_grad()
    def _capture(self, points_camera: FloatArray, category: IndexArray) -> _Captured:
        points = torch.from_numpy(points_camera).to(self.device, copy=True)
        index = torch.from_numpy(category).to(self.device, copy=True)
        output = self._compute(points, index)
        if torch.device(self.device).type != "cuda":
            return _Captured(points, index, output, lambda: output.copy_(self._compute(points, index)))
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                output = self._compute(points, index)
        except RuntimeError as error:
            raise DeviceError(f"the network cannot be captured as a CUDA graph: {one_line(str(error))}") from error
        return _Captured(points, index, output, graph.replay)

    @torch.no_grad()
    def _compute(self, points: Tensor, category: Tensor) -> Tensor:
        output = self._network(points, category)
        confidences = torch.stack([output.confidence_y, output.confidence_x], dim=1)
        return torch.cat([output.axis_y, output.axis_x, output.translation, output.size, confidences], dim=1)
