"""Augmented training batches of stored clouds; equal steps give equal batches in every run."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_source import CloudSource, InMemorySource
from clipose_ros.data.prompts import PromptConfig, make_prompt
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import IndexArray
from clipose_ros.errors import ConfigError
from clipose_ros.training.augment import AugmentationRules, BatchRng, augment
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.losses.pose import PoseTruth
from clipose_ros.training.runtime.distributed import rank_and_size
from clipose_ros.types import ByteArray

MAX_COORDINATE_M = 1e4
"""Coordinates beyond this distance explain a loss that is not finite."""


@dataclass(frozen=True)
class Batch:
    """Clouds with their ground truth, images and texts.

    Attributes:
        points: ``(B, N, 3)`` metres, camera frame.
        category: ``(B,)`` int64, index in the category set.
        truth: Poses and sizes.
        rows: ``(B,)`` int64, indices of the stored clouds.
        images: ``(B, 3, H, W)`` RGB in [0, 1] of the objects; None if the recipe uses no images.
        texts: Text of each object for CLIP; empty if the recipe uses no texts.
        bank_draws: ``(B,)`` uniform random numbers in [0, 1) that draw image features from a bank; None without one.
    """

    points: Tensor
    category: Tensor
    truth: PoseTruth
    rows: Tensor
    images: Tensor | None = None
    texts: tuple[str, ...] = ()
    bank_draws: Tensor | None = None

    def first(self, count: int) -> Batch:
        """Return the same batch with the first points of each cloud, in random order; all if ``count`` is 0."""
        return replace(self, points=self.points[:, : count or None])

    def to(self, device: str) -> Batch:
        """Return the same batch on a device."""
        truth = PoseTruth(*(getattr(self.truth, spec.name).to(device) for spec in fields(self.truth)))
        images = None if self.images is None else self.images.to(device)
        draws = None if self.bank_draws is None else self.bank_draws.to(device)
        points, category, rows = self.points.to(device), self.category.to(device), self.rows.to(device)
        return Batch(points, category, truth, rows, images, self.texts, draws)


class BatchSource:
    """Makes training batches of stored clouds: their order, augmentation, images and texts.

    Images are not augmented, and texts state the pose as stored.

    Args:
        clouds: Where they come from.
        config: Batch, seed, augmentation, and what takes part.
        rank: Which slice of each batch this process takes.
        ranks: How many slices there are.

    Raises:
        ConfigError: A batch cannot be cut into equal slices, or images are needed and there are none.
    """

    def __init__(self, clouds: CloudSource, config: TrainConfig, rank: int = 0, ranks: int = 1) -> None:
        if config.batch % ranks:
            raise ConfigError(f"batch must be a multiple of the {ranks} processes, got {config.batch}")
        if config.with_images and not clouds.has_images:
            raise ConfigError(NO_IMAGES)
        self._clouds, self._config = clouds, config
        self._slice = slice(rank * config.batch // ranks, (rank + 1) * config.batch // ranks)
        self._rules = AugmentationRules.from_categories(clouds.categories, config.augment)

    def at(self, step: int) -> Batch:
        """Return the slice of this process of the batch of a step."""
        config, first = self._config, step * self._config.batch
        samples, rows = self._clouds.fetch(range(first + self._slice.start, first + self._slice.stop))
        stored = stored_batch(samples, rows, self._rules.axial, samples.images if config.with_images else None)
        rng = BatchRng(config.seed, step, config.batch, self._slice)
        points, truth = augment(stored.points, stored.truth, self._rules.select(stored.category), config.augment, rng)
        texts = texts_of(samples, rows, config.prompts, config.seed) if config.with_texts else ()
        draws = rng.uniform() if config.with_image_bank else None
        return replace(stored, points=points, truth=truth, texts=tuple(texts), bank_draws=draws)

    def unusable_cloud(self, step: int) -> str | None:
        """Describe a stored cloud of the batch of a step that no network can learn from; None without one."""
        first = step * self._config.batch
        samples, rows = self._clouds.fetch(range(first + self._slice.start, first + self._slice.stop))
        for name in ("points", "T_camera_object", "size"):
            values = getattr(samples, name).reshape(len(rows), -1)
            wrong = np.flatnonzero(~(np.abs(values) < MAX_COORDINATE_M).all(axis=1))
            if len(wrong):
                place = f"'{name}' of training cloud {rows[wrong[0]]} (from 0)"
                return f"{place} is not finite or beyond {MAX_COORDINATE_M:g} m"
        return None


NO_IMAGES = (
    "this recipe needs images, but the clouds have none: create clouds with `generate --image-size 224`, or train with "
    "texts only: clip_loss.cloud_image=0 clip_loss.image_text=0 clip_loss.classification=0"
)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Clouds of a run.

    Attributes:
        categories: Categories of the clouds.
        training: Source of the training clouds.
        validation: Validation clouds, of other instances than the training clouds.
        batches: Training batches of this rank.
    """

    categories: CategorySet
    training: CloudSource
    validation: CloudSamples
    batches: BatchSource

    @classmethod
    def create(
        cls,
        config: TrainConfig,
        categories: CategorySet,
        training: CloudSamples | CloudSource,
        validation: CloudSamples,
    ) -> TrainingData:
        """Build from clouds in memory or a source of clouds.

        Raises:
            ConfigError: The recipe needs images, and the clouds have none.
        """
        if isinstance(training, CloudSamples):
            training = InMemorySource(training, config.seed, config.sampling)
        rank, ranks = rank_and_size()
        batches = BatchSource(training, config, rank, ranks)
        if config.with_images and validation.images is None:
            raise ConfigError(f"{NO_IMAGES}; validation clouds need images, too")
        return cls(categories, training, validation, batches)


def stored_batch(samples: CloudSamples, rows: IndexArray, axial: Tensor, images: ByteArray | None = None) -> Batch:
    """Return a batch of stored clouds without augmentation.

    Args:
        samples: Stored clouds.
        rows: Their indices ``(B,)`` in the source.
        axial: ``(C,)`` bool, True for axially symmetric categories.
        images: ``(B, H, W, 3)`` RGB of the objects.
    """
    category = torch.from_numpy(samples.category_index)
    T = torch.from_numpy(samples.T_camera_object).float()
    determined = torch.from_numpy(samples.handle_visible) & ~axial[category]
    truth = PoseTruth(T[:, :3, :3], T[:, :3, 3], torch.from_numpy(samples.size).float(), determined)
    image = None if images is None else image_batch(images)
    return Batch(torch.from_numpy(samples.points).float(), category, truth, torch.from_numpy(rows), image)


def image_batch(images: ByteArray) -> Tensor:
    """Convert images ``(B, H, W, 3)`` uint8 to ``(B, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2).float() / 255.0


def texts_of(samples: CloudSamples, rows: IndexArray, config: PromptConfig, seed: int) -> list[str]:
    """Return the training text of each cloud, which depends on the seed and the index of the cloud only."""
    return [
        make_prompt(samples.categories.names[kind], T.astype(np.float64), config, np.random.default_rng([seed, row]))
        for kind, T, row in zip(samples.category_index, samples.T_camera_object, rows, strict=True)
    ]
