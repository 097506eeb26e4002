"""The fast engine for CPUs: compiled loops between few matrix products, every buffer made once.

Clouds that fill the team of threads are each computed by one thread; those that are left over are shared by all. Both
ways do the same operations on the same parts, so a cloud's result does not depend on its companions.
"""

from __future__ import annotations

import copy
import threading

import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.errors import DeviceError
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.cpu.buffers import Cloud
from clipose_ros.inference.engines.cpu.gemm import Float32Gemm, Int8Gemm
from clipose_ros.inference.engines.cpu.network import CloudPass
from clipose_ros.inference.engines.cpu.thread_pool import ThreadPool
from clipose_ros.inference.engines.cpu.weights import GemmFactory, encoder_weights, head_weights
from clipose_ros.model.network import CLIPoseNet, check_shape
from clipose_ros.types import FloatArray, IndexArray

GEMMS: dict[str, GemmFactory] = {"cpu": Float32Gemm, "cpu_int8": Int8Gemm}
"""Names of the engines, and the matrix products of each."""

_INT8_INSTRUCTIONS = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8")

MOST_PARTS = 4
"""Threads that share one cloud at most: more would wait for each other longer than they compute."""


class CpuEngine:
    """Computes float32 as the network does, or with its larger matrix products in int8.

    Args:
        network: Whose weights it takes; later changes of them are not seen.
        name: ``cpu`` or ``cpu_int8``.
        threads: Threads that compute; 0 takes torch's number.

    Raises:
        DeviceError: The CPU has no dot products of 8-bit integers, which make ``cpu_int8`` exact and fast.
    """

    device = "cpu"

    def __init__(self, network: CLIPoseNet, name: str = "cpu", threads: int = 0) -> None:
        if name == "cpu_int8" and not any(torch.cpu.get_capabilities().get(key) for key in _INT8_INSTRUCTIONS):
            raise DeviceError(
                f"'network.engine' 'cpu_int8' needs a CPU with one of {', '.join(_INT8_INSTRUCTIONS)}: choose 'cpu'"
            )
        self.name = name
        self.categories: CategorySet = network.categories
        self._architecture, self._mean_sizes = network.architecture, network.mean_sizes.cpu().numpy()
        plain = copy.deepcopy(network).float().cpu().requires_grad_(False)
        self._layers = encoder_weights(plain, GEMMS[name])
        self._heads = head_weights(plain, GEMMS[name])
        self._team = ThreadPool(threads)
        self._passes: list[CloudPass] = []
        self._turn = threading.Lock()

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        """As ``Engine`` says."""
        check_shape(points_camera.shape)
        points_camera = points_camera[:, : self._architecture.points or None]
        unit = np.float32(self._architecture.unit_m)
        with np.errstate(invalid="ignore"):  # what is not finite gets NaN, and no loop sees it
            mean = points_camera.mean(axis=1, dtype=np.float64).astype(np.float32)
            known = np.isfinite(mean).all(axis=1)
            centred = np.where(known[:, None, None], (points_camera - mean[:, None]) / unit, np.float32(0.0))
        with self._turn:  # callers in several threads share the buffers
            values = self._values(centred, category)
        values[~known] = np.nan
        return RawPoses(
            axis_y=_unit(values[:, 0, 1:4]),
            axis_x=_unit(values[:, 1, 1:4]),
            confidence_y=_sigmoid(values[:, 0, 0]),
            confidence_x=_sigmoid(values[:, 1, 0]),
            translation=values[:, 2, :3] * unit + mean,
            size=values[:, 2, 3:] * unit + self._mean_sizes[category],
        )

    def warm_up(self, points: int) -> None:
        """As ``Engine`` says."""
        cloud = np.random.default_rng(0).normal(size=(1, points, 3)).astype(np.float32)
        self(cloud, np.zeros(1, np.int64))

    def _values(self, centred: FloatArray, category: IndexArray) -> FloatArray:
        """The heads' raw values ``(B, 3, 6)``."""
        self._prepare(centred.shape[1])
        count, team = len(centred), self._team.size
        whole = count - count % team
        values = np.empty((count, 3, 6), np.float32)

        def several(thread: int) -> None:
            own = self._passes[thread]
            for i in range(thread, whole, team):
                own.load(centred[i], int(category[i]))
                for stage in own.stages:
                    for part in range(own.cloud.parts):
                        stage(part)
                values[i] = own.heads.values

        if whole:
            self._team.run([several])
        shared = self._passes[0]
        for i in range(whole, count):
            shared.load(centred[i], int(category[i]))
            self._team.run(shared.stages, shared.cloud.parts)
            values[i] = shared.heads.values
        return values

    def _prepare(self, points: int) -> None:
        """Make the threads' buffers for clouds of so many points, if they are for others."""
        if self._passes and self._passes[0].cloud.counts[0] == points:
            return
        seen = min(self._architecture.head_points or points, points)
        parts = min(self._team.size, MOST_PARTS)
        self._passes = [
            CloudPass(self._layers, self._heads, Cloud(points, self._architecture.neighbours, seen, parts))
            for _ in range(self._team.size)
        ]


def create_float32_engine(network: CLIPoseNet, device: str, threads: int) -> CpuEngine:
    """Create the engine ``cpu``; ``device`` is always ``cpu``."""
    return CpuEngine(network, "cpu", threads)


def create_int8_engine(network: CLIPoseNet, device: str, threads: int) -> CpuEngine:
    """Create the engine ``cpu_int8``; ``device`` is always ``cpu``."""
    return CpuEngine(network, "cpu_int8", threads)


def _unit(vectors: FloatArray) -> FloatArray:
    """Vectors ``(B, 3)`` divided by their lengths, at least 1e-12."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit


def _sigmoid(values: FloatArray) -> FloatArray:
    """The logistic function, in the form that does not overflow."""
    logistic: FloatArray = np.float32(0.5) * (np.tanh(np.float32(0.5) * values) + np.float32(1.0))
    return logistic
