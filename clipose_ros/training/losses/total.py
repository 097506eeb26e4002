"""Everything that a training step adds up: CLIPose eq. 14 with the terms that GPV-Pose brings."""

from __future__ import annotations

from torch import Tensor, nn

from clipose_ros.categories import CategorySet
from clipose_ros.model.network import CLIPoseNet, NetworkOutput
from clipose_ros.training.batches import Batch
from clipose_ros.training.clip_features import ClipFeatureProvider, ClipFeatures
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.losses.clip_alignment import ClipAlignmentLoss
from clipose_ros.training.losses.pose import pose_losses
from clipose_ros.training.losses.shape import AuxiliaryOutputs, ShapeLoss


class TotalLoss(nn.Module):
    """The loss of a step, with the heads that only training has.

    Args:
        config: What counts.
        network: Whose output is judged.
        categories: What the clouds are of.
        source: Where companions come from; None where the run has no CLIP.
    """

    def __init__(
        self, config: TrainConfig, network: CLIPoseNet, categories: CategorySet, source: ClipFeatureProvider | None
    ) -> None:
        super().__init__()
        self.config = config
        self.shape = ShapeLoss(config.shape, network, categories)
        self.alignment: ClipAlignmentLoss | None = None
        if source is not None and config.contrast.is_enabled:
            self.alignment = ClipAlignmentLoss(config.contrast, network.encoder.last_channels, source.width)

    def read(self, batch: Batch, output: NetworkOutput) -> AuxiliaryOutputs:
        """What the heads say that only training has, for ``forward``."""
        return self.shape.read(batch, output)

    def forward(
        self, batch: Batch, output: NetworkOutput, readings: AuxiliaryOutputs, clip_features: ClipFeatures | None
    ) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum, and its terms by name as plain numbers, not weighted."""
        pose = pose_losses(output, batch.truth)
        total, values = pose.total(self.config.weights), pose.values()
        on_points = self.shape(batch, output, readings)
        parts: list[tuple[ShapeLoss | ClipAlignmentLoss, dict[str, Tensor]]] = [(self.shape, on_points)]
        if self.alignment is not None and clip_features is not None:
            parts.append((self.alignment, self.alignment(batch, output, clip_features)))
        for part, terms in parts:
            if terms:
                total = total + part.total(terms)
                values |= {name: term.item() for name, term in terms.items()}
        return total, values


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """A module's state without its frozen parameters, which come from elsewhere."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


def load_trained_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Put back what ``trained_state`` gave; every entry must be there."""
    if missing := trained_state(module).keys() - state.keys():
        raise KeyError(f"state lacks {min(missing)}")
    module.load_state_dict(module.state_dict() | state)
