"""CLIP alignment loss: point clouds, images and texts, Eq. (3) to (5)."""

from __future__ import annotations

from torch import Tensor, nn

from clipose_ros.model.network import NetworkOutput
from clipose_ros.model.projection import CloudProjection
from clipose_ros.training.batches import Batch
from clipose_ros.training.clip_features import ClipFeatures
from clipose_ros.training.losses.contrastive import (
    ContrastiveWeights,
    classification_loss,
    equal_pairs,
    noise_contrastive,
)
from clipose_ros.training.runtime.distributed import gathered


class ClipAlignmentLoss(nn.Module):
    """Contrastive loss between projected point cloud features and CLIP features.

    Args:
        weights: Weights of the pairs of modalities; 0 disables a pair.
        channels: Number of channels of the last graph layer.
        width: Width of the CLIP embedding.
    """

    def __init__(self, weights: ContrastiveWeights, channels: int, width: int) -> None:
        super().__init__()
        self.weights = weights
        self.cloud = CloudProjection(channels, width)

    def forward(self, batch: Batch, output: NetworkOutput, clip_features: ClipFeatures) -> dict[str, Tensor]:
        """Compute the enabled terms, unweighted scalars by their names in ``ContrastiveWeights``."""
        weights, cloud = self.weights, gathered(self.cloud(output.encoding))
        terms: dict[str, Tensor] = {}
        if weights.cloud_text:
            same_text = equal_pairs(gathered(clip_features.text_key))
            terms["cloud_text"] = noise_contrastive(cloud, gathered(clip_features.text), weights.temperature, same_text)
        if clip_features.image is None:
            return terms
        image, same_image = gathered(clip_features.image), equal_pairs(gathered(clip_features.image_key))
        if weights.cloud_image:
            terms["cloud_image"] = noise_contrastive(
                cloud, image, weights.temperature, same_image, clip_features.image_negatives
            )
        if weights.image_text:
            # Images of a bank match all texts of their category, also if these differ by their pose.
            matches = same_image | equal_pairs(gathered(clip_features.text_key))
            terms["image_text"] = noise_contrastive(image, gathered(clip_features.text), weights.temperature, matches)
        if weights.classification:
            terms["classification"] = classification_loss(
                clip_features.image, clip_features.category_text, batch.category, weights.classification_scale
            )
        return terms
