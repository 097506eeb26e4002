"""Total loss of a training step: Eq. (14), with the auxiliary terms of GPV-Pose.

Each loss returns its unweighted terms by name. The configuration has one weight per term, under the same name. This
module is the only place where terms are weighted and summed.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clipose_ros.categories import CategorySet
from clipose_ros.config import ConfigNode
from clipose_ros.model.network import CLIPoseNet, NetworkOutput
from clipose_ros.training.batches import Batch
from clipose_ros.training.clip_features import ClipFeatureProvider, ClipFeatures
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.losses.clip_alignment import ClipAlignmentLoss
from clipose_ros.training.losses.pose import pose_losses, welsch_loss
from clipose_ros.training.losses.shape import AuxiliaryOutputs, ShapeLoss


def weighted_sum(terms: Mapping[str, Tensor], weights: ConfigNode) -> Tensor:
    """Sum scalar terms, each times the weight of the same name; Eq. (4) for the CLIP alignment terms.

    Args:
        terms: Unweighted terms by name, at least one.
        weights: Settings with a field per term.
    """
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


class TotalLoss(nn.Module):
    """Weighted sum of all loss terms, with the auxiliary heads of training.

    Args:
        config: Recipe with the weights of the terms.
        network: Network that is trained.
        categories: Categories of the clouds.
        source: Provider of CLIP features; None if the recipe uses no CLIP.
    """

    def __init__(
        self, config: TrainConfig, network: CLIPoseNet, categories: CategorySet, source: ClipFeatureProvider | None
    ) -> None:
        super().__init__()
        self.config = config
        self.shape = ShapeLoss(config.shape_loss, network, categories)
        self.alignment: ClipAlignmentLoss | None = None
        if source is not None and config.clip_loss.is_enabled:
            self.alignment = ClipAlignmentLoss(config.clip_loss, network.encoder.last_channels, source.width)

    def predict_auxiliary(self, batch: Batch, output: NetworkOutput) -> AuxiliaryOutputs:
        """Run the auxiliary heads; the result is an argument of ``forward``."""
        return self.shape.predict(batch, output)

    def forward(
        self, batch: Batch, output: NetworkOutput, auxiliary: AuxiliaryOutputs, clip_features: ClipFeatures | None
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the total loss, and the unweighted terms by name as plain numbers."""
        config = self.config
        pose = pose_losses(output, batch.truth)
        if config.pose_loss.welsch:
            pose["welsch"] = welsch_loss(output, batch.truth)
        parts: list[tuple[dict[str, Tensor], ConfigNode]] = [
            (pose, config.pose_loss),
            (self.shape(batch, output, auxiliary), config.shape_loss),
        ]
        if self.alignment is not None and clip_features is not None:
            parts.append((self.alignment(batch, output, clip_features), config.clip_loss))
        total = torch.stack([weighted_sum(terms, weights) for terms, weights in parts if terms]).sum()
        return total, {name: term.item() for terms, _ in parts for name, term in terms.items()}


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the state of a module without its frozen parameters."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def load_trained_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load a state that ``trained_state`` returned.

    Raises:
        KeyError: An entry is missing.
    """
    if missing := trained_state(module).keys() - state.keys():
        raise KeyError(f"state lacks {min(missing)}")
    module.load_state_dict(module.state_dict() | state)
