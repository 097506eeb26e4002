"""The contrastive part of the training loss: clouds, images and texts, eq. 3-5."""

from __future__ import annotations

from torch import Tensor, nn

from clipose_ros.model.network import NetworkOutput
from clipose_ros.model.projection import CloudProjection
from clipose_ros.training.batches import Batch
from clipose_ros.training.clip_features import ClipFeatures
from clipose_ros.training.losses.contrastive import ContrastiveWeights, classification, combine, noise_contrastive, same
from clipose_ros.training.runtime.distributed import gathered


class ClipAlignmentLoss(nn.Module):
    """Projects clouds into CLIP's space and compares.

    Args:
        weights: Which pairs count.
        channels: Channels of the last graph layer.
        width: Width of CLIP's space.
    """

    def __init__(self, weights: ContrastiveWeights, channels: int, width: int) -> None:
        super().__init__()
        self.weights = weights
        self.cloud = CloudProjection(channels, width)

    def forward(self, batch: Batch, output: NetworkOutput, clip_features: ClipFeatures) -> dict[str, Tensor]:
        """The terms that count, by their names in ``ContrastiveWeights``, not yet weighted."""
        weights, text = self.weights, gathered(clip_features.text)
        cloud = gathered(self.cloud(output.encoding))
        shared = same(gathered(clip_features.text_key))
        terms: dict[str, Tensor] = {}
        if weights.cloud_text:
            terms["cloud_text"] = noise_contrastive(cloud, text, weights.temperature, shared)
        if clip_features.image is None:
            return terms
        image = gathered(clip_features.image)
        if weights.cloud_image:
            terms["cloud_image"] = noise_contrastive(cloud, image, weights.temperature, same(gathered(batch.rows)))
        if weights.image_text:
            terms["image_text"] = noise_contrastive(image, text, weights.temperature, shared)
        if weights.classification:
            terms["classification"] = classification(
                clip_features.image, clip_features.category_text, batch.category, weights.classification_scale
            )
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Eq. 4 and the weighted eq. 5 of what ``forward`` gave."""
        zero = next(iter(terms.values())).new_zeros(())
        pairs = (terms.get(name, zero) for name in ("cloud_image", "cloud_text", "image_text"))
        return combine(self.weights, *pairs) + self.weights.classification * terms.get("classification", zero)
