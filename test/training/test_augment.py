"""Augmentations compared with their definitions, and consistency of cloud and ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model import network
from clipose_ros.model.network import Architecture
from clipose_ros.training.augment import (
    AugmentationRules,
    BatchRng,
    add_noise,
    augment,
    cut,
    draw_rotations,
    mirror,
    rotate_clouds,
    scale_boxes,
    taper,
    to_camera_frame,
    to_object_frame,
)
from clipose_ros.training.config import AugmentConfig, TrainConfig
from clipose_ros.training.losses.pose import PoseTruth
from clipose_ros.training.trainer import Trainer

COUNT, POINTS = 16, 64
STILL = {"scale_probability": 0.0, "tilt_probability": 0.0, "noise_probability": 0.0, "cut_probability": 0.0,
         "taper_probability": 0.0, "roll_deg": 0.0}  # fmt: skip


def make_rng(seed: int = 0, count: int = COUNT) -> BatchRng:
    return BatchRng(seed, 0, count, slice(0, count))


def clouds(seed: int = 0) -> tuple[Tensor, PoseTruth]:
    """Clouds inside boxes of known pose: coordinates in the box are multiples of a sixteenth of its size."""
    rng = np.random.default_rng(seed)
    R, _ = np.linalg.qr(rng.normal(size=(COUNT, 3, 3)))
    R[np.linalg.det(R) < 0] *= -1
    t, size = rng.uniform(-0.3, 0.3, (COUNT, 3)) + np.array([0, 0, 1]), rng.uniform(0.05, 0.3, (COUNT, 3))
    values = (torch.from_numpy(value).float() for value in (R, t, size))
    truth = PoseTruth(*values, torch.ones(COUNT, dtype=torch.bool))
    sixteenths = torch.from_numpy(rng.integers(-8, 9, (COUNT, POINTS, 3)) / 16).float()
    return to_camera_frame(sixteenths * truth.size.unsqueeze(1), truth), truth


def box_coordinates(points: Tensor, truth: PoseTruth) -> Tensor:
    """Points as fractions of their box."""
    return to_object_frame(points, truth) / truth.size.unsqueeze(1)


AXIAL = torch.arange(COUNT) % 2 == 0
NONE, ALL = torch.zeros(COUNT, dtype=torch.bool), torch.ones(COUNT, dtype=torch.bool)


@given(seed=st.integers(0, 10_000), tilt=st.floats(0, 180), roll=st.floats(0, 180), mirrored=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_augmentation_transforms_cloud_and_truth_consistently(
    seed: int, tilt: float, roll: float, mirrored: float
) -> None:
    changes = {"roll_deg": roll, "tilt_deg": tilt, "scale_probability": 1.0, "tilt_probability": 1.0}
    config = AugmentConfig.from_mapping({**STILL, **changes, "mirror_probability": mirrored})
    points, truth = augment(*clouds(seed), AugmentationRules(AXIAL, ALL, ALL), config, make_rng(seed))
    sixteenths = 16 * box_coordinates(points, truth)
    torch.testing.assert_close(sixteenths, sixteenths.round(), atol=2e-3, rtol=0)
    assert sixteenths.abs().max() <= 8 + 1e-2
    torch.testing.assert_close(truth.R @ truth.R.mT, torch.eye(3).expand(COUNT, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(truth.R), torch.ones(COUNT))


def test_augmentation_with_zero_probabilities_only_permutes_points() -> None:
    points, truth = clouds()
    same, still = augment(
        points, truth, AugmentationRules(AXIAL, ALL, ALL), AugmentConfig.from_mapping(STILL), make_rng()
    )
    torch.testing.assert_close(same.sort(dim=1).values, points.sort(dim=1).values, atol=1e-6, rtol=0)
    for name in ("R", "t", "size"):
        torch.testing.assert_close(getattr(still, name), getattr(truth, name), atol=1e-6, rtol=0)
    assert not torch.equal(same, points)


def test_slice_is_augmented_as_in_whole_batch() -> None:
    points, truth = clouds()
    config = AugmentConfig(mirror_probability=0.5)
    whole, moved = augment(points, truth, AugmentationRules(AXIAL, ALL, ALL), config, make_rng())
    for own in (slice(0, 4), slice(4, 16)):
        part = PoseTruth(truth.R[own], truth.t[own], truth.size[own], truth.x_determined[own])
        some, also = augment(
            points[own], part, AugmentationRules(AXIAL[own], ALL[own], ALL[own]), config, BatchRng(0, 0, COUNT, own)
        )
        assert torch.equal(some, whole[own]) and torch.equal(also.R, moved.R[own])


def test_scale_boxes_scales_points_along_object_axes() -> None:
    points, truth = clouds()
    factors = torch.from_numpy(np.random.default_rng(1).uniform(0.8, 1.2, (COUNT, 3))).float()
    scaled, result = scale_boxes(points, truth, factors)
    for b in range(COUNT):
        for n in range(POINTS):
            local = truth.R[b].T @ (points[b, n] - truth.t[b])
            expected = truth.R[b] @ (local * factors[b]) + truth.t[b]
            torch.testing.assert_close(scaled[b, n], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(result.size, truth.size * factors)


def test_random_scales_stay_in_bounds_and_keep_axial_symmetry() -> None:
    config = AugmentConfig.from_mapping({**STILL, "scale_probability": 1.0})
    points, truth = clouds()
    _, scaled = augment(points, truth, AugmentationRules(AXIAL, ALL, ALL), config, make_rng())
    factors = scaled.size / truth.size
    assert factors.min() >= 0.8 - 1e-6 and factors.max() <= 1.2 + 1e-6 and factors.std() > 0.05
    torch.testing.assert_close(factors[AXIAL, 0], factors[AXIAL, 2])
    assert not torch.allclose(factors[~AXIAL, 0], factors[~AXIAL, 2])


def test_taper_scales_points_by_height_in_box() -> None:
    points, truth = clouds()
    ends = torch.from_numpy(np.random.default_rng(2).uniform(0.8, 1.2, (COUNT, 2))).float()
    tapered, result = taper(points, truth, ends, AXIAL)
    for b in range(COUNT):
        bottom, top = ends[b].tolist()
        before, after = [], []
        for n in range(POINTS):
            x, y, z = (truth.R[b].T @ (points[b, n] - truth.t[b])).tolist()
            height = y / truth.size[b, 1].item() + 0.5  # 0 at the box's bottom, 1 at its top
            factor = bottom + (top - bottom) * height
            expected = truth.R[b] @ torch.tensor([x * factor, y, z * factor]) + truth.t[b]
            torch.testing.assert_close(tapered[b, n], expected, atol=1e-6, rtol=0)
            before.append((abs(x), abs(z), np.hypot(x, z)))
            after.append((abs(x * factor), abs(z * factor), np.hypot(x, z) * factor))
        growth = np.max(after, axis=0) / np.max(before, axis=0)
        along = (growth[2], 1.0, growth[2]) if AXIAL[b] else (growth[0], 1.0, growth[1])
        np.testing.assert_allclose(result.size[b] / truth.size[b], along, atol=1e-4)
    assert torch.equal(result.R, truth.R) and torch.equal(result.t, truth.t)


def test_taper_updates_size_to_tapered_object() -> None:
    """Straight walls, wider at the top: the rim is what counts, whatever becomes of the foot."""
    angle, y = torch.meshgrid(torch.linspace(0, 2 * np.pi, 40), torch.linspace(-0.05, 0.05, 11), indexing="ij")
    cup = torch.stack([0.04 * angle.cos(), y, 0.04 * angle.sin()], dim=-1).reshape(1, -1, 3)
    truth = PoseTruth(torch.eye(3)[None], torch.zeros(1, 3), torch.tensor([[0.08, 0.1, 0.08]]), torch.zeros(1).bool())
    _, wide = taper(cup, truth, torch.tensor([[0.9, 1.2]]), torch.tensor([True]))
    torch.testing.assert_close(wide.size, torch.tensor([[0.096, 0.1, 0.096]]), atol=1e-5, rtol=0)
    beside = torch.cat([cup, torch.tensor([[[0.3, -0.05, 0.0]]])], dim=1)  # the table
    _, same = taper(beside, truth, torch.tensor([[0.9, 1.2]]), torch.tensor([True]))
    torch.testing.assert_close(same.size, wide.size)
    _, narrow = taper(cup, truth, torch.tensor([[0.9, 0.8]]), torch.tensor([False]))
    torch.testing.assert_close(narrow.size, torch.tensor([[0.072, 0.1, 0.072]]), atol=1e-4, rtol=0)


def test_only_listed_categories_are_tapered() -> None:
    config = AugmentConfig.from_mapping({**STILL, "taper_probability": 1.0})
    points, truth = clouds()
    _, tapered = augment(points, truth, AugmentationRules(AXIAL, AXIAL, ALL), config, make_rng())
    assert torch.allclose(tapered.size[~AXIAL], truth.size[~AXIAL], atol=1e-6)
    assert ((tapered.size - truth.size)[AXIAL, 0].abs() > 1e-4).all()


def test_rotate_clouds_rotates_points_about_mean() -> None:
    points, truth = clouds()
    turns = draw_rotations(AugmentConfig(), ALL, make_rng())
    turned, result = rotate_clouds(points, truth, turns)
    for b in range(COUNT):
        pivot = points[b].mean(dim=0)
        for n in range(POINTS):
            torch.testing.assert_close(turned[b, n], turns[b] @ (points[b, n] - pivot) + pivot, atol=1e-6, rtol=0)
        torch.testing.assert_close(result.R[b], turns[b] @ truth.R[b], atol=1e-6, rtol=0)


def test_random_rotations_have_configured_angles() -> None:
    turns = draw_rotations(AugmentConfig(0.0, 20.0), torch.ones(200, dtype=torch.bool), make_rng(count=200))
    angles = torch.rad2deg(torch.arccos(((turns.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)))
    assert angles.max() <= 20.1 and angles.max() > 15.0
    rolls = draw_rotations(AugmentConfig(10.0), torch.zeros(200, dtype=torch.bool), make_rng(count=200))
    torch.testing.assert_close(rolls[:, 2], torch.tensor([0.0, 0.0, 1.0]).expand(200, 3))


def test_sensor_noise_has_configured_standard_deviation() -> None:
    points, truth = clouds()
    config = AugmentConfig(noise_probability=1.0, noise_m=0.01)
    difference = add_noise(points, truth, config, make_rng()) - points
    assert difference.std().item() == pytest.approx(0.01, rel=0.05) and abs(difference.mean().item()) < 1e-3


def test_outward_noise_moves_coordinates_away_from_centre_by_at_most_a_fraction() -> None:
    points, truth = clouds()
    config = AugmentConfig(noise="outward", noise_share=0.2, noise_probability=1.0)
    moved = add_noise(points, truth, config, make_rng())
    for b in range(COUNT):
        for n in range(POINTS):
            for before, after in zip(points[b, n] - truth.t[b], moved[b, n] - truth.t[b], strict=True):
                share = (after / before).item() - 1.0 if abs(before) > 1e-3 else 0.1
                assert -1e-3 <= share <= 0.2 + 1e-3
    away = points - truth.t.unsqueeze(1)
    assert ((moved - points) / away)[away.abs() > 1e-3].mean().item() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("kind", ["sensor", "outward"])
def test_clouds_without_noise_are_unchanged(kind: str) -> None:
    points, truth = clouds()
    config = AugmentConfig(noise=kind, noise_probability=0.5)
    stays = (add_noise(points, truth, config, make_rng()) == points).flatten(1).all(dim=1)
    assert stays.any() and not stays.all()


def test_cut_removes_points_behind_plane_and_repeats_others() -> None:
    points = torch.randn(8, 100, 3)
    chosen = torch.tensor([True] * 4 + [False] * 4)
    result = cut(points, chosen, 0.9, make_rng(1, 8))
    for before, after, was_cut in zip(points, result, chosen, strict=True):
        left = {tuple(p) for p in after.tolist()}
        assert left <= {tuple(p) for p in before.tolist()}
        assert (len(left) < 100) == bool(was_cut)


def test_mirror_equals_object_mirrored_by_own_plane() -> None:
    points, truth = clouds()
    chosen = torch.arange(COUNT) % 2 == 0
    mirrored, result = mirror(points, truth, chosen)
    signs = torch.where(chosen.unsqueeze(1), torch.tensor([1.0, 1.0, -1.0]), torch.ones(3)).unsqueeze(1)
    torch.testing.assert_close(
        box_coordinates(mirrored, result), signs * box_coordinates(points, truth), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(torch.linalg.det(result.R), torch.ones(COUNT))
    torch.testing.assert_close(mirrored[chosen, :, 0], -points[chosen, :, 0])
    assert torch.equal(mirrored[~chosen], points[~chosen]) and torch.equal(result.t[~chosen], truth.t[~chosen])


def test_augmentation_frequencies_equal_probabilities() -> None:
    points, truth = clouds()
    many = BatchRng(3, 0, 4000, slice(0, 4000))
    assert many.bernoulli(0.3).float().mean().item() == pytest.approx(0.3, abs=0.03)
    config = AugmentConfig.from_mapping({**STILL, "scale_probability": 0.3})
    scaled = 0
    for seed in range(40):
        _, varied = augment(points, replace(truth), AugmentationRules(AXIAL, NONE, ALL), config, make_rng(seed))
        scaled += int(((varied.size - truth.size).abs().amax(dim=1) > 1e-6).sum())
    assert scaled / (40 * COUNT) == pytest.approx(0.3, abs=0.07)


def test_loss_is_invariant_to_shift_of_cloud(
    tmp_path: Path, seen_samples: CloudSamples, tiny_architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", tiny_architecture)
    terms = ("symmetry", "point_matching", "box_matching", "face_normal", "face_distance", "voting", "box_translation")
    shape = {**dict.fromkeys(terms, 1.0), "symmetry_widths": [8], "face_widths": [8]}
    config = TrainConfig.from_mapping({"batch": 6, "threads": 1, "shape_loss": shape})
    trainer = Trainer(config, NOCS_CATEGORIES, seen_samples, seen_samples, tmp_path)
    trainer.modules.network.eval()
    batch = trainer.data.batches.at(0)
    shift = 0.05 * (2.0 * torch.rand(6, 3) - 1.0)
    truth = replace(batch.truth, t=batch.truth.t + shift)
    shifted = replace(batch, points=batch.points + shift.unsqueeze(1), truth=truth)
    (loss, values), (same, others) = trainer.modules.forward(batch), trainer.modules.forward(shifted)
    torch.testing.assert_close(same, loss, rtol=1e-3, atol=1e-3)
    assert others == pytest.approx(values, rel=1e-2, abs=1e-3)


def test_only_mirror_symmetric_categories_are_mirrored() -> None:
    config = AugmentConfig.from_mapping(STILL | {"mirror_probability": 1.0})
    rules = AugmentationRules.from_categories(NOCS_CATEGORIES, config).select(torch.arange(COUNT) % 6)
    points, truth = clouds()
    _, moved = augment(points, truth, rules, config, make_rng())
    changed = (moved.t[:, 0] == -truth.t[:, 0]).tolist()
    assert changed == [NOCS_CATEGORIES.names[i % 6] != "camera" for i in range(COUNT)]
