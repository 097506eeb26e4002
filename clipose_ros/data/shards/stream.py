"""Training clouds streamed from shards, keyed by position: the same in every run, with nothing to save.

Every epoch has its own order of the shards. So many shards in turn are a window, and each window has its own order of
clouds, in which every category comes its share of times. All orders follow from seed, epoch and window, and the
manifests tell how many clouds each shard has: where the n-th cloud of the endless sequence lies can be said without
reading any before it, and one window in memory, still encoded, is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from clipose_ros.data.cloud_sample import stacked
from clipose_ros.data.cloud_source import CloudSource, InMemory
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import Rows, SamplingConfig, order
from clipose_ros.data.shards.codec import Encoded, decoded, views_of
from clipose_ros.data.shards.manifest import is_folder, load_clouds, read_encoded, read_manifests
from clipose_ros.errors import ConfigError

WINDOW = 8
"""Shards of a window."""


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """Where a cloud lies in the stream.

    Attributes:
        epoch: Passes over all shards before it.
        window: Windows of the epoch before its own.
        offset: Clouds of the window before it, in the window's order.
    """

    epoch: int
    window: int
    offset: int


@dataclass(frozen=True, slots=True)
class _Window:
    """The clouds of a window in its order, still encoded, and which of all stored ones they are."""

    place: tuple[int, int]
    clouds: list[Encoded]
    rows: Rows


class ShardStream:
    """A ``CloudSource`` of shards that holds a window of them at a time.

    A window gives as many clouds as it has. Of a category with more than its share there some do not come, of one with
    less some come again; the next epoch mixes other shards. Steps that go on by one read each shard once an epoch.

    Args:
        sources: Folders of shards, paths or URLs.
        seed: Decides all orders.
        window: Shards held and mixed at a time: more mix better and take more memory.
        images: Whether to keep images, where the shards have some.
        sampling: What comes more often than its share.

    Raises:
        ConfigError: There is no source, the window is out of bounds, or the sampling is on a category that there is
            not.
        DataError: As of ``read_manifests``.
    """

    held: CloudSamples | None = None

    def __init__(
        self,
        *sources: str | Path,
        seed: int,
        window: int = WINDOW,
        images: bool = True,
        sampling: SamplingConfig | None = None,
    ) -> None:
        if window < 1 or not sources:
            raise ConfigError(f"a stream needs a source and a window of at least 1, got {len(sources)} and {window}")
        manifests = read_manifests(sources)
        self.categories = manifests[0].categories
        self._shards = [(s, shard) for s, m in zip(sources, manifests, strict=True) for shard in m.shards]
        self._sizes = np.array([shard.samples for _, shard in self._shards])
        self._first = np.cumsum(self._sizes) - self._sizes
        names = self.categories.names
        self.counts: Rows = np.array([sum(shard.counts.get(name, 0) for _, shard in self._shards) for name in names])
        self.has_images = images and all(m.made_by.get("image_side", 0) for m in manifests)
        self._seed, self._window, self._sampling = seed, window, sampling or SamplingConfig()
        self._sampling.shares(self.categories)
        self._layout = lru_cache(maxsize=2)(self._lay_out)
        self._at_hand: _Window | None = None

    def __len__(self) -> int:
        """Clouds of an epoch."""
        return int(self._sizes.sum())

    def take(self, positions: Sequence[int]) -> tuple[CloudSamples, Rows]:
        """As of ``CloudSource``."""
        clouds, rows = zip(*(self._stored(self.place(position)) for position in positions), strict=True)
        return stacked([decoded(cloud) for cloud in clouds], self.categories), np.array(rows)

    def place(self, position: int) -> StreamPlace:
        """Where the cloud at a position of the endless sequence lies."""
        epoch, rest = divmod(position, len(self))
        _, ends = self._layout(epoch)
        window = int(np.searchsorted(ends, rest, side="right"))
        return StreamPlace(epoch, window, rest - int(ends[window - 1] if window else 0))

    def _lay_out(self, epoch: int) -> tuple[list[Rows], Rows]:
        """Which shards make up each window of an epoch, and how many clouds the windows hold, added up."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._shards))
        windows = [order[i : i + self._window] for i in range(0, len(order), self._window)]
        return windows, np.cumsum([self._sizes[shards].sum() for shards in windows])

    def _stored(self, place: StreamPlace) -> tuple[Encoded, int]:
        """The cloud at a place, from the window at hand or a new one, and which of all it is."""
        key = (place.epoch, place.window)
        if self._at_hand is None or self._at_hand.place != key:
            self._at_hand = None  # two windows are never held at once
            self._at_hand = self._read(*key)
        return self._at_hand.clouds[place.offset], int(self._at_hand.rows[place.offset])

    def _read(self, epoch: int, window: int) -> _Window:
        """A window, in its order."""
        chosen = self._layout(epoch)[0][window]
        clouds = [cloud for i in chosen for cloud in read_encoded(*self._shards[i])]
        if not self.has_images:
            clouds = [{name: data for name, data in cloud.items() if name != "image.png"} for cloud in clouds]
        rows = np.concatenate([self._first[i] + np.arange(self._sizes[i]) for i in chosen])
        # windows count from 1 here: trailing zeros of a seed are not told apart
        rng = np.random.default_rng([self._seed, epoch, 1 + window])
        taken = order(views_of(clouds, self.categories), self.categories, self._sampling, rng)
        return _Window((epoch, window), [clouds[i] for i in taken], rows[taken])


def open_clouds(*paths: str | Path, seed: int, images: bool, sampling: SamplingConfig | None = None) -> CloudSource:
    """Clouds to train on: streamed from folders of shards; read into memory where ``.npz`` files are among them.

    Args:
        paths: ``.npz`` files, and folders of shards, paths or URLs.
        seed: Decides the order.
        images: Whether images are wanted.
        sampling: What comes more often than its share.

    Raises:
        DataError: One is missing or malformed, or of other categories than the others.
    """
    if all(is_folder(path) for path in paths):
        return ShardStream(*paths, seed=seed, images=images, sampling=sampling)
    return InMemory(load_clouds(*paths), seed, sampling)
