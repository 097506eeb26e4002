"""Network of the CPU engine on one cloud: all buffers, allocated once, and the order of the stages that fill them.

A layer's input x lies beside its response r in one buffer, so that ``[r, x]`` is one operand. The features of a level
lie side by side, as the heads read them.
"""

from __future__ import annotations

import numpy as np

from clipose_ros.inference.engines.cpu import kernels_graph
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers, Stage, make_column_view
from clipose_ros.inference.engines.cpu.graph_layer import GraphLayerPass, LayerColumns
from clipose_ros.inference.engines.cpu.heads import HeadsPass
from clipose_ros.inference.engines.cpu.kernel_arguments import ColumnView
from clipose_ros.inference.engines.cpu.weights import HeadWeights, LayerWeights
from clipose_ros.model.encoder import POOLING
from clipose_ros.types import FloatArray


class NetworkPass:
    """Everything from a centred cloud to the raw values of the heads.

    Args:
        layers: Weights of the five graph layers.
        heads: Weights of the heads.
        cloud: Points and neighbourhoods.
    """

    def __init__(self, layers: tuple[LayerWeights, ...], heads: HeadWeights, cloud: CloudBuffers) -> None:
        self.cloud = cloud
        w0, w1, w2, w3, w4 = (weights.channels for weights in layers)
        surface = make_column_view(cloud.counts[0], w0, w0 + 3)
        fine = make_column_view(cloud.counts[0], w1, w1 + w0 + w1)
        entering = make_column_view(cloud.counts[1], w2, w2 + w1)
        middle = make_column_view(cloud.counts[1], w3, w3 + w2 + w3)
        last = make_column_view(cloud.counts[2], w4, w4 + w3)
        coarse = make_column_view(cloud.counts[2], 0, w4)
        level1, level3 = (
            ColumnView(view.buffer, view.first_column + width, np.zeros_like(view.squares))
            for view, width in ((fine, w0), (middle, w2))
        )
        self._coordinates = surface.buffer[:, w0:]
        self.layers = tuple(
            GraphLayerPass(cloud, level, weights, LayerColumns(response, target))
            for level, weights, response, target in zip(
                (0, 0, 1, 1, 2), layers, (surface, fine, entering, middle, last),
                (fine, level1, middle, level3, coarse), strict=True,
            )
        )  # fmt: skip
        self.heads = HeadsPass(cloud, heads, (fine, middle, coarse))
        stages = [layer.stages for layer in self.layers]
        self.stages: list[Stage] = [
            cloud.find_neighbours,
            *stages[0], *stages[1], self._make_pooling(0, level1, entering),
            *stages[2], *stages[3], self._make_pooling(1, level3, last),
            *stages[4], *self.heads.stages,
        ]  # fmt: skip

    def load(self, centred: FloatArray, category: int) -> None:
        """Copy a centred cloud ``(N, 3)`` in the network's unit into the buffers."""
        self.cloud.load(centred, category)
        self._coordinates[:] = centred

    def _make_pooling(self, level: int, source: ColumnView, target: ColumnView) -> Stage:
        """Return the stage that pools the features of a level to the next one."""
        cloud = self.cloud

        def pool(part: int) -> None:
            rows = cloud.part_rows(cloud.counts[level + 1], part)
            kernels_graph.max_pool(source, cloud.neighbourhoods[level].neighbours, POOLING, *rows, target)

        return pool
