"""Untrained networks for tests."""

from __future__ import annotations

import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.model.network import Architecture, CLIPoseNet


def make_random_network(architecture: Architecture, seed: int = 0) -> CLIPoseNet:
    """Create a network of the NOCS categories in evaluation mode, with running variances as after training."""
    torch.manual_seed(seed)
    network = CLIPoseNet(architecture, NOCS_CATEGORIES).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return network
