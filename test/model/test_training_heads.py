"""Heads that only training uses: shapes and frames of their outputs."""

from __future__ import annotations

import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.reconstruction import WIDTHS, PointHead, SymmetryHead
from clipose_ros.model.voting import BoxVoteHead

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8))


def test_training_heads_predict_points_and_votes_in_camera_frame() -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(TINY, NOCS_CATEGORIES)
    points = torch.randn(2, 128, 3) * 0.1 + torch.tensor([0.0, 0.0, 5.0])
    encoding = network(points, torch.tensor([0, 5])).encoding
    reconstructed = SymmetryHead(network.encoder.out_channels, 0.1, (16, 8))(encoding, points)
    assert reconstructed.shape == points.shape and (reconstructed.mean(dim=(0, 1)) - points.mean(dim=(0, 1))).norm() < 1
    votes = BoxVoteHead(network.encoder.out_channels, 0.1, (16, 8))(encoding, points)
    assert votes.normals.shape == (2, 128, 6, 3) and votes.distances.shape == votes.confidences.shape == (2, 128, 6)
    torch.testing.assert_close(votes.normals.norm(dim=-1), torch.ones(2, 128, 6))
    assert votes.confidences.min() > 0.0 and votes.confidences.max() < 1.0


def test_reconstruction_moves_with_cloud() -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(TINY, NOCS_CATEGORIES).eval()
    head = SymmetryHead(network.encoder.out_channels, 0.1, (16, 8)).eval()
    points, shift = torch.randn(1, 128, 3), torch.tensor([0.25, -0.5, 2.0])
    category = torch.tensor([5])
    here = head(network(points, category).encoding, points)
    there = head(network(points + shift, category).encoding, points + shift)
    torch.testing.assert_close(there, here + shift, atol=1e-4, rtol=0)


def test_reconstruction_head_has_layers_of_paper() -> None:
    head = PointHead(1280, WIDTHS, 3)
    widths = [head.first.in_features, head.first.out_features, *(layer.out_features for layer in head.layers)]
    assert widths == [1280, 512, 512, 256, 128, 3]
