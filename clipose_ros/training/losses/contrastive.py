"""Alignment of point clouds, images and texts in the CLIP embedding, Eq. (3) to (5).

Features are unit vectors, so their products are cosines. The paper gives sums over a batch. Every loss here is the mean
over its pairs, so a weight has the same effect at every batch size. Eq. (4), the weighted sum over pairs of modalities,
is part of the total loss in ``total.py``.
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
    """Weights of the CLIP alignment terms, and their temperatures."""

    cloud_image: float = option(0.0, "Clouds against images, alpha of Eq. (4).", low=0.0)
    cloud_text: float = option(0.0, "Clouds against texts, beta of Eq. (4).", low=0.0)
    image_text: float = option(0.0, "Images against texts, lambda of Eq. (4).", low=0.0)
    classification: float = option(0.0, "Images against the categories' texts, Eq. (5).", low=0.0)
    temperature: float = option(0.07, "Temperature of Eq. (3); Eq. (15): 1 / logit scale.", low=1e-3, high=10.0)
    classification_scale: float = option(
        100.0,
        "Factor on the cosines of Eq. (5): the logit scale of CLIP is 100, the paper gives none (1).",
        low=1e-3,
    )

    @property
    def is_enabled(self) -> bool:
        """Return True if any term has a weight."""
        return self.with_images or self.cloud_text > 0.0

    @property
    def with_images(self) -> bool:
        """Return True if any term with a weight uses images."""
        return self.cloud_image > 0.0 or self.compares_images_with_texts

    @property
    def compares_images_with_texts(self) -> bool:
        """Return True if a term without clouds has a weight."""
        return max(self.image_text, self.classification) > 0.0


def equal_pairs(keys: Tensor) -> Tensor:
    """Compare keys ``(B,)`` pairwise: ``(B, B)`` bool. Equal texts have equal keys."""
    return keys.unsqueeze(0) == keys.unsqueeze(1)


def noise_contrastive(
    first: Tensor,
    second: Tensor,
    temperature: float,
    positives: Tensor | None = None,
    negatives: Tensor | None = None,
) -> Tensor:
    """Compute the symmetric noise-contrastive loss of two modalities, Eq. (3).

    The probabilities of several positives of an entry are summed before the logarithm. A uniform target over the
    positives would penalise the object nearest to a text that several objects share.

    Args:
        first: ``(A, D)`` unit features of one modality.
        second: ``(B, D)`` unit features of the other.
        temperature: Divisor of the cosines.
        positives: ``(A, B)`` bool, the matching pairs, at least one in each row and column; None if only entries with
            the same index match.
        negatives: ``(K, D)`` further unit features of the second modality, which match no entry of the first; they
            take part in the mean over rows.

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
    columns = _negative_log_likelihood(similarity.T, positives.T)
    if negatives is not None:
        similarity = torch.cat([similarity, first @ negatives.T / temperature], dim=1)
        positives = F.pad(positives, (0, len(negatives)))
    return 0.5 * (_negative_log_likelihood(similarity, positives) + columns)


def classification_loss(image: Tensor, category_text: Tensor, category: Tensor, scale: float) -> Tensor:
    """Compute the cross entropy of the image category over the category texts, Eq. (5).

    Args:
        image: ``(B, D)`` unit features.
        category_text: ``(M, D)`` unit features, one text per category.
        category: ``(B,)`` int64, the true categories.
        scale: Factor on the cosines. The paper gives none. The cosines of CLIP texts are so close together that the
            loss hardly decreases with a factor of 1.

    Returns:
        Scalar, mean over the batch.
    """
    return F.cross_entropy(scale * image @ category_text.T, category)


def _negative_log_likelihood(logits: Tensor, positives: Tensor) -> Tensor:
    """Compute the mean over rows of the negative log probability that the softmax assigns to the positives."""
    return (logits.logsumexp(dim=1) - logits.masked_fill(~positives, -torch.inf).logsumexp(dim=1)).mean()
