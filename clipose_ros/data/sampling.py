"""Category-balanced sampling: frequent categories are subsampled, rare ones oversampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clipose_ros.categories import CategorySet
from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError
from clipose_ros.types import BoolArray, FloatArray

IndexArray = NDArray[np.int64]

MAX_WEIGHT = 100
"""Largest weight of a category or a sample."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleMetadata:
    """Category, pose and handle visibility of S samples, from which sampling weights are computed.

    Attributes:
        category_index: ``(S,)`` int64, index into the category set.
        T_camera_object: ``(S, 4, 4)`` float32 object poses, metres.
        handle_visible: ``(S,)`` bool, false for a mug whose handle is hidden.
    """

    category_index: IndexArray
    T_camera_object: FloatArray
    handle_visible: BoolArray


@dataclass(frozen=True)
class SamplingConfig(ConfigNode):
    """Sampling weights of categories and viewpoints. By default all categories are sampled equally often."""

    categories: tuple[str, ...] = option((), "Weights of single categories, as NAME:WEIGHT; all others have weight 1.")
    below_view_weight: int = option(
        1,
        "Weight, within its category, of a cloud seen from below the object's xz plane; not applied to categories "
        "symmetric about that plane.",
        low=1,
        high=MAX_WEIGHT,
    )
    visible_handle_weight: int = option(
        1, "Weight, within its category, of a mug with a visible handle.", low=1, high=MAX_WEIGHT
    )

    def compute_category_weights(self, categories: CategorySet) -> IndexArray:
        """Return the sampling weight of each category, ``(C,)``.

        Raises:
            ConfigError: An entry names an unknown category or an invalid weight, or a category is named twice.
        """
        weights: dict[int, int] = {}
        for entry in self.categories:
            name, _, weight = entry.rpartition(":")
            if not (weight.isdecimal() and 1 <= int(weight) <= MAX_WEIGHT):
                raise ConfigError(
                    f"'sampling.categories' expects entries such as 'mug:2' with weights from 1 to {MAX_WEIGHT}, "
                    f"got '{entry}'"
                )
            if (index := categories.index(name)) in weights:
                raise ConfigError(f"'sampling.categories' names '{name}' twice: remove one entry")
            weights[index] = int(weight)
        return np.array([weights.get(index, 1) for index in range(len(categories))])

    def compute_sample_weights(self, metadata: SampleMetadata, categories: CategorySet) -> IndexArray:
        """Return the sampling weight of each sample within its category, ``(S,)``."""
        mirrored = np.array([category.symmetry.mirror_xz for category in categories], dtype=bool)
        # The camera is below the xz plane if the object's y axis points away from it: y . t > 0.
        y_axis, position = metadata.T_camera_object[:, :3, 1], metadata.T_camera_object[:, :3, 3]
        below = np.einsum("si,si->s", y_axis, position) > 0.0
        weights = np.where(below & ~mirrored[metadata.category_index], self.below_view_weight, 1)
        weights = weights * np.where(metadata.handle_visible, self.visible_handle_weight, 1)
        return weights.astype(np.int64)


def draw_sample_order(
    metadata: SampleMetadata, categories: CategorySet, sampling: SamplingConfig, rng: np.random.Generator
) -> IndexArray:
    """Draw S sample indices in random order, with every category as often as its weight.

    If the weights of the categories present sum to n, each block of n indices holds every category exactly as often as
    its weight. Within a category, each sample is repeated as often as its weight, the repetitions are shuffled, and the
    shuffled list is repeated until the category's places are filled. Categories with more samples than places are
    subsampled, those with fewer are oversampled.

    Args:
        metadata: Category, pose and handle visibility of the S samples.
        categories: Category set of the samples.
        sampling: Category and sample weights.
        rng: Random generator of the order.

    Returns:
        ``(S,)`` sample indices.
    """
    category_index, weights = metadata.category_index, sampling.compute_sample_weights(metadata, categories)
    present = np.unique(category_index)
    block = np.repeat(present, sampling.compute_category_weights(categories)[present])
    blocks = -(-len(category_index) // len(block))
    # Each block is permuted on its own, so that every block is balanced.
    drawn = rng.permuted(np.tile(block, (blocks, 1)), axis=1)
    order = np.empty_like(drawn)
    for category in present:
        # np.resize repeats or truncates the shuffled list to the number of places.
        members, places = np.flatnonzero(category_index == category), drawn == category
        order[places] = np.resize(rng.permutation(np.repeat(members, weights[members])), np.count_nonzero(places))
    return order.reshape(-1)[: len(category_index)]
