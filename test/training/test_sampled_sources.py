"""Weighted sampling of clouds from memory and from shards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.data.cloud_source import InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import SampleMetadata, SamplingConfig
from clipose_ros.data.shards.stream import ShardStream, open_clouds
from clipose_ros.errors import ConfigError
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.trainer import Trainer

WEIGHTED = SamplingConfig(categories=("mug:3",), below_view_weight=9)


def share_of_mugs(source: InMemorySource | ShardStream, stored: CloudSamples) -> float:
    """In a whole turn."""
    samples, _ = source.fetch(range(len(stored)))
    return float(np.mean(samples.category_index == stored.categories.index("mug")))


@pytest.mark.parametrize("streamed", [False, True])
def test_both_sources_apply_sampling_config(streamed: bool, seen_samples: CloudSamples, seen_shards: Path) -> None:
    def source(sampling: SamplingConfig) -> InMemorySource | ShardStream:
        if streamed:
            return ShardStream(seen_shards, seed=0, window=99, sampling=sampling)
        return InMemorySource(seen_samples, 0, sampling)

    kinds = len(set(seen_samples.category_index.tolist()))
    assert share_of_mugs(source(WEIGHTED), seen_samples) == pytest.approx(3 / (kinds + 2), abs=0.1)
    assert share_of_mugs(source(SamplingConfig()), seen_samples) == pytest.approx(1 / kinds, abs=0.1)
    with pytest.raises(ConfigError, match="cup"):
        source(SamplingConfig(categories=("cup:2",)))


@pytest.mark.parametrize("streamed", [False, True])
def test_views_from_below_are_oversampled(streamed: bool, seen_samples: CloudSamples, seen_shards: Path) -> None:
    views = SampleMetadata(seen_samples.category_index, seen_samples.T_camera_object, seen_samples.handle_visible)
    below = WEIGHTED.compute_sample_weights(views, seen_samples.categories) > 1
    assert 0 < below.sum() < len(below), "some are, some are not"

    def seen_below(sampling: SamplingConfig) -> int:
        clouds = ShardStream(seen_shards, seed=0, sampling=sampling) if streamed else None
        _, rows = (clouds or InMemorySource(seen_samples, 0, sampling)).fetch(range(20 * len(below)))
        drawn = Counter(rows.tolist())
        return sum(count for row, count in drawn.items() if below[row])

    assert seen_below(WEIGHTED) > 1.2 * seen_below(SamplingConfig(categories=("mug:3",)))


@pytest.mark.parametrize("held", [False, True])
def test_trainer_passes_sampling_config_to_source(
    held: bool, seen_samples: CloudSamples, seen_shards: Path, tmp_path: Path
) -> None:
    config = TrainConfig(preset="clipose_tiny", batch=len(seen_samples), sampling=WEIGHTED, tensorboard=False)
    clouds = seen_samples if held else open_clouds(seen_shards, seed=0, images=False, sampling=config.sampling)
    trainer = Trainer(config, seen_samples.categories, clouds, seen_samples, tmp_path)
    mugs = (trainer.data.batches.at(0).category == seen_samples.categories.index("mug")).float().mean()
    assert mugs == pytest.approx(3 / (len(set(seen_samples.category_index.tolist())) + 2), abs=0.1)
