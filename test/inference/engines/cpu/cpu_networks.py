"""Small untrained networks, and their computation by the parts of the CPU engine and by the plain PyTorch layers."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.inference.engines.cpu.buffers import CloudBuffers, Stage
from clipose_ros.inference.engines.cpu.engine import GEMMS, is_supported
from clipose_ros.inference.engines.cpu.gemm import Float32Gemm
from clipose_ros.inference.engines.cpu.network import NetworkPass
from clipose_ros.inference.engines.cpu.weights import encoder_weights, head_weights
from clipose_ros.model import graph
from clipose_ros.model.encoder import Encoding
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(
    widths=(8, 12, 8, 16, 20), supports=3, neighbours=8, head_widths=(16, 8), head_points=64, unit_m=0.1, one_hot=True
)


def usable_engines() -> list[str]:
    """Return the engines that this CPU supports."""
    return [name for name in GEMMS if is_supported(name)]


def make_network(architecture: Architecture, seed: int = 0, ops: graph.GraphOps = graph.PYTORCH_OPS) -> CLIPoseNet:
    """Create an untrained network whose batch normalisations are not the identity."""
    torch.manual_seed(seed)
    network = CLIPoseNet(architecture, NOCS_CATEGORIES, ops).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean, 0.0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, -0.5, 1.5)  # negative factors too: they turn maxima into minima
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
    for shift in network.encoder.shifts:
        torch.nn.init.normal_(shift)
    return network


def random_clouds(count: int, points: int = 128, seed: int = 2) -> np.ndarray:
    """Return clouds ``(count, points, 3)`` float32, metres."""
    return (np.random.default_rng(seed).normal(size=(count, points, 3)) * 0.05 + [0.0, 0.1, 0.8]).astype(np.float32)


def run_stages(stages: list[Stage], parts: int) -> None:
    """Run stages in order, the parts of each one after the other."""
    for stage in stages:
        for part in range(parts):
            stage(part)


def run_pass(network: CLIPoseNet, centred: np.ndarray, category: int, parts: int = 1) -> NetworkPass:
    """Compute a centred cloud ``(N, 3)`` in float32; the buffers keep all intermediate values."""
    architecture = network.architecture
    head_points = min(architecture.head_points or len(centred), len(centred))
    cloud = CloudBuffers(len(centred), architecture.neighbours, head_points, parts)
    computed = NetworkPass(encoder_weights(network, Float32Gemm), head_weights(network, Float32Gemm), cloud)
    computed.load(centred, category)
    run_stages(computed.stages, parts)
    return computed


def ops_with_neighbours_of(computed: NetworkPass, encoder: str) -> graph.GraphOps:
    """Return PyTorch operations that take the neighbours of a computed pass instead of searching them.

    Neighbours at nearly equal distances may differ between the implementations; everything else must not.
    """
    space = [level.neighbours for level in computed.cloud.neighbourhoods]
    features = [layer.neighbours for layer in computed.layers]
    order = space
    if encoder == "hs":  # in the order in which the encoder searches: space or features of each layer
        order = [space[0], features[1], space[1], features[2], features[3], space[2], features[4]]
    turns = iter(order)

    def next_neighbours(values: torch.Tensor, count: int) -> torch.Tensor:
        found = torch.from_numpy(next(turns).astype(np.int64)).unsqueeze(0)
        assert found.shape == (1, values.shape[1], count)
        return found

    return graph.GraphOps(next_neighbours, graph.graph_response, graph.max_over_neighbours)


def compute_head_values(network: CLIPoseNet, encoding: Encoding, centred: np.ndarray, category: int) -> np.ndarray:
    """Compute the heads' values ``(3, 6)`` by their PyTorch layers; the axis heads have 4 values, then zeros."""
    count = min(network.architecture.head_points or len(centred), len(centred))
    extra = torch.from_numpy(centred[None, :count])
    one_hot = None
    if network.architecture.one_hot:
        one_hot = F.one_hot(torch.tensor([category]), len(network.categories)).float().unsqueeze(1)
        extra = torch.cat([extra, one_hot.expand(-1, count, -1)], dim=-1)
    features = encoding.first(count)
    values = [network.head_y(features, one_hot), network.head_x(features, one_hot), network.head_ts(features, extra)]
    return torch.cat([F.pad(each, (0, 6 - each.shape[1])) for each in values]).numpy()


@st.composite
def architectures(draw: st.DrawFn) -> Architecture:
    """Architectures of all kinds, with layers up to 40 channels wide."""
    width = st.integers(1, 40)
    return Architecture(
        encoder=draw(st.sampled_from(["hs", "gcn3d"])),
        widths=tuple(draw(width) for _ in range(5)),
        supports=draw(st.integers(1, 4)),
        neighbours=draw(st.integers(4, 24)),
        head_widths=(draw(width), draw(width)),
        points=draw(st.sampled_from([0, 128, 1024])),
        head_points=draw(st.sampled_from([0, 1, 100, 5000])),
        unit_m=draw(st.sampled_from([0.1, 1.0])),
        one_hot=draw(st.booleans()),
        category_shift=draw(st.booleans()),
        refines=draw(st.booleans()),
    )
