"""Engine for CPUs: compiled loops between few matrix products; every buffer is allocated once.

Each thread computes whole clouds. Large clouds (``MIN_SHARED``) that do not fill a group of as many clouds as there are
threads are divided among the threads instead. All clouds are then computed by the same operations on the same parts,
so the result for a cloud does not depend on the rest of the batch.
"""

from __future__ import annotations

import copy
import threading

import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.errors import DeviceError
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers
from clipose_ros.inference.engines.cpu.gemm import Bf16Gemm, Float32Gemm, Int8Gemm, multiplies_correctly
from clipose_ros.inference.engines.cpu.network import NetworkPass
from clipose_ros.inference.engines.cpu.thread_pool import ThreadPool
from clipose_ros.inference.engines.cpu.weights import GemmFactory, encoder_weights, head_weights
from clipose_ros.model.network import CLIPoseNet, check_shape
from clipose_ros.model.ray_alignment import rotation_to_ray
from clipose_ros.types import FloatArray, IndexArray

GEMMS: dict[str, tuple[GemmFactory, GemmFactory]] = {
    "cpu": (Float32Gemm, Float32Gemm),
    "cpu_bf16": (Bf16Gemm, Bf16Gemm),
    "cpu_int8": (Int8Gemm, Float32Gemm),
}
"""Classes of the larger matrix products, and of those that merge response and input, by name of the engine."""

INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "cpu_bf16": ("avx512_bf16", "amx_bf16"),
    "cpu_int8": ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8"),
}
"""Instructions of which an engine needs one to be fast, by name of the engine."""

MAX_PARTS = 4
"""Largest number of threads that share one cloud: more would wait for each other longer than they compute."""

MIN_SHARED = 1 << 19
"""Fewest points times channels of a cloud that threads share: the calls for parts of smaller ones take longer."""


class CpuEngine:
    """Engine in float32, or with matrix products in reduced precision; neighbours are searched in float32.

    Args:
        network: Network whose weights are copied; later changes of them have no effect.
        name: ``cpu``, ``cpu_bf16`` or ``cpu_int8``.
        threads: Number of threads that compute; 0 uses torch's number. They belong to this engine: torch's number of
            threads in the process stays as it is.

    Raises:
        DeviceError: The CPU lacks the instructions that make the engine fast, and ``cpu_int8`` exact.
    """

    device = "cpu"

    def __init__(self, network: CLIPoseNet, name: str = "cpu", threads: int = 0) -> None:
        if not is_supported(name):
            raise DeviceError(
                f"'network.engine' '{name}' needs a CPU with one of {', '.join(INSTRUCTIONS[name])}, and oneDNN that "
                "uses them (ONEDNN_MAX_CPU_ISA): choose 'cpu'"
            )
        self.name = name
        self.categories: CategorySet = network.categories
        self._architecture, self._mean_sizes = network.architecture, network.mean_sizes.cpu().numpy()
        plain = copy.deepcopy(network).float().cpu().requires_grad_(False)
        create_gemm, create_merge = GEMMS[name]
        self._layers = encoder_weights(plain, create_gemm, create_merge)
        self._heads = head_weights(plain, create_gemm)
        self._pool = ThreadPool(threads)
        self._passes: list[NetworkPass] = []
        self._lock = threading.Lock()

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """Predict as ``Engine`` describes; clouds that are not finite get NaN."""
        check_shape(points_camera.shape)
        unit = np.float32(self._architecture.unit_m)
        points = points_camera[:, : self._architecture.points or None]
        centred, origin = centre_clouds(points, unit, not self._architecture.refines)
        R_ray_camera = rotations_to_rays(origin) if self._architecture.ray_aligned else None
        if R_ray_camera is not None:
            centred = centred @ R_ray_camera.transpose(0, 2, 1)
        with self._lock:  # callers in several threads share the buffers
            values = self._compute_heads(centred, category)
        values[~np.isfinite(origin).all(axis=1)] = np.nan
        vectors = np.stack([values[:, 0, 1:4], values[:, 1, 1:4], values[:, 2, :3]], axis=1)
        if R_ray_camera is not None:
            vectors = vectors @ R_ray_camera
        return RawPoses(
            axis_y=_normalise(vectors[:, 0]),
            axis_x=_normalise(vectors[:, 1]),
            confidence_y=_sigmoid(values[:, 0, 0]),
            confidence_x=_sigmoid(values[:, 1, 0]),
            translation=vectors[:, 2] * unit + origin,
            size=values[:, 2, 3:] * unit + self._mean_sizes[category],
        )

    def warm_up(self, points: int) -> None:
        """Compile the kernels and allocate the buffers for clouds of ``points`` points."""
        cloud = np.random.default_rng(0).normal(size=(1, points, 3)).astype(np.float32)
        self(cloud, np.zeros(1, np.int64))

    def _compute_heads(self, centred: FloatArray, category: IndexArray) -> FloatArray:
        """Return the raw values of the heads ``(B, 3, 6)`` for centred clouds ``(B, N, 3)`` in the network's unit."""
        self._allocate(centred.shape[1])
        count, threads, shared = len(centred), self._pool.size, self._passes[0]
        whole = count if shared.cloud.parts == 1 else count - count % threads  # by one thread each
        values = np.empty((count, 3, 6), np.float32)

        def compute_whole_clouds(thread: int) -> None:
            network = self._passes[thread]
            for i in range(thread, whole, threads):
                network.load(centred[i], int(category[i]))
                for stage in network.stages:
                    for part in range(network.cloud.parts):
                        stage(part)
                values[i] = network.heads.values

        if whole:
            self._pool.run([compute_whole_clouds])
        # For the rest, a thread per cloud would leave threads idle: all threads share each cloud.
        for i in range(whole, count):
            shared.load(centred[i], int(category[i]))
            self._pool.run(shared.stages, shared.cloud.parts)
            values[i] = shared.heads.values
        return values

    def _allocate(self, points: int) -> None:
        """Allocate each thread's buffers for clouds of ``points`` points, unless they already are for that number."""
        if self._passes and self._passes[0].cloud.counts[0] == points:
            return
        head_points = min(self._architecture.head_points or points, points)
        size = points * sum(self._architecture.widths)
        parts = min(self._pool.size, MAX_PARTS) if size >= MIN_SHARED else 1
        self._passes = [
            NetworkPass(
                self._layers, self._heads, CloudBuffers(points, self._architecture.neighbours, head_points, parts)
            )
            for _ in range(self._pool.size)
        ]


