"""Frames of estimated poses: what a refiner sees does not depend on the view."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.model.refinement import EstimateFrames

BOTH = torch.tensor([True, False])
"""One axially symmetric object and one that is not."""


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    Q, R = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator))
    Q = Q * torch.diagonal(R, dim1=1, dim2=2).sign().unsqueeze(1)
    return Q * torch.linalg.det(Q)[:, None, None]


def random_estimates(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Axes y and x, which are not orthogonal, and centres before the camera."""
    generator = torch.Generator().manual_seed(seed)
    axes = F.normalize(torch.randn(2, 2, 3, generator=generator), dim=-1)
    centre = torch.randn(2, 3, generator=generator) * 0.1 + torch.tensor([0.0, 0.0, 0.9])
    return axes[0], axes[1], centre


@given(st.integers(0, 10_000))
def test_frames_are_rotations_about_the_estimated_centre(seed: int) -> None:
    axis_y, axis_x, centre = random_estimates(seed)
    frames = EstimateFrames.from_axes(axis_y, axis_x, centre, BOTH)
    torch.testing.assert_close(frames.R.mT @ frames.R, torch.eye(3).expand(2, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(frames.R), torch.ones(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(frames.R[:, :, 1], -axis_y)
    torch.testing.assert_close(frames.from_camera(centre.unsqueeze(1)).squeeze(1), torch.zeros(2, 3), rtol=0, atol=1e-6)
    # the camera of the axially symmetric object is in the plane x = 0, where z is negative or zero
    camera = frames.from_camera(torch.zeros(2, 1, 3))[0, 0]
    assert abs(camera[0]) < 1e-4 and camera[2] < 1e-4
    # the x axis of the other lies in the half-plane of x and y
    own = frames.R[1].mT @ axis_x[1]
    assert abs(own[2]) < 1e-4 and own[0] > -1e-4


@given(st.integers(0, 10_000))
def test_clouds_in_their_frames_do_not_depend_on_the_view(seed: int) -> None:
    axis_y, axis_x, centre = random_estimates(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    cloud = centre.unsqueeze(1) + 0.1 * torch.randn(2, 50, 3, generator=generator)
    turn = random_rotations(2, generator)
    before = EstimateFrames.from_axes(axis_y, axis_x, centre, BOTH).from_camera(cloud)
    axis_y, axis_x, centre = ((turn @ each.unsqueeze(2)).squeeze(2) for each in (axis_y, axis_x, centre))
    after = EstimateFrames.from_axes(axis_y, axis_x, centre, BOTH).from_camera(cloud @ turn.mT)
    torch.testing.assert_close(after, before, rtol=0, atol=2e-4)


@given(st.integers(0, 10_000))
def test_points_return_to_the_camera_frame(seed: int) -> None:
    frames = EstimateFrames.from_axes(*random_estimates(seed), BOTH)
    points = torch.randn(2, 3, generator=torch.Generator().manual_seed(seed))
    back = frames.rotate_to_camera(frames.from_camera(points.unsqueeze(1)).squeeze(1)) + frames.t
    torch.testing.assert_close(back, points, rtol=0, atol=1e-5)


def test_an_upright_object_before_the_camera_keeps_its_cloud() -> None:
    down, right = torch.tensor([[0.0, -1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    centre = torch.tensor([[0.0, 0.0, 0.8]])
    for axial in (True, False):
        frames = EstimateFrames.from_axes(down, right, centre, torch.tensor([axial]))
        torch.testing.assert_close(frames.R, torch.eye(3).unsqueeze(0), rtol=0, atol=1e-5)


def test_a_view_along_the_axis_of_symmetry_gives_a_frame() -> None:
    toward = torch.tensor([[0.0, 0.0, -1.0]])
    for right in ([1.0, 0.0, 0.0], [0.6, 0.8, 0.0]):
        frames = EstimateFrames.from_axes(
            toward, torch.tensor([right]), torch.tensor([[0.0, 0.0, 0.8]]), torch.tensor([True])
        )
        torch.testing.assert_close(torch.linalg.det(frames.R), torch.ones(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("axial", [True, False])
@pytest.mark.parametrize("ray", [(0.3, 0.1, 0.8), (0.0, 0.0, 0.8)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_axes_along_each_other_give_a_frame(sign: float, ray: tuple[float, float, float], axial: bool) -> None:
    axis_y = torch.tensor([[0.0, 0.0, -1.0]])
    frames = EstimateFrames.from_axes(axis_y, sign * axis_y, torch.tensor([ray]), torch.tensor([axial]))
    torch.testing.assert_close(frames.R.mT @ frames.R, torch.eye(3).unsqueeze(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(frames.R), torch.ones(1), rtol=0, atol=1e-5)


def test_an_estimate_that_is_not_finite_gives_no_frame() -> None:
    axis_y, axis_x, centre = random_estimates(3)
    axis_y[0] = torch.nan
    frames = EstimateFrames.from_axes(axis_y, axis_x, centre, BOTH)
    assert not frames.R[0].isfinite().all() and frames.R[1].isfinite().all()
