"""Point matching, boxes and symmetry: values computed by hand, the NumPy rotation, and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet, Symmetry
from clipose_ros.geometry.rotation import rotation_from_axes as reference_rotation
from clipose_ros.training.losses.geometry import (
    box_matching,
    counterpart,
    determined_faces,
    face_distances,
    free_yaw,
    point_matching,
    rotation_from_axes,
    symmetry_counted,
    symmetry_loss,
    symmetry_signs,
    to_object,
)

QUARTER = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)  # about y
EYE = torch.eye(3, dtype=torch.float64)


def rotations(count: int, seed: int) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(count, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    q = q * torch.sign(torch.diagonal(r, dim1=1, dim2=2)).unsqueeze(1)
    return q * torch.linalg.det(q).view(-1, 1, 1)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(seed=st.integers(0, 10_000), sure_y=st.floats(0.01, 1.0), sure_x=st.floats(0.0, 1.0))
@settings(max_examples=40, deadline=None)
def test_batched_rotation_equals_rotation_at_inference(seed: int, sure_y: float, sure_x: float) -> None:
    axes = torch.nn.functional.normalize(random(2, 3, seed=seed), dim=1)
    ours = rotation_from_axes(
        axes[:1], axes[1:], torch.tensor([sure_y], dtype=torch.float64), torch.tensor([sure_x], dtype=torch.float64)
    )
    theirs = reference_rotation(axes[0].numpy(), axes[1].numpy(), sure_y, sure_x)
    np.testing.assert_allclose(ours[0].numpy(), theirs, atol=1e-9)


def test_free_yaw_applies_only_where_x_axis_is_undetermined() -> None:
    true, predicted = EYE.repeat(2, 1, 1), QUARTER.repeat(2, 1, 1)
    nearest = free_yaw(true, predicted, torch.tensor([True, False]))
    torch.testing.assert_close(nearest, torch.stack([EYE, QUARTER]))


def test_point_matching_equals_value_computed_by_hand() -> None:
    points = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]], dtype=torch.float64)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    shifted = torch.tensor([[0.3, 0.0, 0.0]], dtype=torch.float64)
    assert point_matching(points, EYE[None], shifted, EYE[None], zero).item() == pytest.approx(0.1)
    # A quarter turn about y puts (1, 0, 0) at (0, 0, 1) and leaves (0, 2, 0): |(-1, 0, 1)| over six coordinates.
    torch.testing.assert_close(to_object(points, QUARTER[None], zero)[0, 0], EYE[2])
    assert point_matching(points, QUARTER[None], zero, EYE[None], zero).item() == pytest.approx(2.0 / 6.0)


def test_face_distances_equal_values_computed_by_hand() -> None:
    points = torch.tensor([[[1.1, 0.0, 2.0]]], dtype=torch.float64)
    t = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    size = torch.tensor([[0.4, 0.6, 1.0]], dtype=torch.float64)
    expected = torch.tensor([0.1, 0.3, 0.3, 0.3, 0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(face_distances(points, EYE[None], t, size)[0, 0], expected)


def test_only_top_and_bottom_faces_are_determined_for_axial_objects() -> None:
    faces = determined_faces(torch.tensor([True, False]))
    assert faces.tolist() == [[True] * 6, [False, False, True, True, False, False]]
    predicted, true = torch.ones(1, 4, 6), torch.zeros(1, 4, 6)
    predicted[..., 2] = 0.5
    assert box_matching(predicted, true, faces[1:]).item() == pytest.approx(0.75)
    assert box_matching(predicted, true, torch.zeros(1, 6, dtype=torch.bool)).item() == 0.0


def test_symmetry_signs_follow_category_symmetry() -> None:
    turn, mirror, none = [-1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [1.0, 1.0, 1.0]
    assert symmetry_signs(NOCS_CATEGORIES).tolist() == [turn, turn, none, turn, mirror, mirror]
    other = CategorySet(
        (
            Category(7, "glasses", Symmetry(mirror_yz=True), (0.1, 0.1, 0.1)),
            Category(8, "disc", Symmetry(mirror_xz=True), (0.1, 0.1, 0.1)),
        )
    )
    assert symmetry_signs(other).tolist() == [[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0]]


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_counterpart_is_mirror_or_half_turn_in_camera_frame(seed: int) -> None:
    points, R, t = random(2, 9, 3, seed=seed), rotations(2, seed), random(2, 3, seed=seed + 1)
    signs = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]], dtype=torch.float64)
    moved = counterpart(points, R, t, signs)
    normal, axis = R[0, :, 2], R[1, :, 1]
    mirrored = points[0] - 2.0 * ((points[0] - t[0]) @ normal).unsqueeze(1) * normal
    turned = 2.0 * (((points[1] - t[1]) @ axis).unsqueeze(1) * axis) - (points[1] - t[1]) + t[1]
    torch.testing.assert_close(moved, torch.stack([mirrored, turned]))
    torch.testing.assert_close(counterpart(moved, R, t, signs), points)


def test_symmetry_loss_omits_mugs_with_hidden_handle() -> None:
    signs = symmetry_signs(NOCS_CATEGORIES)
    axial = torch.tensor([c.symmetry.axial_y for c in NOCS_CATEGORIES])
    counted = symmetry_counted(signs, axial, torch.zeros(6, dtype=torch.bool))
    assert counted.tolist() == [True, True, True, True, False, False]
    assert symmetry_counted(signs, axial, torch.ones(6, dtype=torch.bool)).all()
    wrong = torch.stack([torch.zeros(5, 3), torch.ones(5, 3)])
    assert symmetry_loss(wrong, torch.zeros(2, 5, 3), torch.tensor([True, False])).item() == 0.0
    assert symmetry_loss(wrong, torch.zeros(2, 5, 3), torch.tensor([True, True])).item() == pytest.approx(0.5)


def test_gradients_equal_finite_differences() -> None:
    points, R_true, t_true = random(2, 5, 3), rotations(2, 1), random(2, 3, seed=2)
    y, x = (torch.nn.functional.normalize(random(2, 3, seed=s), dim=1).requires_grad_() for s in (3, 4))
    t, size = random(2, 3, seed=5).requires_grad_(), random(2, 3, seed=6).requires_grad_()
    sure = torch.tensor([0.7, 0.4], dtype=torch.float64)
    faces = determined_faces(torch.tensor([True, False]))
    signs = torch.tensor([[1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]], dtype=torch.float64)
    reconstructed = random(2, 5, 3, seed=7).requires_grad_()

    def matching(y: torch.Tensor, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return point_matching(points, rotation_from_axes(y, x, sure, sure.flip(0)), t, R_true, t_true)

    def boxes(y: torch.Tensor, x: torch.Tensor, t: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        predicted = face_distances(points, rotation_from_axes(y, x, sure, sure), t, size)
        return box_matching(predicted, torch.zeros_like(predicted), faces)

    def symmetry(y: torch.Tensor, x: torch.Tensor, t: torch.Tensor, cloud: torch.Tensor) -> torch.Tensor:
        target = counterpart(points, rotation_from_axes(y, x, sure, sure), t, signs)
        return symmetry_loss(cloud, target, torch.tensor([True, True]))

    assert torch.autograd.gradcheck(matching, (y, x, t))
    assert torch.autograd.gradcheck(boxes, (y, x, t, size))
    assert torch.autograd.gradcheck(symmetry, (y, x, t, reconstructed))
