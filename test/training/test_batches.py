"""Training batches: determinism by step, balance, slices of ranks, and equality of memory and shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_source import InMemorySource
from clipose_ros.data.prompts import prompt_without_pose
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.stream import ShardStream
from clipose_ros.errors import ConfigError
from clipose_ros.training.batches import BatchSource
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.runtime.distributed import rank_and_size

STILL = {f"{name}_probability": 0.0 for name in ("scale", "taper", "tilt", "noise", "cut")} | {"roll_deg": 0.0}


def samples(per_category: tuple[int, ...] = (6, 1, 3, 2, 2, 4), points: int = 64) -> CloudSamples:
    """Clouds of categories that are not equally many."""
    rng = np.random.default_rng(0)
    index = np.repeat(np.arange(6), per_category)
    count = len(index)
    T = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    size = rng.uniform(0.05, 0.3, (count, 3)).astype(np.float32)
    cloud = rng.normal(size=(count, points, 3)).astype(np.float32)
    return CloudSamples(cloud, index, T, size, rng.random(count) < 0.5, np.ones(count, dtype=np.float32))


def config(**changes: Any) -> TrainConfig:
    return TrainConfig.from_mapping({"batch": 16, **changes})


def source(stored: CloudSamples | None = None, rank: int = 0, ranks: int = 1, **changes: Any) -> BatchSource:
    settings = config(**changes)
    return BatchSource(InMemorySource(stored or samples(), settings.seed), settings, rank, ranks)


def test_batch_depends_on_step_only() -> None:
    first, second = source(), source()
    first.at(3)
    one, other = first.at(7), second.at(7)
    assert torch.equal(one.points, other.points) and torch.equal(one.truth.R, other.truth.R)
    assert not torch.equal(one.points, first.at(8).points)
    assert not torch.equal(one.points, source(seed=1).at(7).points)


def test_categories_are_balanced() -> None:
    counts = torch.bincount(source(batch=1800).at(0).category, minlength=6)
    assert counts.tolist() == [300] * 6


def test_x_axis_is_determined_only_if_visible() -> None:
    batch = source(batch=200, augment=STILL).at(0)
    axial = torch.tensor([c.symmetry.axial_y for c in NOCS_CATEGORIES])[batch.category]
    visible = torch.from_numpy(samples().handle_visible)[batch.rows]
    assert torch.equal(batch.truth.x_determined, visible & ~axial) and batch.truth.x_determined.any()


def test_rows_are_indices_of_stored_clouds() -> None:
    stored, batch = samples(), source(augment=STILL).at(5)
    for row, points in zip(batch.rows.tolist(), batch.points.numpy(), strict=True):
        np.testing.assert_allclose(np.sort(points, axis=0), np.sort(stored.points[row], axis=0), atol=1e-5)


@pytest.mark.parametrize("streamed", [False, True])
def test_slices_of_ranks_concatenate_to_joint_batch(
    seen_samples: CloudSamples, seen_shards: Path, tiny_clip: str, streamed: bool
) -> None:
    settings = config(batch=6, seed=3, clip_loss={"cloud_image": 1.0}, prompts={"pose": "random"})

    def at(rank: int, ranks: int) -> Any:
        clouds = ShardStream(seen_shards, seed=3, window=2) if streamed else InMemorySource(seen_samples, 3)
        return BatchSource(clouds, settings, rank, ranks).at(7)

    assert rank_and_size() == (0, 1)
    joint, parts = at(0, 1), [at(rank, 3) for rank in range(3)]
    for name in ("points", "category", "rows", "images"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(joint, name)), name
    for name in ("R", "t", "size", "x_determined"):
        assert torch.equal(torch.cat([getattr(part.truth, name) for part in parts]), getattr(joint.truth, name)), name
    assert sum((part.texts for part in parts), ()) == joint.texts and len(set(joint.texts)) == 6
    assert len(set(joint.rows.tolist())) == 6, "no two processes have a cloud in common"
    with pytest.raises(ConfigError, match="multiple of the 4 processes"):
        at(0, 4)


def test_streamed_batches_equal_batches_from_memory(seen_samples: CloudSamples, seen_shards: Path) -> None:
    settings = config(batch=6, augment=STILL, clip_loss={"cloud_text": 1.0}, prompts={"pose": "true", "decimals": 1})
    held = {row: n for n, row in enumerate(range(len(seen_samples)))}
    whole = BatchSource(InMemorySource(seen_samples, 0), settings)
    texts = {}
    for step in range(4):
        batch = whole.at(step)
        texts |= dict(zip(batch.rows.tolist(), batch.texts, strict=True))
    streamed = BatchSource(ShardStream(seen_shards, seed=0), settings).at(0)
    for place, row in enumerate(streamed.rows.tolist()):
        np.testing.assert_allclose(
            np.sort(streamed.points[place], axis=0), np.sort(seen_samples.points[held[row]], axis=0), atol=1e-6
        )
        assert streamed.category[place] == seen_samples.category_index[row]
        assert streamed.texts[place] == texts[row]


def test_batches_have_texts_only_if_recipe_uses_clip(seen_samples: CloudSamples) -> None:
    assert source(seen_samples).at(0).texts == ()
    batch = source(seen_samples, clip_loss={"cloud_text": 1.0}).at(0)
    assert batch.texts == tuple(prompt_without_pose(NOCS_CATEGORIES.names[kind]) for kind in batch.category.tolist())


def test_missing_images_raise_error_with_remedy() -> None:
    with pytest.raises(ConfigError, match=r"--image-size.*clip_loss\.cloud_image=0"):
        source(clip_loss={"cloud_image": 1.0})
