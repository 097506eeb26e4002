"""Losses of pose and size.

Every term is a mean over the batch entries it applies to, and zero where it applies to none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clipose_ros.config import ConfigNode, option
from clipose_ros.model.network import NetworkOutput
from clipose_ros.training.losses.geometry import mean_where
from clipose_ros.types import AXIS_CONFIDENCE_DECAY

_WELSCH_DECAY = 20.0
"""Decay of the robust loss with the squared error of an axis."""


@dataclass(frozen=True)
class LossWeights(ConfigNode):
    """Weights of the pose terms; the defaults are those of GPV-Pose and HS-Pose, which have no ``welsch``."""

    rotation_y: float = option(8.0, "L1 of the y axis.", low=0.0)
    rotation_x: float = option(8.0, "L1 of the x axis, where it is determined.", low=0.0)
    cosine: float = option(8.0, "1 - cosine of each axis.", low=0.0)
    welsch: float = option(
        0.0, "1 - exp(-20 d^2) of each axis with the error d: axes that are far off hardly pull.", low=0.0
    )
    orthogonality: float = option(4.0, "Absolute cosine between the predicted axes.", low=0.0)
    confidence: float = option(1.0, "L1 of the axis confidences.", low=0.0)
    translation: float = option(8.0, "L1 of the centre.", low=0.0)
    size: float = option(8.0, "L1 of the size.", low=0.0)


@dataclass(frozen=True)
class PoseTruth:
    """Ground truth of a batch.

    Attributes:
        R: ``(B, 3, 3)`` true rotation, columns are the object's axes in the camera frame.
        t: ``(B, 3)`` metres.
        size: ``(B, 3)`` metres.
        x_determined: ``(B,)`` bool; false where the rotation about y is undetermined: axially symmetric categories, and
            mugs whose handle is hidden.
    """

    R: Tensor
    t: Tensor
    size: Tensor
    x_determined: Tensor


def pose_losses(output: NetworkOutput, truth: PoseTruth) -> dict[str, Tensor]:
    """Compute every pose term of a batch but ``welsch``, unweighted scalars by their names in ``LossWeights``.

    Eq. (9), Eq. (10) and Eq. (11), whose sum is Eq. (12), with the confidences and the orthogonality regulariser of
    GPV-Pose.
    """
    true_x, true_y = truth.R[:, :, 0], truth.R[:, :, 1]
    determined = truth.x_determined
    cosine = (1.0 - (output.axis_y * true_y).sum(-1)).mean()
    cosine = cosine + mean_where(1.0 - (output.axis_x * true_x).sum(-1), determined)
    target_y = confidence_target(output.axis_y, true_y)
    target_x = confidence_target(output.axis_x, true_x) * determined
    return {
        "rotation_y": axis_error(output.axis_y, true_y).mean(),
        "rotation_x": mean_where(axis_error(output.axis_x, true_x), determined),
        "cosine": cosine,
        "orthogonality": mean_where((output.axis_x * output.axis_y).sum(-1).abs(), determined),
        "confidence": (output.confidence_y - target_y).abs().mean() + (output.confidence_x - target_x).abs().mean(),
        "translation": (output.translation - truth.t).abs().mean(),
        "size": (output.size - truth.size).abs().mean(),
    }


def welsch_loss(output: NetworkOutput, truth: PoseTruth) -> Tensor:
    """Compute Welsch's robust loss of both axes, a scalar: x counts where it is determined.

    The other terms grow with the error, so poses that cannot be told, such as that of a camera seen from an unclear
    side, pull hardest. This term is nearly flat beyond 25 degrees, and steepest at 9.

    References:
        Holland, Welsch, "Robust regression using iteratively reweighted least-squares", 1977.
    """
    y, x = (
        1.0 - _closeness(axis, truth.R[:, :, column], _WELSCH_DECAY)
        for axis, column in ((output.axis_y, 1), (output.axis_x, 0))
    )
    return y.mean() + mean_where(x, truth.x_determined)


def axis_error(axis: Tensor, true_axis: Tensor) -> Tensor:
    """Compute the L1 distance of two axes ``(B, 3)`` per entry, averaged over coordinates ``(B,)``; Eq. (9)."""
    return (axis - true_axis).abs().mean(-1)


def confidence_target(axis: Tensor, true_axis: Tensor) -> Tensor:
    """Compute the target confidence of axes ``(B, 3)`` from their error: ``(B,)`` in (0, 1], without gradient."""
    return _closeness(axis.detach(), true_axis, AXIS_CONFIDENCE_DECAY)


def _closeness(axis: Tensor, true_axis: Tensor, decay: float) -> Tensor:
    """Compute ``exp(-decay * d^2)`` of the distances d of axes ``(B, 3)``: ``(B,)`` in (0, 1]."""
    return torch.exp(-decay * (axis - true_axis).square().sum(-1))
