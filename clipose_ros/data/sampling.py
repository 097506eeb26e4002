"""What training sees more often than its share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError
from clipose_ros.types import BoolArray, FloatArray

Rows = NDArray[np.int64]

MOST = 100
"""The most times that anything comes as often as others."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """From where S objects were seen; attributes as of ``CloudSamples``."""

    category_index: Rows
    T_camera_object: FloatArray
    handle_visible: BoolArray


@dataclass(frozen=True)
class SamplingConfig(ConfigNode):
    """Which clouds come how many times as often as others. By default every category comes equally often."""

    categories: tuple[str, ...] = option((), "Categories that come more often than the others, as NAME:TIMES.")
    from_below: int = option(
        1,
        "How many times as often as others of its category a cloud comes that was seen from below the object's own xz "
        "plane; not where the category looks alike from both sides.",
        low=1,
        high=MOST,
    )
    handle_in_sight: int = option(
        1, "How many times as often as others of its category a mug comes whose handle is in sight.", low=1, high=MOST
    )

    def shares(self, categories: CategorySet) -> Rows:
        """How many times as often each category comes, ``(C,)``.

        Raises:
            ConfigError: An entry names no category of these, or no number of times.
        """
        times: dict[int, int] = {}
        for entry in self.categories:
            name, _, count = entry.rpartition(":")
            if not (count.isdecimal() and 1 <= int(count) <= MOST):
                raise ConfigError(
                    f"'sampling.categories' needs entries like 'mug:2', from 1 to {MOST} times, got '{entry}'"
                )
            if (place := categories.index(name)) in times:
                raise ConfigError(f"'sampling.categories' names '{name}' twice: leave one out")
            times[place] = int(count)
        return np.array([times.get(place, 1) for place in range(len(categories))])

    def copies(self, views: Views, categories: CategorySet) -> Rows:
        """How many times as often as others of its category each cloud comes, ``(S,)``."""
        alike = np.array([category.symmetry.mirror_xz for category in categories], dtype=bool)[views.category_index]
        below = np.einsum("si,si->s", views.T_camera_object[:, :3, 1], views.T_camera_object[:, :3, 3]) > 0.0
        copies = np.where(below & ~alike, self.from_below, 1) * np.where(views.handle_visible, self.handle_in_sight, 1)
        return copies.astype(np.int64)


def order(views: Views, categories: CategorySet, sampling: SamplingConfig, rng: np.random.Generator) -> Rows:
    """As many rows as there are, in a random order that has every category its share of times.

    Where the shares of the categories that are there add up to n, every n rows hold each category as often as its
    share. A category's rows come one after the other, each as often as it has copies, and from the first again when
    they are used up; of a category with more rows than its share some do not come.

    Args:
        views: Of the clouds to put in order.
        categories: What they are of.
        sampling: The shares and copies.
        rng: Draws the order.
    """
    kinds, copies = views.category_index, sampling.copies(views, categories)
    present = np.unique(kinds)
    dealt = np.repeat(present, sampling.shares(categories)[present])
    rounds = -(-len(kinds) // len(dealt))
    drawn = rng.permuted(np.tile(dealt, (rounds, 1)), axis=1)
    rows = np.empty_like(drawn)
    for kind in present:
        own = np.flatnonzero(kinds == kind)
        rows[drawn == kind] = np.resize(rng.permutation(np.repeat(own, copies[own])), np.count_nonzero(drawn == kind))
    return rows.reshape(-1)[: len(kinds)]
