"""One cloud's way through the fused network: all buffers, made once, and the order of the stages that fill them.

A layer's input x lies beside its response f in one buffer, so that ``[f, x]`` is one operand, and the levels' features
lie side by side as the heads read them.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.inference.engines.cpu import kernels_graph
from clipose_ros.inference.engines.cpu.buffers import Cloud, Columns, Stage
from clipose_ros.inference.engines.cpu.graph_layer import LayerPass
from clipose_ros.inference.engines.cpu.heads import HeadPass
from clipose_ros.inference.engines.cpu.weights import HeadWeights, LayerWeights
from clipose_ros.model.encoder import POOLING
from clipose_ros.types import FloatArray


class CloudPass:
    """Everything from a centred cloud to the heads' raw values.

    Args:
        layers: Weights of the five graph layers.
        heads: Weights of the heads.
        cloud: Points and neighbourhoods.
    """

    def __init__(self, layers: tuple[LayerWeights, ...], heads: HeadWeights, cloud: Cloud) -> None:
        self.cloud = cloud
        w0, w1, w2, w3, w4 = (weights.channels for weights in layers)
        surface = _columns(cloud.counts[0], w0, w0 + 3)
        fine = _columns(cloud.counts[0], w1, w1 + w0 + w1)
        entering = _columns(cloud.counts[1], w2, w2 + w1)
        middle = _columns(cloud.counts[1], w3, w3 + w2 + w3)
        last = _columns(cloud.counts[2], w4, w4 + w3)
        coarse = _columns(cloud.counts[2], 0, w4)
        level1, level3 = (
            Columns(c.buffer, c.place + w, np.zeros_like(c.squares)) for c, w in ((fine, w0), (middle, w2))
        )
        self._places = surface.buffer[:, w0:]
        self.layers = tuple(
            LayerPass(cloud, level, weights, joined, target)
            for level, weights, joined, target in zip(
                (0, 0, 1, 1, 2), layers, (surface, fine, entering, middle, last),
                (fine, level1, middle, level3, coarse), strict=True,
            )
        )  # fmt: skip
        self.heads = HeadPass(cloud, heads, (fine, middle, coarse))
        stages = [layer.stages for layer in self.layers]
        self.stages: list[Stage] = [
            cloud.neighbourhoods,
            *stages[0], *stages[1], self._pooling(0, level1, entering),
            *stages[2], *stages[3], self._pooling(1, level3, last),
            *stages[4], *self.heads.stages,
        ]  # fmt: skip

    def load(self, centred: FloatArray, category: int) -> None:
        """Take over a centred cloud ``(N, 3)`` in the network's unit."""
        self.cloud.load(centred, category)
        self._places[:] = centred

    def _pooling(self, level: int, source: Columns, target: Columns) -> Stage:
        cloud = self.cloud

        def pool(part: int) -> None:
            rows = cloud.rows(cloud.counts[level + 1], part)
            kernels_graph.pool(
                source.buffer, source.place, POOLING, cloud.near[level], *rows,
                target.buffer, target.place, target.squares,
            )  # fmt: skip

        return pool


def _columns(count: int, place: int, width: int) -> Columns:
    return Columns(np.zeros((count, width), np.float32), place, np.zeros(count, np.float32))
