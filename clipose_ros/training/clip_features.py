"""CLIP features of the image and the text of each training cloud."""

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
from clipose_ros.data.named_features import read_named_features
from clipose_ros.data.prompts import prompt_without_pose
from clipose_ros.errors import ConfigError, DataError, quoted
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.projection import FeatureProjection
from clipose_ros.model.text_features import (
    TextFeatures,
    cached_text_features,
    is_feature_file,
    read_text_features,
)
from clipose_ros.training.batches import Batch, texts_of
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.image_bank import ImageBank, read_image_bank
from clipose_ros.types import FloatArray


@dataclass(frozen=True)
class ClipFeatures:
    """Features of a batch, unit rows.

    Attributes:
        image: ``(B, D)`` of the objects' images or of their categories' bank; None if the run uses no images.
        image_key: ``(B,)`` int64, equal where images match the same clouds: those of an object, or of a category.
        text: ``(B, D)`` of the objects' texts; ``(0, D)`` if the run uses no texts.
        text_key: ``(B,)`` int64, equal where texts are equal; ``(0,)`` if the run uses no texts.
        category_text: ``(C, D)`` of the categories' texts without pose; ``(0, D)`` if the run uses no texts.
        image_negatives: ``(K, D)`` of images of other objects; None if there are none.
    """

    image: Tensor | None
    image_key: Tensor
    text: Tensor
    text_key: Tensor
    category_text: Tensor
    image_negatives: Tensor | None = None


Encode = Callable[[Sequence[str]], FloatArray]
"""Function that encodes texts to unit features ``(T, D)``."""


