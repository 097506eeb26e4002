"""Alignment to viewing rays: a rotation onto the optical axis, and predictions that turn with the direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.inference.engines.cpu.engine import CpuEngine
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.ray_alignment import rotation_to_ray
from clipose_ros.model.reconstruction import SymmetryHead
from clipose_ros.model.voting import BoxVoteHead
from clipose_ros.model.widening import widen, widening_factor

TINY = Architecture(
    widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8), unit_m=0.1, ray_aligned=True
)
DIRECTIONS = st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(0.3, 3.0))


def clouds(*centre: float) -> Tensor:
    cloud = torch.randn(2, 128, 3, generator=torch.Generator().manual_seed(5)).double() * 0.08
    return cloud - cloud.mean(dim=1, keepdim=True) + torch.tensor(centre).double()


def network() -> CLIPoseNet:
    torch.manual_seed(0)
    return CLIPoseNet(TINY, NOCS_CATEGORIES).double().eval()


def turn(vectors: Tensor, R: Tensor) -> Tensor:
    return vectors @ R.mT


@settings(max_examples=25, deadline=None)
@given(DIRECTIONS)
def test_rotation_turns_mean_onto_optical_axis_by_the_smallest_angle(mean: tuple[float, float, float]) -> None:
    ray = torch.tensor([mean], dtype=torch.float64)
    (R,) = rotation_to_ray(ray)
    torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.det(R).item(), 1.0)
    torch.testing.assert_close(R @ ray[0], torch.tensor([0.0, 0.0, ray.norm().item()], dtype=torch.float64))
    cosine = ray[0, 2] / ray.norm()
    torch.testing.assert_close((R.trace() - 1.0) / 2.0, cosine)


@pytest.mark.parametrize("mean", [(0.0, 0.0, 0.0), (0.0, 0.0, 2.0)])
def test_mean_on_axis_or_at_camera_is_not_turned(mean: tuple[float, float, float]) -> None:
    torch.testing.assert_close(rotation_to_ray(torch.tensor([mean])), torch.eye(3).unsqueeze(0))


@settings(max_examples=6, deadline=None)
@given(DIRECTIONS)
def test_prediction_turns_with_direction_of_object(direction: tuple[float, float, float]) -> None:
    net, category, ahead = network(), torch.tensor([0, 5]), clouds(0.0, 0.0, 1.0)
    R_camera_ray = rotation_to_ray(torch.tensor([direction], dtype=torch.float64))[0].T
    with torch.no_grad():
        here, there = net(ahead, category), net(turn(ahead, R_camera_ray), category)
    for name in ("axis_y", "axis_x", "translation"):
        torch.testing.assert_close(getattr(there, name), turn(getattr(here, name), R_camera_ray))
    torch.testing.assert_close(there.size, here.size)


def test_training_heads_turn_with_direction_of_object() -> None:
    net, category, ahead = network(), torch.tensor([0, 5]), clouds(0.0, 0.0, 1.0)
    R_camera_ray = rotation_to_ray(torch.tensor([[0.4, -0.3, 1.0]], dtype=torch.float64))[0].T
    aside = turn(ahead, R_camera_ray)
    channels = net.encoder.out_channels
    symmetry = SymmetryHead(channels, 0.1, (16, 8), ray_aligned=True).double().eval()
    votes = BoxVoteHead(channels, 0.1, (16, 8), ray_aligned=True).double().eval()
    here, there = net(ahead, category).encoding, net(aside, category).encoding
    torch.testing.assert_close(symmetry(there, aside), turn(symmetry(here, ahead), R_camera_ray))
    torch.testing.assert_close(votes(there, aside).normals, turn(votes(here, ahead).normals, R_camera_ray))
    torch.testing.assert_close(votes(there, aside).distances, votes(here, ahead).distances)


def test_compiled_engine_equals_the_network() -> None:
    net, category = network().float(), torch.tensor([0, 5])
    points = clouds(0.3, -0.2, 0.9).float()
    with torch.no_grad():
        expected = net(points, category)
    poses = CpuEngine(net, "cpu", 1)(points.numpy(), category.numpy())
    for name in ("axis_y", "axis_x", "translation", "size", "confidence_x", "confidence_y"):
        np.testing.assert_allclose(getattr(poses, name), getattr(expected, name).numpy(), atol=5e-3)


def test_compiled_engine_keeps_other_clouds_beside_one_that_is_not_finite() -> None:
    engine, points = CpuEngine(network().float(), "cpu", 1), clouds(0.3, -0.2, 0.9).float().numpy()
    alone = engine(points[1:], np.array([5]))
    points[0, 3] = np.nan
    poses = engine(points, np.array([0, 5]))
    assert np.isnan(poses.axis_y[0]).all() and np.isnan(poses.translation[0]).all()
    np.testing.assert_array_equal(poses.axis_y[1], alone.axis_y[0])


def test_training_with_rays_may_start_from_weights_without() -> None:
    plain = CLIPoseNet(replace(TINY, ray_aligned=False), NOCS_CATEGORIES)
    assert widening_factor(plain.architecture, TINY) == 1 and widening_factor(TINY, plain.architecture) is None
    aligned = CLIPoseNet(TINY, NOCS_CATEGORIES)
    widen(plain, aligned)
    ahead = clouds(0.0, 0.0, 1.0).float()
    category = torch.tensor([0, 5])
    torch.testing.assert_close(
        aligned.eval()(ahead, category).axis_y, plain.eval()(ahead, category).axis_y, rtol=0, atol=1e-3
    )
