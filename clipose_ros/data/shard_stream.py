"""Training clouds streamed from shards, keyed by step: step n gives the same batch in every run, with nothing to save.

Every epoch has its own order of the shards. So many shards in turn are a window, and each window has its own order of
clouds. All orders follow from seed, epoch and window, and the manifests tell how many clouds each shard has: where the
n-th cloud of the endless sequence lies can be said without reading any before it, and one window in memory is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clipose_ros.data.cloud_sample import stacked
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shard_codec import Encoded, decoded
from clipose_ros.data.shards import read_encoded, read_manifests
from clipose_ros.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """Where a cloud lies in the stream.

    Attributes:
        epoch: Passes over all clouds before it.
        window: Windows of the epoch before its own.
        offset: Clouds of the window before it, in the window's order.
    """

    epoch: int
    window: int
    offset: int


class ShardStream:
    """Batches of stored clouds from shards, for one of several readers. Order and share depend on its arguments alone.

    Position p of the endless sequence belongs to reader ``p % readers``: the readers never share a cloud, together they
    miss none, and none is ahead. Every reader reads every shard, but decodes its own clouds alone.

    Args:
        sources: Folders of shards, paths or URLs.
        batch: Clouds per batch and reader.
        seed: Decides all orders.
        window: Shards held, encoded, and mixed at a time: more mix better and take more memory.
        reader: Which of the readers this is: the rank, or a worker of it.
        readers: How many there are.

    Raises:
        ConfigError: A number is out of bounds.
        DataError: As of ``read_manifests``.
    """

    def __init__(
        self, *sources: str | Path, batch: int, seed: int, window: int = 8, reader: int = 0, readers: int = 1
    ) -> None:
        if batch < 1 or window < 1 or not sources or not 0 <= reader < readers:
            raise ConfigError(
                "a stream needs a source, batch and window of at least 1 and a reader below the number of readers; got "
                f"{len(sources)} sources, batch {batch}, window {window}, reader {reader} of {readers}"
            )
        manifests = read_manifests(sources)
        self.categories = manifests[0].categories
        self._shards = [(s, shard) for s, m in zip(sources, manifests, strict=True) for shard in m.shards]
        self._counts = np.array([shard.samples for _, shard in self._shards])
        self._batch, self._seed, self._window, self._reader, self._readers = batch, seed, window, reader, readers
        self._layout = lru_cache(maxsize=2)(self._lay_out)
        self._held: tuple[tuple[int, int], list[Encoded]] | None = None

    def __len__(self) -> int:
        """Clouds of an epoch, of all readers together."""
        return int(self._counts.sum())

    def at(self, step: int) -> CloudSamples:
        """The batch of a step; stepping on by one reads each window once.

        Raises:
            DataError: A shard is missing or damaged.
        """
        first = step * self._batch
        positions = (self._reader + self._readers * n for n in range(first, first + self._batch))
        return stacked([decoded(self._encoded(self.place(p))) for p in positions], self.categories)

    def place(self, position: int) -> StreamPlace:
        """Where the cloud at a position of the endless sequence lies."""
        epoch, rest = divmod(position, len(self))
        _, ends = self._layout(epoch)
        window = int(np.searchsorted(ends, rest, side="right"))
        return StreamPlace(epoch, window, rest - int(ends[window - 1] if window else 0))

    def _lay_out(self, epoch: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
        """Which shards make up each window of an epoch, and how many clouds the windows hold, added up."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._shards))
        windows = [order[i : i + self._window] for i in range(0, len(order), self._window)]
        return windows, np.cumsum([self._counts[shards].sum() for shards in windows])

    def _encoded(self, place: StreamPlace) -> Encoded:
        """The cloud at a place, from the window at hand or a new one."""
        key = (place.epoch, place.window)
        if self._held is None or self._held[0] != key:
            self._held = None  # two windows are never held at once
            chosen = self._layout(place.epoch)[0][place.window]
            clouds = [cloud for i in chosen for cloud in read_encoded(*self._shards[i])]
            # windows count from 1 here: trailing zeros of a seed are not told apart
            order = np.random.default_rng([self._seed, place.epoch, 1 + place.window]).permutation(len(clouds))
            self._held = key, [clouds[i] for i in order]
        return self._held[1][place.offset]