class ClipFeatureProvider(nn.Module):
    """Provider of the CLIP features of a batch.

    Args:
        known: Texts with features computed in advance, among them ``plain``.
        plain: Texts of the categories without pose; empty if the recipe uses no texts.
        encode: Encodes other texts; it may raise instead.
        images: Image tower or bank of image features; None if the recipe uses no images.
        tune_text: Train a projection of the text features.
    """

    features: Tensor
    of_category: Tensor

    def __init__(
        self,
        known: TextFeatures,
        plain: Sequence[str],
        encode: Encode,
        images: nn.Module | ImageBank | None,
        tune_text: bool,
    ) -> None:
        super().__init__()
        self._encode = encode
        self._places = {text: place for place, text in enumerate(known.texts)}
        self.register_buffer("features", torch.from_numpy(known.features), persistent=False)
        self.register_buffer("of_category", torch.tensor(known.rows(plain), dtype=torch.long), persistent=False)
        self.bank = images if isinstance(images, ImageBank) else None
        self.tower = None if isinstance(images, ImageBank) else images
        self.text_projection = FeatureProjection(self.width) if tune_text else None

    @property
    def width(self) -> int:
        """Return the width D of the CLIP embedding."""
        return self.features.shape[1]

    def forward(self, batch: Batch) -> ClipFeatures:
        """Return the CLIP features of a batch on the device of this module."""
        image, image_key = self._get_images(batch)
        key = torch.tensor([text_key(text) for text in batch.texts], dtype=torch.long, device=self.features.device)
        text = self._project(self._get_features(batch.texts))
        negatives = None if self.bank is None else self.bank.project_negatives()
        return ClipFeatures(image, image_key, text, key, self.category_text(), negatives)

    def _get_images(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """Return image features, if the run uses images, and their keys."""
        if self.bank is not None and batch.bank_draws is not None:
            return self.bank(batch.category, batch.bank_draws), batch.category
        return None if self.tower is None or batch.images is None else self.tower(batch.images), batch.rows

    def category_text(self) -> Tensor:
        """Return features ``(C, D)`` of the texts without pose, the only texts available at inference."""
        return self._project(self.features[self.of_category])

    def _get_features(self, texts: Sequence[str]) -> Tensor:
        """Return the features of texts.

        If one of them is unknown, all are encoded, so that the result does not depend on earlier calls.
        """
        if all(text in self._places for text in texts):
            return self.features[[self._places[text] for text in texts]]
        with torch.autocast(self.features.device.type, enabled=False):
            return torch.from_numpy(self._encode(texts)).to(self.features.device)

    def _project(self, features: Tensor) -> Tensor:
        """Apply the trained text projection, if there is one."""
        return features if self.text_projection is None else self.text_projection(features)


def text_key(text: str) -> int:
    """Return a number that is equal for equal texts, in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def create_clip_feature_provider(
    config: TrainConfig, clouds: CloudSource, folder: Path, device: str
) -> ClipFeatureProvider:
    """Create the provider of text and image features for the clouds of a run.

    Texts of clouds in memory are encoded once, in advance. Texts with poses of streamed clouds are encoded when they
    arrive. CLIP itself is loaded only if the feature of a text is missing, or the recipe uses the image tower.

    Args:
        config: Recipe: the CLIP model, the prompts and the loss terms.
        clouds: Source of the clouds.
        folder: Folder of cached text features, unless the recipe names one.
        device: Device of CLIP.

    Raises:
        ConfigError: The weights of CLIP are not available, or features and tower are of different models.
        DataError: The file of text features is of another model, or lacks a text, or a bank cannot be used.
    """
    clip = config.clip
    path = Path(config.text_features) if config.text_features else folder
    load = cache(lambda: _load_clip(clip, config.seed, device))
    encode = _create_encoder(clip, path, load)
    categories = clouds.categories.names
    plain = [prompt_without_pose(name) for name in categories] if config.with_texts else []
    texts = [*plain, *_stored_texts(config, clouds)]
    known = _read_or_encode(config, path, texts, categories, encode) if plain else None
    images = _create_images(config, categories, load)
    if known is None:
        known = TextFeatures(clip.name, (), np.zeros((0, _image_width(images) or 1), np.float32))
    width = known.features.shape[1]
    if _image_width(images) not in (None, width):
        source = f"'{config.image_bank.file}'" if config.with_image_bank else clip.name
        raise ConfigError(
            f"text features are {width} wide, but image features of {source} {_image_width(images)}: they are of "
            "different models; set clip.model to the model of the text features, or use features of one model"
        )
    return ClipFeatureProvider(known, plain, encode, images, clip.tune_text and bool(plain)).to(device)


def _stored_texts(config: TrainConfig, clouds: CloudSource) -> list[str]:
    """Return the training texts of clouds in memory; none if clouds are streamed."""
    stored = clouds.in_memory
    return [] if stored is None else texts_of(stored, np.arange(len(stored)), config.prompts, config.seed)


def _create_images(
    config: TrainConfig, categories: Sequence[str], load: Callable[[], Any]
) -> nn.Module | ImageBank | None:
    """Create the source of image features that the recipe names: image tower, bank or none."""
    if config.with_image_bank:
        return read_image_bank(config.image_bank, categories)
    return _create_tower(load(), config.clip) if config.with_images else None


def _image_width(images: Any) -> int | None:
    """Return the width of image features; None without images."""
    if images is None:
        return None
    return images.width if isinstance(images, ImageBank) else int(images.visual.proj.shape[1])


def _read_or_encode(
    config: TrainConfig, path: Path, texts: Sequence[str], categories: Sequence[str], encode: Encode
) -> TextFeatures:
    """Return the features of exactly these texts, from a file, or from a folder to which missing ones are added."""
    wanted, model = list(dict.fromkeys(texts)), config.clip.name
    if path.suffix == ".npz" or config.text_names:
        stored = _read_named_texts(config, path, categories)
    elif path.suffix == ".npy":
        stored = read_text_features(path, model, [prompt_without_pose(name) for name in categories])
    else:
        stored = cached_text_features(path, model, wanted, encode)
    return TextFeatures(stored.model, tuple(wanted), stored.features[stored.rows(wanted)])


def _read_named_texts(config: TrainConfig, path: Path, categories: Sequence[str]) -> TextFeatures:
    """Return the features of the categories' texts from a file that names its rows; other rows are not used."""
    read = read_named_features(path, Path(config.text_names) if config.text_names else None)
    rows = []
    for name in categories:
        places = [row for row, other in enumerate(read.names) if other == name]
        if len(places) != 1:
            raise DataError(
                f"text features '{path}' have {len(places)} rows of category {quoted(name)}, expected 1: name one row "
                "by it"
            )
        rows += places
    return TextFeatures(config.clip.name, tuple(map(prompt_without_pose, categories)), read.features[rows])


def _create_encoder(clip: ClipConfig, path: Path, load: Callable[[], Any]) -> Encode:
    """Return the function that encodes texts with CLIP; if the features come from a file, it raises DataError."""

    def encode(texts: Sequence[str]) -> FloatArray:
        if is_feature_file(path):
            raise DataError(f"text features '{path}' lack {texts[0]!r}: remove text_features, or set prompts.pose=none")
        from clipose_ros.model.clip import encode_texts  # only these runs need open_clip

        return encode_texts(load(), clip, texts)

    return encode


def _load_clip(clip: ClipConfig, seed: int, device: str) -> Any:
    """Load CLIP without changing torch's random state.

    CLIP draws random weights before it reads the trained ones. A resumed run may load it at another time.
    """
    from clipose_ros.model.clip import load_clip

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return load_clip(clip).to(device)


def _create_tower(model: Any, clip: ClipConfig) -> Any:
    """Create the image tower with its prompt tokens."""
    from clipose_ros.model.clip import ImageTower

    return ImageTower(model, clip)
