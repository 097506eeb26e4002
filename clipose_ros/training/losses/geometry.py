"""Losses between a pose and its points: point matching of GPV-Pose, and symmetry, Eq. (13).

Points are ``(B, N, 3)`` in the camera frame, rotations ``(B, 3, 3)``, centres and sizes ``(B, 3)``, all in metres.
Every loss is a mean over the batch entries that it applies to, and zero where it applies to none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.categories import CategorySet
from clipose_ros.training.runtime.distributed import joint_mean, rank_and_size


def rotation_from_axes(axis_y: Tensor, axis_x: Tensor, confidence_y: Tensor, confidence_x: Tensor) -> Tensor:
    """Compute an orthogonal rotation from two predicted axes, Eq. (7) and Eq. (8), for batches and with gradients.

    Args:
        axis_y: ``(B, 3)`` unit vectors.
        axis_x: ``(B, 3)`` unit vectors, not parallel to y.
        confidence_y: ``(B,)``, positive.
        confidence_x: ``(B,)``, 0 where x says nothing: y stays as it is.
    """
    cosine = (axis_x * axis_y).sum(-1, keepdim=True)
    across = F.normalize(axis_x - cosine * axis_y, dim=-1)
    excess = torch.atan2((axis_x * across).sum(-1, keepdim=True), cosine) - math.pi / 2.0
    turn = excess * (confidence_x / (confidence_x + confidence_y)).unsqueeze(-1)
    y = torch.cos(turn) * axis_y + torch.sin(turn) * across
    x = torch.cos(turn) * across - torch.sin(turn) * axis_y
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def free_yaw(R_true: Tensor, R: Tensor, x_determined: Tensor) -> Tensor:
    """Return the true rotation; where a turn about y looks the same, the turn nearest to ``R``. Without gradient."""
    with torch.no_grad():
        y = R_true[:, :, 1]
        x = R[:, :, 0] - (R[:, :, 0] * y).sum(-1, keepdim=True) * y
        x = F.normalize(torch.where(x.norm(dim=-1, keepdim=True) > 1e-6, x, R_true[:, :, 0]), dim=-1)
        turned = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
        return torch.where(x_determined.view(-1, 1, 1), R_true, turned)


def to_object(points: Tensor, R: Tensor, t: Tensor) -> Tensor:
    """Points in the object's frame: ``(B, N, 3)``."""
    return (points - t.unsqueeze(1)) @ R


def point_matching(points: Tensor, R: Tensor, t: Tensor, R_true: Tensor, t_true: Tensor) -> Tensor:
    """L1 between the cloud put into the object's frame by the predicted pose and by the true one."""
    return (to_object(points, R, t) - to_object(points, R_true, t_true)).abs().mean()


def face_distances(points: Tensor, R: Tensor, t: Tensor, size: Tensor) -> Tensor:
    """How far each point lies inside each face of a box: ``(B, N, 6)``, faces as in ``voting.FACES``."""
    local, half = to_object(points, R, t), size.unsqueeze(1) / 2.0
    return torch.stack([half - local, half + local], dim=-1).flatten(2)


def determined_faces(x_determined: Tensor) -> Tensor:
    """Which faces of a box are determined: all, or of an object that may turn about y top and bottom: ``(B, 6)``."""
    always = torch.tensor([False, False, True, True, False, False], device=x_determined.device)
    return x_determined.unsqueeze(1) | always


def box_matching(predicted: Tensor, true: Tensor, determined: Tensor) -> Tensor:
    """L1 between the points' distances to the faces of the predicted box and of the true one.

    The geometric point matching of GPV-Pose: it ties rotation, centre and size together.

    Args:
        predicted: ``(B, N, 6)`` of ``face_distances``.
        true: Likewise.
        determined: ``(B, 6)`` bool.
    """
    return mean_where((predicted - true).abs().mean(dim=1), determined)


def symmetry_signs(categories: CategorySet) -> Tensor:
    """Signs ``(C, 3)`` by which a category's symmetry moves object coordinates, Eq. (13).

    Half a turn about y where axial, else the mirror; ones for a category without symmetry, whose target is the cloud.
    """
    rows = []
    for category in categories:
        axial, mirror_xy, mirror_xz, mirror_yz = category.symmetry.flags
        if axial:
            rows.append((-1.0, 1.0, -1.0))
        elif mirror_xy:
            rows.append((1.0, 1.0, -1.0))
        elif mirror_yz:
            rows.append((-1.0, 1.0, 1.0))
        else:
            rows.append((1.0, -1.0 if mirror_xz else 1.0, 1.0))
    return torch.tensor(rows)


def counterpart(points: Tensor, R: Tensor, t: Tensor, signs: Tensor) -> Tensor:
    """Move the cloud by the symmetry of its object, epsilon of Eq. (13): signs ``(B, 3)`` to ``(B, N, 3)``."""
    return (to_object(points, R, t) * signs.unsqueeze(1)) @ R.mT + t.unsqueeze(1)


def symmetry_loss(reconstructed: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """L1 between the reconstruction and the counterpart by a pose, Eq. (13), over the ``counted`` ``(B,)`` objects."""
    return mean_where((reconstructed - target).abs().mean(dim=(1, 2)), counted)


def symmetry_counted(signs: Tensor, axial: Tensor, x_determined: Tensor) -> Tensor:
    """Which objects have a known counterpart ``(B,)``: not those whose mirror is undetermined (a hidden handle)."""
    return x_determined | axial | (signs > 0.0).all(dim=1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the masked entries, 0 where there are none; over ranks it averages to the joint batch's."""
    count = joint_mean(mask.sum().to(values.dtype))
    return (values * mask).sum() / count.clamp(min=1.0 / rank_and_size()[1])
