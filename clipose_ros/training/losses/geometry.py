"""Losses between a pose and its points: point matching of GPV-Pose, and symmetry, Eq. (13).

Points are ``(B, N, 3)`` in the camera frame, rotations ``(B, 3, 3)``, centres and sizes ``(B, 3)``, all in metres.
Every loss is a mean over the batch entries to which it applies, and zero if there are none.
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
        confidence_x: ``(B,)``; with 0, the y axis is unchanged.
    """
    cosine = (axis_x * axis_y).sum(-1, keepdim=True)
    across = F.normalize(axis_x - cosine * axis_y, dim=-1)
    excess = torch.atan2((axis_x * across).sum(-1, keepdim=True), cosine) - math.pi / 2.0
    turn = excess * (confidence_x / (confidence_x + confidence_y)).unsqueeze(-1)
    y = torch.cos(turn) * axis_y + torch.sin(turn) * across
    x = torch.cos(turn) * across - torch.sin(turn) * axis_y
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def free_yaw(R_true: Tensor, R: Tensor, x_determined: Tensor) -> Tensor:
    """Return the true rotation; if its yaw about y is undetermined, with the yaw nearest to ``R``. Without gradient."""
    with torch.no_grad():
        y = R_true[:, :, 1]
        x = R[:, :, 0] - (R[:, :, 0] * y).sum(-1, keepdim=True) * y
        x = F.normalize(torch.where(x.norm(dim=-1, keepdim=True) > 1e-6, x, R_true[:, :, 0]), dim=-1)
        turned = torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)
        return torch.where(x_determined.view(-1, 1, 1), R_true, turned)


def to_object(points: Tensor, R: Tensor, t: Tensor) -> Tensor:
    """Transform points to the object frame: ``(B, N, 3)``."""
    return (points - t.unsqueeze(1)) @ R


def point_matching(points: Tensor, R: Tensor, t: Tensor, R_true: Tensor, t_true: Tensor) -> Tensor:
    """Compute the L1 distance of the clouds in the object frame of the predicted pose and of the true pose."""
    return (to_object(points, R, t) - to_object(points, R_true, t_true)).abs().mean()


def face_distances(points: Tensor, R: Tensor, t: Tensor, size: Tensor) -> Tensor:
    """Compute the inward distance of each point from each face of a box: ``(B, N, 6)``, order of ``voting.FACES``."""
    local, half = to_object(points, R, t), size.unsqueeze(1) / 2.0
    return torch.stack([half - local, half + local], dim=-1).flatten(2)


def determined_faces(x_determined: Tensor) -> Tensor:
    """Return the determined faces ``(B, 6)``: all, or top and bottom if the rotation about y is undetermined."""
    always = torch.tensor([False, False, True, True, False, False], device=x_determined.device)
    return x_determined.unsqueeze(1) | always


def box_matching(predicted: Tensor, true: Tensor, determined: Tensor) -> Tensor:
    """Compute the L1 distance of the points' distances to the faces of the predicted box and of the true box.

    This is the geometric point matching of GPV-Pose. It couples rotation, centre and size.

    Args:
        predicted: ``(B, N, 6)`` distances to the faces of the predicted box.
        true: ``(B, N, 6)`` distances to the faces of the true box.
        determined: ``(B, 6)`` bool.
    """
    return mean_where((predicted - true).abs().mean(dim=1), determined)


def symmetry_signs(categories: CategorySet) -> Tensor:
    """Return the signs ``(C, 3)`` of object coordinates under the symmetry of each category, Eq. (13).

    The symmetry is half a turn about y for axial categories, else a mirror. Categories without symmetry have signs of
    1: the target of their reconstruction is the cloud.
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
    """Apply the symmetry of an object to its cloud, epsilon of Eq. (13): signs ``(B, 3)`` to ``(B, N, 3)``."""
    return (to_object(points, R, t) * signs.unsqueeze(1)) @ R.mT + t.unsqueeze(1)


def symmetry_loss(reconstructed: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Compute the L1 distance of reconstruction and counterpart, Eq. (13), over the ``counted`` ``(B,)`` objects."""
    return mean_where((reconstructed - target).abs().mean(dim=(1, 2)), counted)


def symmetry_counted(signs: Tensor, axial: Tensor, x_determined: Tensor) -> Tensor:
    """Return the objects ``(B,)`` with a known counterpart: those whose mirror is not hidden with the handle."""
    return x_determined | axial | (signs > 0.0).all(dim=1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean over the masked entries, 0 without any; its average over ranks is that of the joint batch."""
    count = joint_mean(mask.sum().to(values.dtype))
    return (values * mask).sum() / count.clamp(min=1.0 / rank_and_size()[1])
