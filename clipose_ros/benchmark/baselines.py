"""Runtimes that the engines are compared with. The pose node does not use them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from clipose_ros.benchmark.rows import POINTS
from clipose_ros.categories import CategorySet
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
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
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
