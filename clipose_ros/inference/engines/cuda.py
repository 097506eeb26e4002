"""Engine for GPUs: the PyTorch formulas compiled into few kernels, with one synchronisation per batch.

Between the copy of the clouds to the device and the copy of the results back, nothing synchronises with the host: the
network is one compiled graph, and all results are copied as one array.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clipose_ros.categories import CategorySet
from clipose_ros.errors import DeviceError
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.model.network import CLIPoseNet, check_shape
from clipose_ros.types import FloatArray, IndexArray

PRECISIONS = {"cuda": torch.float32, "cuda_bf16": torch.bfloat16, "cuda_fp16": torch.float16}
"""Type of the matrix products by name of the engine; distances between points are computed in float32."""


class CudaEngine:
    """Engine that compiles the network with ``torch.compile``.

    The batch size is dynamic in the compiled graph, so that it is compiled once, in ``warm_up``, for any number of
    objects. torch would specialise a batch of one; a single object is therefore computed twice in a batch of two.

    Args:
        network: Network in evaluation mode with ``graph.PYTORCH_OPS``.
        device: ``cuda:N``. ``cpu`` runs the same code, for tests.
        name: Name of the engine, a key of ``PRECISIONS``.
        backend: Backend of ``torch.compile``.
    """

    def __init__(
        self, network: CLIPoseNet, device: str = "cuda:0", name: str = "cuda", backend: str = "inductor"
    ) -> None:
        self.name, self.device = name, device
        self._network = network.eval().to(device)
        self._target = torch.device(device)
        self._compiled = torch.compile(self._pack_outputs, fullgraph=True, backend=backend)

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the network was trained on."""
        return self._network.categories

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict as ``Engine`` describes; compile first if ``warm_up`` was not called for this number of points.

        Raises:
            ShapeError: The points have another shape.
            DeviceError: The compiler fails on this machine.
        """
        check_shape(points_camera.shape)
        count = len(points_camera)
        points, index = self._copy_to_device(points_camera), self._copy_to_device(category)
        if count == 1:  # torch would compile a second graph for batches of one
            points, index = points.expand(2, -1, -1).contiguous(), index.expand(2).contiguous()
        # Without the mark, the first batch size would be compiled as a constant.
        for tensor in (points, index):
            torch._dynamo.mark_dynamic(tensor, 0)
        try:
            with torch.no_grad():
                values = self._copy_to_host(self._compiled(points, index))[:count]
        except torch._dynamo.exc.BackendCompilerFailed as error:
            raise DeviceError(
                f"engine '{self.name}' cannot compile the network for '{self.device}': {error.inner_exception}. "
                "Install Triton and a C compiler, or choose network.engine 'pytorch'"
            ) from error
        axis_y, axis_x, translation, size, confidences = np.split(values, (3, 6, 9, 12), axis=1)
        return RawPoses(axis_y, axis_x, confidences[:, 0], confidences[:, 1], translation, size)

    def warm_up(self, points: int) -> None:
        """Compile the network for clouds of ``points`` points."""
        clouds = np.random.default_rng(0).normal(size=(2, points, 3)).astype(np.float32)
        self(clouds, np.zeros(2, np.int64))

    def _pack_outputs(self, points_camera: Tensor, category: Tensor) -> Tensor:
        """Return all outputs side by side, ``(B, 14)`` float32."""
        precision = PRECISIONS[self.name]
        with torch.autocast(self._target.type, dtype=precision, enabled=precision is not torch.float32):
            output = self._network(points_camera, category)
        confidences = torch.stack([output.confidence_y, output.confidence_x], dim=1)
        vectors = (output.axis_y, output.axis_x, output.translation, output.size, confidences)
        return torch.cat([vector.float() for vector in vectors], dim=1)

    def _copy_to_device(self, values: FloatArray | IndexArray) -> Tensor:
        """Start to copy an array to the device; its memory is pinned so that the copy is asynchronous."""
        host = torch.from_numpy(values)
        return host.pin_memory().to(self._target, non_blocking=True) if self._target.type == "cuda" else host

    def _copy_to_host(self, values: Tensor) -> FloatArray:
        """Return a tensor of the device as an array; this is the only place that waits for the device."""
        if self._target.type != "cuda":
            return values.numpy()
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        torch.cuda.current_stream(self._target).synchronize()
        return host.numpy()


def create_float32_engine(network: CLIPoseNet, device: str, threads: int) -> CudaEngine:
    """Create the engine ``cuda``, with matrix products in float32."""
    return CudaEngine(network, device, "cuda")


def create_bf16_engine(network: CLIPoseNet, device: str, threads: int) -> CudaEngine:
    """Create the engine ``cuda_bf16``, with matrix products in bfloat16."""
    return CudaEngine(network, device, "cuda_bf16")


def create_fp16_engine(network: CLIPoseNet, device: str, threads: int) -> CudaEngine:
    """Create the engine ``cuda_fp16``, with matrix products in float16."""
    return CudaEngine(network, device, "cuda_fp16")
