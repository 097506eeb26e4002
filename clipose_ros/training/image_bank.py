"""Bank of CLIP image features by category, from a file: a source of image features without an image tower.

Each cloud of a batch is paired with a feature drawn at random from those of its category. Clouds and features of equal
categories are positives of each other in Eq. (3). The features of the file are never trained. A square matrix behind
them is, which gives Eq. (5) a gradient.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.named_features import NamedFeatures, read_named_features
from clipose_ros.errors import ConfigError, DataError, quoted
from clipose_ros.model.projection import FeatureProjection


@dataclass(frozen=True)
class ImageBankConfig(ConfigNode):
    """Files of CLIP image features, used instead of an image tower if ``clip.images`` is ``bank``."""

    file: str = option("", "Image features: a .npz with features, labels and categories, or a .npy.")
    names: str = option("", "Text file that names the category of each row of a .npy, one per line.")
    tune: bool = option(True, "Train a square matrix behind the features, which themselves stay fixed.")
    negatives: str = option("", "Image features of other objects, further negatives of every cloud: .npz or .npy.")
    negative_names: str = option("", "Text file that names each row of a .npy of negatives, one per line.")
    negatives_without: tuple[str, ...] = option(
        ("cup", "teacup", "thermos"), "Words of names that are no negatives, beside those of the categories."
    )


class ImageBank(nn.Module):
    """Image features by category.

    Args:
        by_category: Features ``(N_c, D)`` of each category, unit rows, at least one.
        negatives: ``(K, D)`` features of other objects, unit rows; K may be 0.
        tune: Train a projection of the features.
    """

    features: Tensor
    counts: Tensor
    starts: Tensor
    negatives: Tensor

    def __init__(self, by_category: Sequence[Tensor], negatives: Tensor, tune: bool) -> None:
        super().__init__()
        counts = torch.tensor([len(rows) for rows in by_category])
        # Not persistent: features of a user's file never enter a state or a model.
        self.register_buffer("features", torch.cat(list(by_category)), persistent=False)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("starts", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer("negatives", negatives, persistent=False)
        self.projection = FeatureProjection(self.width) if tune else None

    @property
    def width(self) -> int:
        """Return the width D of the features."""
        return self.features.shape[1]

    def forward(self, category: Tensor, draws: Tensor) -> Tensor:
        """Return a feature ``(B, D)`` of the category of each object, drawn with replacement.

        Args:
            category: ``(B,)`` int64, indices of the categories.
            draws: ``(B,)`` uniform random numbers in [0, 1).
        """
        counts = self.counts[category]
        # The product may round up to the count.
        place = torch.minimum((draws * counts).long(), counts - 1)
        return self._project(self.features[self.starts[category] + place])

    def project_negatives(self) -> Tensor | None:
        """Return the negatives ``(K, D)`` after the projection; None if there are none."""
        return self._project(self.negatives) if len(self.negatives) else None

    def _project(self, features: Tensor) -> Tensor:
        """Apply the trained projection, if there is one."""
        return features if self.projection is None else self.projection(features)


def read_image_bank(config: ImageBankConfig, categories: Sequence[str]) -> ImageBank:
    """Read the bank of a recipe from its files.

    Args:
        config: Files of the features and of the negatives.
        categories: Names of the categories of the run; other names in the file are not used.

    Raises:
        ConfigError: The recipe names no file.
        DataError: A file cannot be read, has no feature of a category, or features and negatives differ in width.
    """
    if not config.file:
        raise ConfigError("clip.images=bank needs image features: set image_bank.file to a .npz or .npy of them")
    read = read_named_features(Path(config.file), Path(config.names) if config.names else None)
    for name in categories:
        if name not in read.names:
            present = ", ".join(sorted(set(read.names)))
            raise DataError(
                f"features '{config.file}' have none of category {quoted(name)}, only of {quoted(present)}: add some, "
                "or rename a category of the file"
            )
    rows = [[row for row, other in enumerate(read.names) if other == name] for name in categories]
    negatives = _read_negatives(config, categories, read.features.shape[1])
    return ImageBank([torch.from_numpy(read.features[kept]) for kept in rows], negatives, config.tune)


def _read_negatives(config: ImageBankConfig, categories: Sequence[str], width: int) -> Tensor:
    """Return the features ``(K, D)`` of names that share no word with a category."""
    if not config.negatives:
        return torch.zeros(0, width)
    read = read_named_features(Path(config.negatives), Path(config.negative_names) if config.negative_names else None)
    if read.features.shape[1] != width:
        raise DataError(
            f"negatives '{config.negatives}' are {read.features.shape[1]} wide, features '{config.file}' {width}: they "
            "are of different models; use one model for both"
        )
    kept = _other_rows(read, [*categories, *config.negatives_without])
    if not len(kept):
        raise DataError(
            f"negatives '{config.negatives}' name only categories of the run, such as {quoted(read.names[0])}: "
            "give features of other objects, or leave out image_bank.negatives"
        )
    return torch.from_numpy(read.features[kept])


def _other_rows(read: NamedFeatures, names: Sequence[str]) -> list[int]:
    """Return the rows whose name shares no word with other names; ``beer_can`` shares one with ``can``."""
    words = {word for name in names for word in _words(name)}
    others = {name for name in set(read.names) if words.isdisjoint(_words(name))}
    return [row for row, name in enumerate(read.names) if name in others]


def _words(name: str) -> list[str]:
    """Return the words of a name in lower case."""
    return re.findall(r"[^\W_]+", name.casefold())
