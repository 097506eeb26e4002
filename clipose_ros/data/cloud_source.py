"""Stored clouds in the order in which training takes them: the same in every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import Rows, SamplingConfig, Views, order
from clipose_ros.errors import DataError


class CloudSource(Protocol):
    """An endless sequence of stored clouds; a position in it gives the same cloud in every run.

    Attributes:
        categories: What the clouds are of.
        counts: ``(C,)`` stored clouds by category.
        has_images: Whether each comes with an image.
        held: All of them, where they are in memory.
    """

    categories: CategorySet
    counts: Rows
    has_images: bool
    held: CloudSamples | None

    def take(self, positions: Sequence[int]) -> tuple[CloudSamples, Rows]:
        """The clouds at some positions, and which of the stored ones each of them is.

        Raises:
            DataError: They cannot be read.
        """


class InMemory:
    """Clouds in memory as a source; as many as there are make an epoch, and each epoch has an order of its own.

    Args:
        samples: The clouds, at least one.
        seed: Decides all orders.
        sampling: What comes more often than its share.

    Raises:
        ConfigError: The sampling is on a category that there is not.
        DataError: There is no cloud.
    """

    def __init__(self, samples: CloudSamples, seed: int, sampling: SamplingConfig | None = None) -> None:
        if not len(samples):
            raise DataError("there is no cloud to train on: generate more scenes")
        self.held: CloudSamples | None = samples
        self.categories, self.has_images = samples.categories, samples.images is not None
        self.counts: Rows = np.bincount(samples.category_index, minlength=len(samples.categories))
        self._samples, self._seed, self._sampling = samples, seed, sampling or SamplingConfig()
        self._sampling.shares(samples.categories)
        self._order = lru_cache(maxsize=2)(self._draw_order)

    def take(self, positions: Sequence[int]) -> tuple[CloudSamples, Rows]:
        """As of ``CloudSource``."""
        places = [divmod(position, len(self._samples)) for position in positions]
        rows = np.array([self._order(epoch)[offset] for epoch, offset in places], dtype=np.int64)
        picked: dict[str, Any] = {spec.name: getattr(self._samples, spec.name) for spec in fields(self._samples)}
        for name, value in picked.items():
            if isinstance(value, np.ndarray):
                picked[name] = value[rows]
        return CloudSamples(**picked), rows

    def _draw_order(self, epoch: int) -> Rows:
        views = Views(self._samples.category_index, self._samples.T_camera_object, self._samples.handle_visible)
        return order(views, self.categories, self._sampling, np.random.default_rng([self._seed, epoch]))
