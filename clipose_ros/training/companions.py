"""What accompanies a cloud in training: CLIP's features of its image and of its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipose_ros.categories import CategorySet
from clipose_ros.data.prompts import PromptConfig, describe, text_without_pose
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.projection import TextProjection
from clipose_ros.model.text_features import TextFeatures, cached_text_features, read_text_features
from clipose_ros.training.batches import Batch


@dataclass(frozen=True)
class Companions:
    """Features of a batch, unit rows.

    Attributes:
        image: ``(B, D)``, or None where the run has no image tower.
        text: ``(B, D)`` of the objects' texts.
        text_key: ``(B,)`` int64, equal where texts are equal.
        category_text: ``(C, D)`` of the categories' texts without pose.
    """

    image: Tensor | None
    text: Tensor
    text_key: Tensor
    category_text: Tensor


class CompanionSource(nn.Module):
    """Gives a batch its companions.

    Args:
        features: Features of every text there is.
        of_sample: ``(S,)`` int64, each stored cloud's text.
        of_category: ``(C,)`` int64, each category's text without pose.
        tower: The image tower, if images take part.
        tune_text: Whether the text projection is tuned.
    """

    features: Tensor
    of_sample: Tensor
    of_category: Tensor

    def __init__(
        self, features: Tensor, of_sample: Tensor, of_category: Tensor, tower: nn.Module | None, tune_text: bool
    ) -> None:
        super().__init__()
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("of_sample", of_sample, persistent=False)
        self.register_buffer("of_category", of_category, persistent=False)
        self.tower = tower
        self.text_projection = TextProjection(features.shape[1]) if tune_text else None

    @property
    def width(self) -> int:
        """Width of CLIP's space."""
        return self.features.shape[1]

    def forward(self, batch: Batch) -> Companions:
        """The companions of a batch on this module's device."""
        key = self.of_sample[batch.rows]
        image = None if self.tower is None or batch.images is None else self.tower(batch.images)
        return Companions(image, self._text(key), key, self.category_text())

    def category_text(self) -> Tensor:
        """``(C, D)`` features of the categories' texts without pose, which is what inference knows."""
        return self._text(self.of_category)

    def _text(self, key: Tensor) -> Tensor:
        features = self.features[key]
        return features if self.text_projection is None else self.text_projection(features)


def make_companions(
    clip: ClipConfig,
    prompts: PromptConfig,
    samples: CloudSamples,
    categories: CategorySet,
    seed: int,
    features: Path,
    with_images: bool,
) -> CompanionSource:
    """Texts of every sample, their features, and the image tower where images take part.

    CLIP itself is loaded only where a feature is missing or images take part.

    Args:
        clip: Which CLIP.
        prompts: How objects are described.
        samples: The stored clouds.
        categories: Their category set.
        seed: Draws random poses of texts.
        features: A file of text features, or a folder that keeps them.
        with_images: Whether images take part.

    Raises:
        ConfigError: CLIP's weights are not to be had.
        DataError: The file of text features is of another model, or lacks a text.
    """
    plain = [text_without_pose(name) for name in categories.names]
    texts = sample_texts(samples, categories, prompts, seed)
    load = cache(lambda: _load(clip))
    known = _features(clip, features, [*plain, *texts], plain, load)
    tower = _tower(load(), clip) if with_images else None
    unique = {row: place for place, row in enumerate(sorted(set(known.rows([*plain, *texts]))))}
    width = known.features.shape[1]
    if tower is not None and tower.visual.proj.shape[1] != width:
        raise ConfigError(
            f"text features are {width} wide, {clip.name} gives images {tower.visual.proj.shape[1]}: they are of "
            "different models"
        )
    return CompanionSource(
        torch.from_numpy(known.features[list(unique)]),
        torch.tensor([unique[row] for row in known.rows(texts)]),
        torch.tensor([unique[row] for row in known.rows(plain)]),
        tower,
        clip.tune_text,
    )


def sample_texts(samples: CloudSamples, categories: CategorySet, prompts: PromptConfig, seed: int) -> list[str]:
    """The training text of every stored cloud; equal seeds give equal texts."""
    return [
        describe(categories.names[kind], T.astype(np.float64), prompts, np.random.default_rng([seed, row]))
        for row, (kind, T) in enumerate(zip(samples.category_index, samples.T_camera_object, strict=True))
    ]


def _features(
    clip: ClipConfig, path: Path, texts: list[str], plain: list[str], load: Callable[[], Any]
) -> TextFeatures:
    """From the given file, or from the folder's, which is completed first."""
    if path.suffix == ".npy":
        return read_text_features(path, clip.name, plain)
    from clipose_ros.model.clip import encode_texts  # open_clip is needed by these runs alone

    return cached_text_features(path, clip.name, texts, lambda missing: encode_texts(load(), clip, missing))


def _load(clip: ClipConfig) -> Any:
    from clipose_ros.model.clip import load_clip

    return load_clip(clip)


def _tower(model: Any, clip: ClipConfig) -> Any:
    from clipose_ros.model.clip import ImageTower

    return ImageTower(model, clip)
