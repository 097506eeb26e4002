"""Test-time augmentation: rotated point order, mirrored clouds, and means in the camera's frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.refining_engine import RefiningEngine
from clipose_ros.inference.engines.tta_engine import TtaEngine
from clipose_ros.inference.pass_plan import ALL_PASSES, PassPlan
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.training.augment import mirror
from clipose_ros.training.losses.pose import PoseTruth
from clipose_ros.types import FloatArray, IndexArray


def unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class BiasedEngine:
    """Engine that derives a pose from the mean of a cloud and adds an error along the camera's x axis.

    Args:
        error: Error of axes and translation.
    """

    name, device, categories = "biased", "cpu", NOCS_CATEGORIES

    def __init__(self, error: float = 0.0) -> None:
        self.seen: list[FloatArray] = []
        self.error = np.array([error, 0.0, 0.0], np.float32)

    def warm_up(self, points: int) -> None:
        raise AssertionError("warm_up is not expected")

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        self.seen.append(points_camera)
        mean = points_camera.mean(axis=1)
        axis_y = unit(np.sign(mean) + self.error)
        axis_x = unit(np.sign(mean) * [1.0, 0.0, 0.5] + self.error)
        confidence = (category / 10.0).astype(np.float32)
        return RawPoses(axis_y, axis_x, confidence, confidence / 2.0, mean + self.error, np.abs(mean))


@pytest.fixture
def clouds() -> FloatArray:
    mean = np.random.default_rng(0).choice([-1.0, 1.0], (6, 1, 3)) * [0.3, 0.2, 0.8]
    return (mean + np.random.default_rng(1).normal(0.0, 0.01, (6, 128, 3))).astype(np.float32)


INDEX = np.arange(6)
MIRRORS = np.array([category.symmetry.mirror_xy for category in NOCS_CATEGORIES])


class LookupEngine:
    """Engine that returns the true pose of the cloud with the same sum of points, of two known batches."""

    name, device, categories = "nearest", "cpu", NOCS_CATEGORIES

    def __init__(self, views: list[tuple[torch.Tensor, PoseTruth]]) -> None:
        self.views = views

    def warm_up(self, points: int) -> None:
        raise AssertionError("warm_up is not expected")

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        seen = []
        for cloud, kind in zip(points_camera, category, strict=True):
            off = [(points.sum(dim=1)[kind] - torch.from_numpy(cloud).sum(dim=0)).norm() for points, _ in self.views]
            assert min(off) < 1e-3, "an unknown cloud"
            truth = self.views[int(np.argmin(off))][1]
            seen.append((truth.R[kind, :, 1], truth.R[kind, :, 0], truth.t[kind], truth.size[kind]))
        axis_y, axis_x, translation, size = (np.stack(each) for each in zip(*seen, strict=True))
        confidence = np.full(len(category), 0.5, np.float32)
        return RawPoses(axis_y, axis_x, confidence, confidence, translation, size)


def test_poses_of_mirrored_clouds_are_mirrored_back() -> None:
    generator = torch.Generator().manual_seed(3)
    points = torch.randn(6, 128, 3, generator=generator) * 0.1 + torch.tensor([0.2, 0.1, 0.8])
    R, _ = torch.linalg.qr(torch.randn(6, 3, 3, generator=generator))
    R[:, :, 2] *= torch.linalg.det(R).unsqueeze(1)
    truth = PoseTruth(R, points.mean(dim=1), torch.rand(6, 3, generator=generator), torch.ones(6, dtype=torch.bool))
    engine = LookupEngine([(points, truth), mirror(points, truth, torch.from_numpy(MIRRORS))])
    got = TtaEngine(engine, 2)(points.numpy(), INDEX)
    np.testing.assert_allclose(got.axis_y, R[:, :, 1], atol=1e-5)
    np.testing.assert_allclose(got.axis_x, R[:, :, 0], atol=1e-5)
    np.testing.assert_allclose(got.translation, truth.t, atol=1e-6)
    np.testing.assert_allclose(got.size, truth.size, atol=1e-6)
    np.testing.assert_allclose(got.confidence_x, 0.5, rtol=1e-4)


@pytest.mark.parametrize("passes", [2, 3, 4])
def test_passes_that_agree_equal_a_single_pass(passes: int, clouds: FloatArray) -> None:
    one, several = BiasedEngine()(clouds, INDEX), TtaEngine(BiasedEngine(), passes)(clouds, INDEX)
    for name, value in vars(one).items():
        np.testing.assert_allclose(getattr(several, name), value, atol=1e-5, err_msg=name)


def test_an_error_to_one_side_cancels_for_categories_with_a_mirror_symmetry(clouds: FloatArray) -> None:
    exact, several = BiasedEngine()(clouds, INDEX), TtaEngine(BiasedEngine(0.1), 2)(clouds, INDEX)
    assert MIRRORS.any() and not MIRRORS.all()
    for name in ("axis_y", "axis_x", "translation"):
        off = np.linalg.norm(getattr(several, name) - getattr(exact, name), axis=1)
        assert (off[MIRRORS] < 5e-3).all(), name
    off = np.linalg.norm(several.translation - exact.translation, axis=1)
    assert off[~MIRRORS] == pytest.approx(0.1, abs=1e-5)


def test_disagreement_between_passes_lowers_the_axis_confidence(clouds: FloatArray) -> None:
    one, several = BiasedEngine(0.3)(clouds, INDEX), TtaEngine(BiasedEngine(0.3), 2)(clouds, INDEX)
    seen = MIRRORS & (INDEX > 0)
    assert (several.confidence_y[seen] < 0.9 * one.confidence_y[seen]).all()
    np.testing.assert_allclose(several.confidence_y[~MIRRORS], one.confidence_y[~MIRRORS])


def test_each_pass_begins_with_other_points_and_every_second_is_mirrored(clouds: FloatArray) -> None:
    engine = BiasedEngine()
    TtaEngine(engine, 4)(clouds, INDEX)
    (seen,) = engine.seen
    for cloud, mirrored, passes in zip(clouds, MIRRORS, seen.reshape(6, 4, 128, 3), strict=True):
        for number, points in enumerate(passes):
            view = [-1.0, 1.0, 1.0] if mirrored and number % 2 else [1.0, 1.0, 1.0]
            np.testing.assert_array_equal(points[:32], cloud[32 * number : 32 * (number + 1)] * np.array(view))


@pytest.mark.parametrize("disagreement_deg", [5.0, 25.0])
def test_further_passes_are_run_only_if_two_disagree(disagreement_deg: float, clouds: FloatArray) -> None:
    """An error of 0.1 to one side makes mirrored passes differ by about ten degrees."""
    engine = BiasedEngine(0.1)
    got = TtaEngine(engine, 4, disagreement_deg)(clouds, INDEX)
    disagreeing = MIRRORS if disagreement_deg < 10.0 else np.zeros_like(MIRRORS)
    assert [len(seen) for seen in engine.seen] == [12, *([2 * disagreeing.sum()] if disagreeing.any() else [])]
    two, four = (TtaEngine(BiasedEngine(0.1), 4, agree)(clouds, INDEX) for agree in (180.0, 0.0))
    for name, values in vars(got).items():
        expected = [getattr(four if disagrees else two, name)[i] for i, disagrees in enumerate(disagreeing)]
        np.testing.assert_allclose(values, expected, atol=1e-6, err_msg=name)


def test_a_rotation_about_the_axis_of_symmetry_is_no_disagreement() -> None:
    class Spinning(BiasedEngine):
        def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
            raw = super().__call__(points_camera, category)
            turns = np.arange(len(category), dtype=np.float64)
            axis_y = np.tile([0.0, 1.0, 0.0], (len(category), 1))
            axis_x = np.stack([np.cos(turns), np.zeros_like(turns), np.sin(turns)], axis=1)
            return RawPoses(axis_y, axis_x, raw.confidence_y, raw.confidence_x, raw.translation, raw.size)

    engine = Spinning()
    TtaEngine(engine, 4, 8.0)(np.random.default_rng(2).normal(1.0, 0.1, (6, 128, 3)).astype(np.float32), INDEX)
    axial = sum(category.symmetry.axial_y for category in NOCS_CATEGORIES)
    assert [len(seen) for seen in engine.seen] == [12, 2 * (6 - axial)]


def test_single_passes_and_all_passes_of_one_batch_equal_those_of_each_cloud_alone(clouds: FloatArray) -> None:
    plan = PassPlan(np.array([-1, 0, 3, -1, 1, 0]), np.array([False, True, True, False, False, False]))
    engine = TtaEngine(RefiningEngine(BiasedEngine(0.2), BiasedEngine(0.1)), 4, skips_refiner=True)
    got = engine.predict_passes(clouds, INDEX, plan)
    for i, number in enumerate(plan.only_pass):
        alone = engine.predict_passes(clouds[[i]], INDEX[[i]], plan.select(np.array([i])))
        for name, values in vars(got).items():
            np.testing.assert_allclose(values[i], getattr(alone, name)[0], atol=1e-6, err_msg=f"{name} {number}")
    everything = engine(clouds, INDEX)
    np.testing.assert_allclose(got.translation[[0, 3]], everything.translation[[0, 3]], atol=1e-6)
    assert not np.allclose(got.translation[1], everything.translation[1])


def test_a_predictor_runs_as_many_passes_as_configured(tmp_path: Path, clouds: FloatArray) -> None:
    torch.manual_seed(5)
    tiny = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, CLIPoseNet(tiny, NOCS_CATEGORIES))
    once, twice = (
        Predictor.load(str(path), "cpu", max_passes=passes).predict(clouds, NOCS_CATEGORIES.names)[0]
        for passes in (1, 2)
    )
    half = np.roll(clouds, -64, axis=1) * np.array([-1.0, 1.0, 1.0])
    other = Predictor.load(str(path), "cpu", max_passes=1).predict(half, NOCS_CATEGORIES.names)[0]
    mean = (once.T_camera_object[:3, 3] + other.T_camera_object[:3, 3] * [-1.0, 1.0, 1.0]) / 2.0
    np.testing.assert_allclose(twice.T_camera_object[:3, 3], mean, atol=1e-6)
    np.testing.assert_allclose(twice.size, (once.size + other.size) / 2.0, atol=1e-6)


class SequenceEngine:
    """Engine that returns the given poses, of one cloud in several passes."""

    name, device, categories = "sequence", "cpu", NOCS_CATEGORIES

    def __init__(self, turns_deg: list[float], confidences: list[float]) -> None:
        self.turns, self.confidences = np.radians(turns_deg), np.array(confidences, np.float32)

    def warm_up(self, points: int) -> None:
        raise AssertionError("warm_up is not expected")

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        sine, cosine, zero = np.sin(self.turns), np.cos(self.turns), np.zeros(len(self.turns))
        axis_y = np.tile([[0.0, 1.0, 0.0]], (len(zero), 1)).astype(np.float32)
        axis_x = np.stack([cosine, zero, sine], axis=1).astype(np.float32)
        size = np.abs(axis_x)
        return RawPoses(axis_y, axis_x, self.confidences, self.confidences, axis_x, size)


CAMERA = NOCS_CATEGORIES.names.index("camera")
CAN = NOCS_CATEGORIES.names.index("can")


def combine(category: int, turns_deg: list[float], confidences: list[float], mode_deg: float) -> RawPoses:
    cloud = np.zeros((1, 128, 3), np.float32)
    engine = TtaEngine(SequenceEngine(turns_deg, confidences), len(turns_deg), 0.0, mode_deg)
    return engine(cloud, np.array([category]))


def test_the_mode_leaves_out_passes_that_see_another_pose() -> None:
    got = combine(CAMERA, [0.0, 10.0, 180.0, 170.0], [0.9, 0.9, 0.6, 0.5], 25.0)
    alone = combine(CAMERA, [0.0, 10.0], [0.9, 0.9], 25.0)
    np.testing.assert_allclose(got.axis_x, alone.axis_x, atol=1e-5)
    np.testing.assert_allclose(got.translation, alone.translation, atol=1e-5)
    # the others lower the confidence by their share of the votes
    np.testing.assert_allclose(got.confidence_x, alone.confidence_x * 1.8 / 2.9, atol=1e-5)


def test_the_mode_of_agreeing_passes_is_their_mean_by_confidence() -> None:
    np.testing.assert_allclose(combine(CAMERA, [0.0, 12.0], [0.8, 0.8], 25.0).axis_x,
                               combine(CAMERA, [0.0, 12.0], [0.8, 0.8], 0.0).axis_x, atol=1e-6)  # fmt: skip
    pulled = np.degrees(np.arctan2(*combine(CAMERA, [0.0, 12.0], [0.9, 0.3], 25.0).axis_x[0, [2, 0]]))
    assert 2.9 < pulled < 3.1  # a quarter of the way


def test_the_x_axes_of_axially_symmetric_objects_do_not_count() -> None:
    got = combine(CAN, [0.0, 180.0, 90.0], [0.9, 0.8, 0.7], 25.0)
    assert np.isfinite(got.axis_y).all() and got.confidence_y[0] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("turns", [[np.nan, np.nan], [0.0, np.nan]])
def test_passes_that_are_not_finite_give_nan(turns: list[float]) -> None:
    assert not np.isfinite(combine(CAMERA, turns, [0.9, 0.9], 25.0).axis_x).all()


def test_passes_without_confidence_have_a_mean() -> None:
    got = combine(CAMERA, [0.0, 10.0], [0.0, 0.0], 25.0)
    assert np.isfinite(got.axis_x).all() and got.confidence_x[0] == 0.0


def test_an_empty_batch_has_no_poses(clouds: FloatArray) -> None:
    engine = TtaEngine(RefiningEngine(BiasedEngine(), BiasedEngine()), 4, 8.0, 25.0)
    assert len(engine(clouds[:0], INDEX[:0]).axis_y) == 0


@pytest.mark.parametrize("leaves_out", [True, False])
def test_the_first_passes_of_all_clouds_are_one_batch_of_each_network(clouds: FloatArray, leaves_out: bool) -> None:
    coarse, refiner = BiasedEngine(0.3), BiasedEngine()
    engine = TtaEngine(RefiningEngine(coarse, refiner), 2, skips_refiner=leaves_out)
    plan = PassPlan(np.array([0, 0, 1, 0, -1, -1]), np.array([True, True, True, False, False, True]))
    got = engine.predict_passes(clouds, INDEX, plan)
    assert [len(seen) for seen in coarse.seen] == [8] and [len(seen) for seen in refiner.seen] == [
        5 if leaves_out else 8
    ]
    if leaves_out:
        np.testing.assert_allclose(got.translation[:2], coarse(clouds[:2], INDEX[:2]).translation, atol=1e-6)
    refined = RefiningEngine(coarse, refiner)(clouds, INDEX)
    np.testing.assert_allclose(got.translation[3], refined.translation[3], atol=1e-6)
    for left_out in (False, True):  # it counts for clouds with a single pass alone
        everything = engine.predict_passes(clouds, INDEX, PassPlan(np.full(6, ALL_PASSES), np.full(6, left_out)))
        np.testing.assert_allclose(got.translation[4:], everything.translation[4:], atol=1e-6)
