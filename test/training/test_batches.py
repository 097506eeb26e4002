"""Batches are keyed by step, balanced, and augmentation moves cloud and truth alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.training.batches import Batch, BatchSource, augment, cut, mirror, random_turns
from clipose_ros.training.config import AugmentConfig

ALWAYS = {"scale_probability": 1.0, "tilt_probability": 1.0}
STILL = AugmentConfig(0.0, tilt_probability=0.0, scale_probability=0.0, noise_probability=0.0, cut_probability=0.0)


def samples(per_category: tuple[int, ...] = (6, 1, 3, 2, 2, 4), points: int = 64) -> CloudSamples:
    """Clouds inside boxes of known pose: coordinates in the box are multiples of a sixteenth of its size."""
    rng = np.random.default_rng(0)
    index = np.repeat(np.arange(6), per_category)
    count = len(index)
    q, _ = np.linalg.qr(rng.normal(size=(count, 3, 3)))
    q[np.linalg.det(q) < 0] *= -1
    T = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    T[:, :3, :3], T[:, :3, 3] = q, rng.uniform(-0.3, 0.3, (count, 3)) + np.array([0, 0, 1])
    size = rng.uniform(0.05, 0.3, (count, 3)).astype(np.float32)
    local = rng.integers(-8, 9, (count, points, 3)) / 16 * size[:, None]
    cloud = np.einsum("bij,bnj->bni", T[:, :3, :3], local) + T[:, None, :3, 3]
    return CloudSamples(
        cloud.astype(np.float32), index, T, size, rng.random(count) < 0.5, np.ones(count, dtype=np.float32)
    )


def source(config: AugmentConfig, seed: int = 0, batch: int = 16) -> BatchSource:
    return BatchSource(samples(), NOCS_CATEGORIES, config, batch, seed)


def box_coordinates(batch: Batch) -> torch.Tensor:
    """Points as fractions of their box, ``(B, N, 3)``."""
    local = torch.einsum("bji,bnj->bni", batch.truth.R, batch.points - batch.truth.t.unsqueeze(1))
    return local / batch.truth.size.unsqueeze(1)


def test_a_step_gives_the_same_batch_whenever_it_is_asked_for() -> None:
    first, second = source(AugmentConfig()), source(AugmentConfig())
    first.at(3)
    one, other = first.at(7), second.at(7)
    assert torch.equal(one.points, other.points) and torch.equal(one.truth.R, other.truth.R)
    assert not torch.equal(one.points, first.at(8).points)
    assert not torch.equal(one.points, source(AugmentConfig(), seed=1).at(7).points)


def test_rare_categories_come_as_often_as_common_ones() -> None:
    counts = torch.bincount(source(STILL, batch=3000).at(0).category, minlength=6)
    assert counts.min() > 400 and counts.max() < 600


@given(step=st.integers(0, 10_000), tilt=st.floats(0, 180), roll=st.floats(0, 180))
@settings(max_examples=30, deadline=None)
def test_cloud_and_truth_move_together(step: int, tilt: float, roll: float) -> None:
    config = AugmentConfig(roll, tilt, noise_probability=0.0, cut_probability=0.0, **ALWAYS)
    batch = source(config).at(step)
    sixteenths = 16 * box_coordinates(batch)
    torch.testing.assert_close(sixteenths, sixteenths.round(), atol=2e-3, rtol=0)
    assert box_coordinates(batch).abs().max() <= 0.5 + 1e-3
    torch.testing.assert_close(batch.truth.R @ batch.truth.R.mT, torch.eye(3).expand(16, 3, 3), atol=1e-5, rtol=0)


def test_mirrored_views_show_objects_mirrored_by_their_own_plane() -> None:
    plain = source(STILL).at(2)
    chosen = torch.arange(16) % 2 == 0
    points, truth = mirror(plain.points, plain.truth, chosen)
    before, after = box_coordinates(plain), box_coordinates(replace(plain, points=points, truth=truth))
    signs = torch.where(chosen.unsqueeze(1), torch.tensor([1.0, 1.0, -1.0]), torch.ones(3)).unsqueeze(1)
    torch.testing.assert_close(after, signs * before, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(truth.R), torch.ones(16))
    torch.testing.assert_close(points[chosen, :, 0], -plain.points[chosen, :, 0])
    assert torch.equal(points[~chosen], plain.points[~chosen]) and torch.equal(truth.t[~chosen], plain.truth.t[~chosen])


def test_scaling_stays_in_its_bounds_and_keeps_round_things_round() -> None:
    plain, scaled = source(STILL).at(5), source(AugmentConfig(0.0, **{**ALWAYS, "tilt_probability": 0.0})).at(5)
    factors = scaled.truth.size / plain.truth.size
    axial = torch.tensor([c.symmetry.axial_y for c in NOCS_CATEGORIES])[plain.category]
    assert factors.min() >= 0.8 - 1e-6 and factors.max() <= 1.2 + 1e-6 and factors.std() > 0.05
    torch.testing.assert_close(factors[axial, 0], factors[axial, 2])


def test_turns_are_rotations_of_the_asked_size() -> None:
    turns = random_turns(
        200, AugmentConfig(0.0, 20.0), torch.ones(200, dtype=torch.bool), torch.Generator().manual_seed(0)
    )
    angles = torch.rad2deg(torch.arccos(((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    assert angles.max() <= 20.1 and angles.max() > 15.0


def test_a_cut_removes_one_side_and_repeats_the_other() -> None:
    points = torch.randn(8, 100, 3)
    chosen = torch.tensor([True] * 4 + [False] * 4)
    result = cut(points, chosen, 0.9, torch.Generator().manual_seed(1))
    for before, after, was_cut in zip(points, result, chosen, strict=True):
        left = {tuple(p) for p in after.tolist()}
        assert left <= {tuple(p) for p in before.tolist()}
        assert (len(left) < 100) == bool(was_cut)


def test_noise_has_the_asked_strength() -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = AugmentConfig(
        0.0, tilt_probability=0.0, scale_probability=0.0, noise_probability=1.0, noise_m=0.01, cut_probability=0.0
    )
    plain = source(STILL, batch=32).at(0)
    flat = Batch(torch.zeros_like(plain.points), plain.category, plain.truth, plain.rows)
    varied = augment(flat, torch.zeros(6, dtype=torch.bool), noisy, generator)
    assert varied.points.std().item() == pytest.approx(0.01, rel=0.05)


def test_the_x_axis_is_determined_only_where_it_can_be_seen() -> None:
    stored = samples()
    batch = source(STILL, batch=200).at(0)
    axial = torch.tensor([c.symmetry.axial_y for c in NOCS_CATEGORIES])[batch.category]
    assert not batch.truth.x_determined[axial].any()
    assert (
        stored.handle_visible.any()
        and batch.truth.x_determined[~axial].any()
        and not batch.truth.x_determined[~axial].all()
    )
