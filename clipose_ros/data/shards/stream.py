"""Training clouds streamed from shards. Every position of the stream holds the same cloud in every run.

Each epoch permutes the shards and groups them into windows of a fixed number of shards. The clouds of a window are
sampled in a category-balanced random order. All orders depend on seed, epoch and window only, and the manifests hold
the number of clouds of each shard. The place of the n-th cloud is therefore computed without reading earlier shards,
resuming needs no stored state, and only one window is kept in memory, still encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipose_ros.data.cloud_source import CloudSource, InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import IndexArray, SamplingConfig, draw_sample_order
from clipose_ros.data.shards.codec import EncodedCloud, decode_clouds, decode_metadata
from clipose_ros.data.shards.reader import load_clouds, read_encoded, read_manifests
from clipose_ros.data.shards.urls import is_folder
from clipose_ros.errors import ConfigError

WINDOW = 8
"""Default number of shards in a window."""


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """Location of a cloud in the stream.

    Attributes:
        epoch: Index of the epoch.
        window: Index of the window within the epoch.
        offset: Index of the cloud in the sampled order of the window.
    """

    epoch: int
    window: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Window:
    """A window in memory.

    Attributes:
        key: Epoch and index of the window.
        clouds: Encoded clouds in sampled order.
        rows: ``(N,)`` indices of these clouds among all stored clouds.
    """

    key: tuple[int, int]
    clouds: list[EncodedCloud]
    rows: IndexArray


class _EpochWindows(NamedTuple):
    """Windows of an epoch in their order.

    Attributes:
        shards: Shard indices of each window.
        ends: ``(W,)`` number of clouds up to the end of each window.
    """

    shards: list[IndexArray]
    ends: IndexArray


class ShardStream:
    """A ``CloudSource`` that streams shards and keeps one window of them in memory.

    A window yields as many clouds as it contains: frequent categories are subsampled, rare ones oversampled. Each epoch
    combines other shards. Reading positions in ascending order reads each shard once an epoch.

    Args:
        sources: Folders of shards, paths or URLs.
        seed: Seed of all orders.
        window: Number of shards in a window. Larger windows mix better and need more memory.
        images: Keep the images of shards that have them.
        sampling: Sampling weights; equal weights if left out.

    Raises:
        ConfigError: There is no source, ``window`` is less than 1, or ``sampling`` names an unknown category.
        DataError: A manifest is missing or unusable; see ``read_manifests``.
    """

    in_memory: CloudSamples | None = None

    def __init__(
        self,
        *sources: str | Path,
        seed: int,
        window: int = WINDOW,
        images: bool = True,
        sampling: SamplingConfig | None = None,
    ) -> None:
        if window < 1 or not sources:
            raise ConfigError(
                f"a stream needs at least 1 source and a window of at least 1 shard, got {len(sources)} sources and a "
                f"window of {window}"
            )
        manifests = read_manifests(sources)
        self.categories = manifests[0].categories
        self._shards = [(s, shard) for s, m in zip(sources, manifests, strict=True) for shard in m.shards]
        self._sizes = np.array([shard.samples for _, shard in self._shards])
        self._first = np.cumsum(self._sizes) - self._sizes
        names = self.categories.names
        counts = [sum(shard.counts.get(name, 0) for _, shard in self._shards) for name in names]
        self.counts: IndexArray = np.array(counts)
        self.has_images = images and all(m.made_by.get("image_side", 0) for m in manifests)
        self._seed, self._window, self._sampling = seed, window, sampling or SamplingConfig()
        # Invalid weights raise here rather than at the first batch.
        self._sampling.compute_category_weights(self.categories)
        self._epoch_windows = lru_cache(maxsize=2)(self._draw_epoch_windows)
        self._current: _Window | None = None

    def __len__(self) -> int:
        """Return the number of clouds in an epoch."""
        return int(self._sizes.sum())

    @property
    def buffered_clouds(self) -> int:
        """Return the number of clouds of the window in memory; 0 before the first read."""
        return 0 if self._current is None else len(self._current.clouds)

    def fetch(self, positions: Sequence[int]) -> tuple[CloudSamples, IndexArray]:
        """Return the clouds at B positions and their indices; see ``CloudSource``."""
        clouds, rows = zip(*(self._fetch_encoded(self.locate(position)) for position in positions), strict=True)
        return decode_clouds(clouds, self.categories), np.array(rows)

    def locate(self, position: int) -> StreamPlace:
        """Return the epoch, window and offset of a position of the endless sequence."""
        epoch, rest = divmod(position, len(self))
        ends = self._epoch_windows(epoch).ends
        # Windows differ in size, so the window is found by the cumulative number of clouds.
        window = int(np.searchsorted(ends, rest, side="right"))
        return StreamPlace(epoch, window, rest - int(ends[window - 1] if window else 0))

    def _draw_epoch_windows(self, epoch: int) -> _EpochWindows:
        """Draw the order of the shards of an epoch and group them into windows."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._shards))
        windows = [order[i : i + self._window] for i in range(0, len(order), self._window)]
        return _EpochWindows(windows, np.cumsum([self._sizes[shards].sum() for shards in windows]))

    def _fetch_encoded(self, place: StreamPlace) -> tuple[EncodedCloud, int]:
        """Return the encoded cloud at a place and its index among all stored clouds."""
        key = (place.epoch, place.window)
        if self._current is None or self._current.key != key:
            self._current = None  # free the memory before the next window is read
            self._current = self._read_window(*key)
        return self._current.clouds[place.offset], int(self._current.rows[place.offset])

    def _read_window(self, epoch: int, window: int) -> _Window:
        """Read the shards of a window and sample their clouds."""
        chosen = self._epoch_windows(epoch).shards[window]
        clouds = [cloud for i in chosen for cloud in read_encoded(*self._shards[i])]
        # Encoded images are the largest part of a cloud and are dropped before the window is stored.
        if not self.has_images:
            clouds = [{name: data for name, data in cloud.items() if name != "image.png"} for cloud in clouds]
        rows = np.concatenate([self._first[i] + np.arange(self._sizes[i]) for i in chosen])
        # 1 + window: NumPy ignores trailing zeros of a seed, so window 0 would repeat the draws of [seed, epoch]
        rng = np.random.default_rng([self._seed, epoch, 1 + window])
        taken = draw_sample_order(decode_metadata(clouds, self.categories), self.categories, self._sampling, rng)
        return _Window((epoch, window), [clouds[i] for i in taken], rows[taken])


def open_clouds(*paths: str | Path, seed: int, images: bool, sampling: SamplingConfig | None = None) -> CloudSource:
    """Open training clouds. Folders of shards are streamed; if any path is a ``.npz`` file, all are read into memory.

    Args:
        paths: ``.npz`` files, and folders of shards, paths or URLs.
        seed: Seed of the order.
        images: Keep images when streaming.
        sampling: Sampling weights; equal weights if left out.

    Raises:
        DataError: A path is missing or malformed, or its categories differ from those of the others.
    """
    if all(is_folder(path) for path in paths):
        return ShardStream(*paths, seed=seed, images=images, sampling=sampling)
    return InMemorySource(load_clouds(*paths), seed, sampling)
