"""Losses of pose and size.

Every term is a mean over the batch entries it applies to, and zero where it applies to none.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from clipose_ros.config import ConfigNode, option
from clipose_ros.model.network import NetworkOutput
from clipose_ros.training.losses.geometry import mean_where
from clipose_ros.types import AXIS_CONFIDENCE_DECAY


@dataclass(frozen=True)
class LossWeights(ConfigNode):
    """What each term counts; defaults are GPV-Pose's and HS-Pose's."""

    rotation_y: float = option(8.0, "L1 of the y axis.", low=0.0)
    rotation_x: float = option(8.0, "L1 of the x axis, where it is determined.", low=0.0)
    cosine: float = option(8.0, "1 - cosine of each axis.", low=0.0)
    orthogonality: float = option(4.0, "Absolute cosine between the predicted axes.", low=0.0)
    confidence: float = option(1.0, "L1 of the axis confidences.", low=0.0)
    translation: float = option(8.0, "L1 of the centre.", low=0.0)
    size: float = option(8.0, "L1 of the size.", low=0.0)


@dataclass(frozen=True)
class PoseTruth:
    """What a batch should give.

    Attributes:
        R: ``(B, 3, 3)`` true rotation, columns are the object's axes in the camera frame.
        t: ``(B, 3)`` metres.
        size: ``(B, 3)`` metres.
        x_determined: ``(B,)`` bool: false where any turn about y looks the same (axial, or a mug whose handle is
            hidden).
    """

    R: Tensor
    t: Tensor
    size: Tensor
    x_determined: Tensor


@dataclass(frozen=True)
class PoseLosses:
    """The terms, not yet weighted, each a scalar."""

    rotation_y: Tensor
    rotation_x: Tensor
    cosine: Tensor
    orthogonality: Tensor
    confidence: Tensor
    translation: Tensor
    size: Tensor

    def values(self) -> dict[str, float]:
        """The terms by name, as plain numbers."""
        return {spec.name: getattr(self, spec.name).item() for spec in fields(self)}

    def total(self, weights: LossWeights) -> Tensor:
        """The weighted sum."""
        terms = [getattr(weights, spec.name) * getattr(self, spec.name) for spec in fields(self)]
        return torch.stack(terms).sum()


def pose_losses(output: NetworkOutput, truth: PoseTruth) -> PoseLosses:
    """Every pose term of a batch (CLIPose eq. 9-12 with GPV-Pose's confidences and regulariser)."""
    true_x, true_y = truth.R[:, :, 0], truth.R[:, :, 1]
    determined = truth.x_determined
    cosine = (1.0 - (output.axis_y * true_y).sum(-1)).mean()
    cosine = cosine + mean_where(1.0 - (output.axis_x * true_x).sum(-1), determined)
    target_y = confidence_target(output.axis_y, true_y)
    target_x = confidence_target(output.axis_x, true_x) * determined
    return PoseLosses(
        rotation_y=axis_error(output.axis_y, true_y).mean(),
        rotation_x=mean_where(axis_error(output.axis_x, true_x), determined),
        cosine=cosine,
        orthogonality=mean_where((output.axis_x * output.axis_y).sum(-1).abs(), determined),
        confidence=(output.confidence_y - target_y).abs().mean() + (output.confidence_x - target_x).abs().mean(),
        translation=(output.translation - truth.t).abs().mean(),
        size=(output.size - truth.size).abs().mean(),
    )


def axis_error(axis: Tensor, true_axis: Tensor) -> Tensor:
    """L1 distance of two axes per entry, averaged over coordinates: ``(B, 3)`` twice to ``(B,)`` (eq. 9)."""
    return (axis - true_axis).abs().mean(-1)


def confidence_target(axis: Tensor, true_axis: Tensor) -> Tensor:
    """What an axis' confidence should be, given how far it is off: ``(B,)`` in (0, 1], without gradient."""
    return torch.exp(-AXIS_CONFIDENCE_DECAY * (axis - true_axis).detach().square().sum(-1))
