"""What accompanies a cloud in training: CLIP's features of its image and of its text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipose_ros.data.cloud_source import CloudSource
from clipose_ros.data.prompts import prompt_without_pose
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.projection import TextProjection
from clipose_ros.model.text_features import TextFeatures, cached_text_features, read_text_features
from clipose_ros.training.batches import Batch, texts_of
from clipose_ros.training.config import TrainConfig
from clipose_ros.types import FloatArray


@dataclass(frozen=True)
class ClipFeatures:
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


Encode = Callable[[Sequence[str]], FloatArray]
"""Texts to unit features ``(T, D)``."""


class ClipFeatureProvider(nn.Module):
    """Gives a batch its companions.

    Args:
        known: Features of texts that are known ahead, among them ``plain``.
        plain: The categories' texts without pose.
        encode: Makes features of other texts, or refuses.
        tower: The image tower, if images take part.
        tune_text: Whether the text projection is tuned.
    """

    features: Tensor
    of_category: Tensor

    def __init__(
        self, known: TextFeatures, plain: Sequence[str], encode: Encode, tower: nn.Module | None, tune_text: bool
    ) -> None:
        super().__init__()
        self._encode = encode
        self._places = {text: place for place, text in enumerate(known.texts)}
        self.register_buffer("features", torch.from_numpy(known.features), persistent=False)
        self.register_buffer("of_category", torch.tensor(known.rows(plain)), persistent=False)
        self.tower = tower
        self.text_projection = TextProjection(self.width) if tune_text else None

    @property
    def width(self) -> int:
        """Width of CLIP's space."""
        return self.features.shape[1]

    def forward(self, batch: Batch) -> ClipFeatures:
        """Return the CLIP features of a batch on the device of this module."""
        image = None if self.tower is None or batch.images is None else self.tower(batch.images)
        key = torch.tensor([text_key(text) for text in batch.texts], device=self.features.device)
        return ClipFeatures(image, self._projected(self._of(batch.texts)), key, self.category_text())

    def category_text(self) -> Tensor:
        """``(C, D)`` features of the categories' texts without pose, which is what inference knows."""
        return self._projected(self.features[self.of_category])

    def _of(self, texts: Sequence[str]) -> Tensor:
        """Features of texts: known ones, or all anew, so that they depend on nothing but these texts."""
        if all(text in self._places for text in texts):
            return self.features[[self._places[text] for text in texts]]
        with torch.autocast(self.features.device.type, enabled=False):
            return torch.from_numpy(self._encode(texts)).to(self.features.device)

    def _projected(self, features: Tensor) -> Tensor:
        return features if self.text_projection is None else self.text_projection(features)


def text_key(text: str) -> int:
    """Return a number that is equal for equal texts, in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def create_clip_feature_provider(
    config: TrainConfig, clouds: CloudSource, folder: Path, device: str
) -> ClipFeatureProvider:
    """Texts, their features, and the image tower where images take part.

    Texts of clouds in memory are encoded ahead, once. Texts with poses of clouds that are streamed are encoded as they
    come. CLIP itself is loaded only where a feature is missing or images take part.

    Args:
        config: Which CLIP, how objects are described, and what takes part.
        clouds: What is described.
        folder: Where features are kept unless the configuration says where.
        device: Where CLIP is.

    Raises:
        ConfigError: CLIP's weights are not to be had, or features and tower are of different models.
        DataError: The file of text features is of another model, or lacks a text.
    """
    clip, prompts = config.clip, config.prompts
    path = Path(config.text_features) if config.text_features else folder
    plain = [prompt_without_pose(name) for name in clouds.categories.names]
    stored = clouds.in_memory
    texts = [] if stored is None else texts_of(stored, np.arange(len(stored)), prompts, config.seed)
    load = cache(lambda: _load(clip, config.seed, device))
    encode = _encoder(clip, path, load)
    known = _features(clip, path, [*plain, *texts], plain, encode)
    tower = _tower(load(), clip) if config.with_images else None
    width = known.features.shape[1]
    if tower is not None and tower.visual.proj.shape[1] != width:
        raise ConfigError(
            f"text features are {width} wide, {clip.name} gives images {tower.visual.proj.shape[1]}: they are of "
            "different models"
        )
    return ClipFeatureProvider(known, plain, encode, tower, clip.tune_text).to(device)


def _features(clip: ClipConfig, path: Path, texts: Sequence[str], plain: list[str], encode: Encode) -> TextFeatures:
    """Of these texts and no others, from the given file, or from the folder's, which is completed first."""
    wanted = list(dict.fromkeys(texts))
    if path.suffix == ".npy":
        stored = read_text_features(path, clip.name, plain)
    else:
        stored = cached_text_features(path, clip.name, wanted, encode)
    return TextFeatures(stored.model, tuple(wanted), stored.features[stored.rows(wanted)])


def _encoder(clip: ClipConfig, path: Path, load: Callable[[], Any]) -> Encode:
    """CLIP's text tower, or where a file tells all there is to know, a refusal."""

    def encode(texts: Sequence[str]) -> FloatArray:
        if path.suffix == ".npy":
            raise DataError(f"text features '{path}' lack {texts[0]!r}: leave text_features out, or prompts.pose=none")
        from clipose_ros.model.clip import encode_texts  # open_clip is needed by these runs alone

        return encode_texts(load(), clip, texts)

    return encode


def _load(clip: ClipConfig, seed: int, device: str) -> Any:
    """CLIP. Whenever it is loaded, random numbers go on as if it had not been: it draws weights before it reads any."""
    from clipose_ros.model.clip import load_clip

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return load_clip(clip).to(device)


def _tower(model: Any, clip: ClipConfig) -> Any:
    from clipose_ros.model.clip import ImageTower

    return ImageTower(model, clip)
