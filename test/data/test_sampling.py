"""Sampling order: frequencies of categories and of samples within a category."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.sampling import SampleMetadata, SamplingConfig, draw_sample_order
from clipose_ros.errors import ConfigError

NAMES = NOCS_CATEGORIES.names


def make_metadata(
    kinds: list[int], below: list[bool] | None = None, handle: list[bool] | None = None
) -> SampleMetadata:
    """Return metadata of objects at 1 m; their y axes point away from a camera that is below them."""
    T = np.tile(np.eye(4, dtype=np.float32), (len(kinds), 1, 1))
    away = np.array(below or [False] * len(kinds))
    T[:, :3, 1] = np.where(away[:, None], [0.0, 0.6, 0.8], [0.0, 0.6, -0.8])
    T[:, :3, 3] = [0.0, 0.0, 1.0]
    return SampleMetadata(np.array(kinds), T, np.array(handle or [True] * len(kinds)))


def draw_order(metadata: SampleMetadata, sampling: SamplingConfig, seed: int = 0) -> np.ndarray:
    return draw_sample_order(metadata, NOCS_CATEGORIES, sampling, np.random.default_rng(seed))


@given(kinds=st.lists(st.integers(0, 5), min_size=1, max_size=60), seed=st.integers(0, 99), weight=st.integers(1, 4))
def test_order_contains_categories_in_proportion_to_their_weights(kinds: list[int], seed: int, weight: int) -> None:
    array, sampling = np.array(kinds), SamplingConfig(categories=(f"camera:{weight}",))
    rows = draw_order(make_metadata(kinds), sampling, seed)
    assert len(rows) == len(kinds)
    expected = Counter({kind: weight if NAMES[kind] == "camera" else 1 for kind in set(kinds)})
    together = expected.total()
    for start in range(0, len(kinds) - together + 1, together):
        assert Counter(array[rows[start : start + together]].tolist()) == expected
    for kind in set(kinds):
        each = Counter(rows[array[rows] == kind].tolist()).values()
        assert max(each, default=0) - (min(each) if len(each) == kinds.count(kind) else 0) <= 1, "samples take turns"


@given(seed=st.integers(0, 99))
def test_order_contains_samples_in_proportion_to_their_weights(seed: int) -> None:
    mug, can = NAMES.index("mug"), NAMES.index("can")
    metadata = make_metadata(
        [mug] * 4 + [can] * 2, [True, True, False, False, True, False], [True, False, True, False, True, True]
    )
    sampling = SamplingConfig(below_view_weight=3, visible_handle_weight=2)
    assert sampling.compute_sample_weights(metadata, NOCS_CATEGORIES).tolist() == [6, 3, 2, 1, 2, 2], (
        "a can is symmetric about its xz plane"
    )
    many = SampleMetadata(
        *(
            np.tile(getattr(metadata, n), (20,) + (1,) * (getattr(metadata, n).ndim - 1))
            for n in SampleMetadata.__slots__
        )
    )
    counts = Counter((draw_order(many, sampling, seed) % 6).tolist())
    assert sum(counts[i] for i in range(4)) == 60
    assert all(abs(counts[i] - share) <= 20 for i, share in enumerate([30, 15, 10, 5]))
    assert counts[0] > counts[1] > counts[3]


@pytest.mark.parametrize("entry", ["mug", "mug:", "mug:0", "mug:-1", "mug:1.5", "mug:101", "cup:2"])
def test_invalid_category_weight_raises(entry: str) -> None:
    with pytest.raises(ConfigError, match=entry.split(":")[0]):
        SamplingConfig(categories=(entry,)).compute_category_weights(NOCS_CATEGORIES)


def test_repeated_category_weight_raises() -> None:
    with pytest.raises(ConfigError, match="twice"):
        SamplingConfig(categories=("mug:2", "mug:3")).compute_category_weights(NOCS_CATEGORIES)
