"""Stored clouds in training order. The order depends on the seed only, so all runs and resumed runs share it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import IndexArray, SampleMetadata, SamplingConfig, draw_sample_order
from clipose_ros.errors import DataError


class CloudSource(Protocol):
    """An endless sequence of stored clouds. Every position holds the same cloud in every run.

    Attributes:
        categories: Category set of the clouds.
        counts: ``(C,)`` number of stored clouds of each category.
        has_images: True if every cloud has an image.
        in_memory: All stored clouds, or None if they are streamed.
    """

    categories: CategorySet
    counts: IndexArray
    has_images: bool
    in_memory: CloudSamples | None

    def fetch(self, positions: Sequence[int]) -> tuple[CloudSamples, IndexArray]:
        """Return the clouds at B positions of the sequence and their indices among the stored clouds, ``(B,)``.

        Raises:
            DataError: The clouds cannot be read.
        """


class InMemorySource:
    """A ``CloudSource`` of clouds in memory. An epoch has as many positions as clouds and an order of its own.

    Args:
        samples: The clouds, at least one.
        seed: Seed of the order of all epochs.
        sampling: Sampling weights; equal weights if left out.

    Raises:
        ConfigError: The sampling configuration names an unknown category.
        DataError: There are no clouds.
    """

    def __init__(self, samples: CloudSamples, seed: int, sampling: SamplingConfig | None = None) -> None:
        if not len(samples):
            raise DataError("training needs at least 1 cloud, got 0: generate more scenes")
        self.in_memory: CloudSamples | None = samples
        self.categories, self.has_images = samples.categories, samples.images is not None
        self.counts: IndexArray = np.bincount(samples.category_index, minlength=len(samples.categories))
        self._samples, self._seed, self._sampling = samples, seed, sampling or SamplingConfig()
        self._sampling.compute_category_weights(samples.categories)  # raises here rather than at the first batch
        # Two epochs are cached, because a batch may contain the end of one and the start of the next.
        self._epoch_order = lru_cache(maxsize=2)(self._draw_epoch_order)

    def fetch(self, positions: Sequence[int]) -> tuple[CloudSamples, IndexArray]:
        """Return the clouds at B positions and their indices; see ``CloudSource``."""
        # Epoch e has the positions from e S to e S + S - 1, with S stored clouds.
        places = [divmod(position, len(self._samples)) for position in positions]
        rows = np.array([self._epoch_order(epoch)[offset] for epoch, offset in places], dtype=np.int64)
        return self._samples.select(rows), rows

    def _draw_epoch_order(self, epoch: int) -> IndexArray:
        """Draw the cloud indices of an epoch in their order."""
        samples = self._samples
        metadata = SampleMetadata(samples.category_index, samples.T_camera_object, samples.handle_visible)
        rng = np.random.default_rng([self._seed, epoch])
        return draw_sample_order(metadata, self.categories, self._sampling, rng)