def is_supported(name: str) -> bool:
    """Return True if the CPU has the instructions that an engine needs, and its products are right with them."""
    needed = INSTRUCTIONS.get(name)
    if needed is None:
        return True
    return any(torch.cpu.get_capabilities().get(key) for key in needed) and multiplies_correctly(GEMMS[name][0])


def centre_clouds(
    points_camera: FloatArray, unit_m: np.float32, about_mean: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Centre clouds about their means.

    Args:
        points_camera: ``(B, N, 3)`` float32, metres.
        unit_m: The network's unit of length, metres.
        about_mean: False leaves the clouds where they are, as a refiner needs them.

    Returns:
        Clouds ``(B, N, 3)`` in the network's unit, and their origins ``(B, 3)``, metres: the means, or zeros. A cloud
        with a point that is not finite becomes zeros, and its origin is not finite.
    """
    with np.errstate(invalid="ignore"):
        origin = points_camera.mean(axis=1, dtype=np.float64).astype(np.float32)
        finite = np.isfinite(origin).all(axis=1)
        if not about_mean:
            origin[finite] = 0.0
        return np.where(finite[:, None, None], (points_camera - origin[:, None]) / unit_m, np.float32(0.0)), origin


def rotations_to_rays(mean: FloatArray) -> FloatArray:
    """Compute ``ray_alignment.rotation_to_ray`` for means ``(B, 3)``: ``(B, 3, 3)`` float32, the identity for none."""
    finite = np.isfinite(mean).all(axis=1, keepdims=True)
    return rotation_to_ray(torch.from_numpy(np.where(finite, mean, np.float32(0.0)))).numpy()


def create_float32_engine(network: CLIPoseNet, device: str, threads: int) -> CpuEngine:
    """Create the engine ``cpu``; ``device`` is always ``cpu``."""
    return CpuEngine(network, "cpu", threads)


def create_bf16_engine(network: CLIPoseNet, device: str, threads: int) -> CpuEngine:
    """Create the engine ``cpu_bf16``; ``device`` is always ``cpu``."""
    return CpuEngine(network, "cpu_bf16", threads)


def create_int8_engine(network: CLIPoseNet, device: str, threads: int) -> CpuEngine:
    """Create the engine ``cpu_int8``; ``device`` is always ``cpu``."""
    return CpuEngine(network, "cpu_int8", threads)


def _normalise(vectors: FloatArray) -> FloatArray:
    """Return vectors ``(B, 3)`` divided by their lengths, at least 1e-12."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit


def _sigmoid(values: FloatArray) -> FloatArray:
    """Return the logistic function, in the form that does not overflow."""
    logistic: FloatArray = np.float32(0.5) * (np.tanh(np.float32(0.5) * values) + np.float32(1.0))
    return logistic
