"""Alignment of clouds, images and texts in CLIP's space: CLIPose eq. 3-5.

Features are unit rows, so that their products are cosines. The paper prints sums over a batch; every loss here is the
mean over its pairs, so that a weight means the same at every batch size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ShapeError


@dataclass(frozen=True)
class ContrastiveWeights(ConfigNode):
    """What each alignment counts, and how sharply it compares."""

    cloud_image: float = option(0.0, "Clouds against images, alpha of eq. 4.", low=0.0)
    cloud_text: float = option(0.0, "Clouds against texts, beta of eq. 4.", low=0.0)
    image_text: float = option(0.0, "Images against texts, lambda of eq. 4.", low=0.0)
    classification: float = option(0.0, "Images against the categories' texts, eq. 5.", low=0.0)
    temperature: float = option(0.07, "Temperature of eq. 3, 1 / logit scale.", low=1e-3, high=10.0)
    classification_scale: float = option(
        100.0, "Factor on the cosines of eq. 5: CLIP's logit scale is 100; the paper prints none, which is 1.", low=1e-3
    )

    @property
    def is_enabled(self) -> bool:
        """Return whether any term has a weight above 0."""
        return self.with_images or self.cloud_text > 0.0

    @property
    def with_images(self) -> bool:
        """Whether a term compares with images."""
        return max(self.cloud_image, self.image_text, self.classification) > 0.0


def same(keys: Tensor) -> Tensor:
    """Which entries say the same: keys ``(B,)`` to ``(B, B)`` bool. Equal texts have equal keys."""
    return keys.unsqueeze(0) == keys.unsqueeze(1)


def noise_contrastive(first: Tensor, second: Tensor, temperature: float, positives: Tensor | None = None) -> Tensor:
    """Symmetric noise-contrastive loss of two modalities, eq. 3.

    An entry with several positives is content with any of them: their probabilities are added up before the logarithm.
    A target spread over them instead would, for objects of equal texts, still punish the one nearest to the text for
    being nearer than the others.

    Args:
        first: ``(A, D)`` unit features of one modality.
        second: ``(B, D)`` unit features of the other.
        temperature: What cosines are divided by.
        positives: ``(A, B)`` bool, which pairs belong together, at least one in each row and column; None where the
            i-th of one belongs to the i-th of the other alone.

    Returns:
        Scalar: half the mean over rows plus half the mean over columns of the negative logarithm of the positives'
        probability.

    Raises:
        ShapeError: The positives have another shape, or a row or column has none.
    """
    similarity = first @ second.T / temperature
    if positives is None:
        positives = torch.eye(len(first), len(second), dtype=torch.bool, device=first.device)
    if positives.shape != similarity.shape or not (positives.any(0).all() and positives.any(1).all()):
        raise ShapeError(
            f"positives must be {tuple(similarity.shape)} with one in every row and column, "
            f"got {tuple(positives.shape)} with {int(positives.sum())}"
        )
    return 0.5 * (_unlikelihood(similarity, positives) + _unlikelihood(similarity.T, positives.T))


def combine(weights: ContrastiveWeights, cloud_image: Tensor, cloud_text: Tensor, image_text: Tensor) -> Tensor:
    """The weighted sum over pairs of modalities, eq. 4."""
    return weights.cloud_image * cloud_image + weights.cloud_text * cloud_text + weights.image_text * image_text


def classification(image: Tensor, category_text: Tensor, category: Tensor, scale: float) -> Tensor:
    """Cross entropy of telling an image's category by its nearest text, eq. 5.

    Args:
        image: ``(B, D)`` unit features.
        category_text: ``(M, D)`` unit features, one text per category.
        category: ``(B,)`` int64, the true categories.
        scale: Factor on the cosines. The paper prints none; but cosines of CLIP's texts lie so close together that with
            1 the loss can hardly fall.

    Returns:
        Scalar, mean over the batch.
    """
    return F.cross_entropy(scale * image @ category_text.T, category)


def _unlikelihood(logits: Tensor, positives: Tensor) -> Tensor:
    """Negative logarithm of the probability that the rows' softmax gives to their positives, mean over rows."""
    return (logits.logsumexp(dim=1) - logits.masked_fill(~positives, -torch.inf).logsumexp(dim=1)).mean()
