"""Predictions of fusion networks on stored clouds, against direct calls of the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.network import Architecture
from clipose_ros.model.text_features import TextFeatures
from clipose_ros.training.clip_features import ClipFeatureProvider
from clipose_ros.training.fusion_predictor import FusionPredictor
from clipose_ros.types import FloatArray, PoseEstimate

WIDTH = 5
ROWS = slice(3, 9)


class MeanColourTower(nn.Module):
    """Image tower that maps an image to its mean colour and two constants, unit rows."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        colour = images.mean(dim=(2, 3))
        return nn.functional.normalize(torch.cat([colour, torch.ones(len(images), WIDTH - 3)], dim=1), dim=1)


def unit_rows(seed: int) -> FloatArray:
    rows = np.random.default_rng(seed).normal(size=(len(NOCS_CATEGORIES), WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_provider(features: FloatArray, tower: nn.Module | None = None) -> ClipFeatureProvider:
    def refuse(texts: object) -> FloatArray:
        raise AssertionError(f"no text has to be encoded, got {texts}")

    known = TextFeatures("tiny/random", NOCS_CATEGORIES.names, features)
    return ClipFeatureProvider(known, NOCS_CATEGORIES.names, refuse, tower, tune_text=False)


@pytest.fixture
def network(tiny_architecture: Architecture) -> FusionNet:
    torch.manual_seed(0)
    return FusionNet(tiny_architecture, NOCS_CATEGORIES, "concat_before", WIDTH).eval()


def assert_poses_equal(poses: list[PoseEstimate], network: FusionNet, samples: CloudSamples, other: Tensor) -> None:
    category = torch.from_numpy(samples.category_index[ROWS])
    with torch.no_grad():
        expected = network(torch.from_numpy(samples.points[ROWS]), category, other)
    assert [pose.category for pose in poses] == [samples.categories.names[i] for i in category.tolist()]
    translations = np.stack([pose.T_camera_object[:3, 3] for pose in poses])
    np.testing.assert_allclose(translations, expected.translation.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.stack([pose.size for pose in poses]), expected.size.numpy(), atol=1e-5)


def test_text_fusion_uses_text_of_each_category(network: FusionNet, seen_samples: CloudSamples) -> None:
    features = unit_rows(1)
    poses = FusionPredictor(network, make_provider(features), seen_samples, None, "cpu")(ROWS)
    other = torch.from_numpy(features[seen_samples.category_index[ROWS]])
    assert_poses_equal(poses, network, seen_samples, other)
    changed = FusionPredictor(network, make_provider(unit_rows(2)), seen_samples, None, "cpu")(ROWS)
    assert not np.allclose(changed[0].size, poses[0].size, atol=1e-5)


def test_image_fusion_uses_image_of_each_cloud(network: FusionNet, seen_samples: CloudSamples) -> None:
    images = seen_samples.images
    assert images is not None
    tower = MeanColourTower()
    poses = FusionPredictor(network, make_provider(unit_rows(1), tower), seen_samples, images, "cpu")(ROWS)
    other = tower(torch.from_numpy(images[ROWS]).permute(0, 3, 1, 2).float() / 255.0)
    assert_poses_equal(poses, network, seen_samples, other)
