"""A coarse network and its refiner, one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import make_random_network

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import NetworkConfig, TtaConfig
from clipose_ros.inference.engines.base import RawPoses
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.engines.refining_engine import RefiningEngine
from clipose_ros.inference.engines.tta_engine import TtaEngine
from clipose_ros.inference.pass_plan import ALL_PASSES, PassPlan
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture
from clipose_ros.types import FloatArray, IndexArray

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8), unit_m=0.1)
INDEX = np.arange(6)
AXIAL = np.array([category.symmetry.axial_y for category in NOCS_CATEGORIES])


def unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class FixedEngine:
    """Engine that returns given poses for any clouds and keeps the clouds."""

    name, device, categories = "fixed", "cpu", NOCS_CATEGORIES

    def __init__(self, poses: RawPoses) -> None:
        self.poses, self.seen = poses, np.zeros(0)

    def warm_up(self, points: int) -> None:
        raise AssertionError("warm_up is not expected")

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        self.seen = points_camera
        return self.poses


def coarse_poses(seed: int = 0) -> RawPoses:
    rng = np.random.default_rng(seed)
    y, x = unit(rng.normal(size=(6, 3))), unit(rng.normal(size=(6, 3)))
    x = unit(x - (x * y).sum(axis=1, keepdims=True) * y)
    t = rng.normal((0.0, 0.0, 0.9), 0.1, (6, 3)).astype(np.float32)
    low = np.full(6, 0.1, np.float32)
    return RawPoses(y, x, low, low, t, np.ones((6, 3), np.float32))


def corrections(offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> RawPoses:
    """Poses of objects that the coarse poses get right but for an offset, in the frames of these poses."""
    axes = (np.tile(np.array(axis, np.float32), (6, 1)) for axis in ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0)))
    high = np.full(6, 0.9, np.float32)
    return RawPoses(*axes, high, high, np.tile(np.array(offset, np.float32), (6, 1)), np.full((6, 3), 2, np.float32))


@pytest.fixture
def clouds() -> FloatArray:
    return np.random.default_rng(1).normal((0.0, 0.0, 0.9), 0.1, (6, 128, 3)).astype(np.float32)


def test_a_refiner_without_corrections_returns_the_coarse_poses(clouds: FloatArray) -> None:
    coarse = coarse_poses()
    got = RefiningEngine(FixedEngine(coarse), FixedEngine(corrections()))(clouds, INDEX)
    np.testing.assert_allclose(got.axis_y, coarse.axis_y, atol=1e-5)
    np.testing.assert_allclose(got.axis_x[~AXIAL], coarse.axis_x[~AXIAL], atol=1e-5)
    np.testing.assert_allclose(got.translation, coarse.translation, atol=1e-6)
    # sizes and confidences are the refiner's
    assert (got.size == 2.0).all() and (got.confidence_y == np.float32(0.9)).all()


def test_offsets_are_along_the_axes_of_the_coarse_poses(clouds: FloatArray) -> None:
    coarse = coarse_poses(2)
    got = RefiningEngine(FixedEngine(coarse), FixedEngine(corrections((0.01, -0.02, 0.0))))(clouds, INDEX)
    want = coarse.translation + np.float32(0.02) * coarse.axis_y + np.float32(0.01) * coarse.axis_x
    np.testing.assert_allclose(got.translation[~AXIAL], want[~AXIAL], atol=1e-6)


def test_the_refiner_sees_each_cloud_about_its_estimated_centre(clouds: FloatArray) -> None:
    coarse, refiner = coarse_poses(3), FixedEngine(corrections())
    RefiningEngine(FixedEngine(coarse), refiner)(clouds, INDEX)
    want = np.einsum("bni,bi->bn", np.roll(clouds, 64, axis=1) - coarse.translation[:, np.newaxis], -coarse.axis_y)
    np.testing.assert_allclose(refiner.seen[..., 1], want, atol=1e-5)
    # the second half of the points comes first
    distances = np.linalg.norm(np.roll(clouds, 64, axis=1) - coarse.translation[:, np.newaxis], axis=2)
    np.testing.assert_allclose(np.linalg.norm(refiner.seen, axis=2), distances, atol=1e-5)


def test_correcting_given_poses_runs_the_refiner_alone(clouds: FloatArray) -> None:
    refiner, poses = FixedEngine(corrections((0.01, 0.02, 0.03))), coarse_poses()
    got = RefiningEngine(FixedEngine(coarse_poses(seed=5)), refiner).refine(clouds, INDEX, poses)
    expected = RefiningEngine(FixedEngine(poses), refiner)(clouds, INDEX)
    for name in ("axis_y", "axis_x", "confidence_y", "translation", "size"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))


class TurningEngine:
    """Engine that sees every second view of a batch turned by 90 degrees about z, and keeps the batches."""

    name, device, categories = "turning", "cpu", NOCS_CATEGORIES

    def __init__(self) -> None:
        self.seen: list[FloatArray] = []

    def warm_up(self, points: int) -> None:
        raise AssertionError("warm_up is not expected")

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        self.seen.append(points_camera)
        B = len(category)
        axis_y = np.where(np.arange(B)[:, np.newaxis] % 2, [[1.0, 0.0, 0.0]], [[0.0, -1.0, 0.0]]).astype(np.float32)
        axis_x = np.where(np.arange(B)[:, np.newaxis] % 2, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]]).astype(np.float32)
        return RawPoses(
            axis_y, axis_x, *np.full((2, B), 0.4, np.float32), points_camera.mean(axis=1), np.ones((B, 3), np.float32)
        )


class EchoRefiner(TurningEngine):
    """Refiner that corrects nothing, with the confidence 0.8."""

    def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
        self.seen.append(points_camera)
        B = len(category)
        axes = (np.tile(np.array(axis, np.float32), (B, 1)) for axis in ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0)))
        return RawPoses(
            *axes, *np.full((2, B), 0.8, np.float32), np.zeros((B, 3), np.float32), np.full((B, 3), 2, np.float32)
        )


@pytest.mark.parametrize(("max_passes", "disagreement_deg", "runs"), [
    (4, 8.0, [12, 6]), (4, 120.0, [12]), (2, 8.0, [12]), (4, 0.0, [24]), (8, 8.0, [12, 6]),
])  # fmt: skip
def test_the_refiner_corrects_the_mean_of_passes_that_disagree(
    max_passes: int, disagreement_deg: float, runs: list[int], clouds: FloatArray
) -> None:
    coarse, refiner = TurningEngine(), EchoRefiner()
    engine = TtaEngine(RefiningEngine(coarse, refiner), max_passes, disagreement_deg, mode_deg=25.0)
    got = engine(clouds, INDEX)
    assert [len(seen) for seen in refiner.seen] == runs
    assert len(coarse.seen) == 1 and len(coarse.seen[0]) == runs[0]  # the coarse network does not run again
    np.testing.assert_allclose(np.abs(got.axis_y).max(axis=1), 1.0, atol=1e-5)  # one of the two views, not their mean
    # The refiner is as sure of the correction as of a pass, but half of the passes saw another pose.
    np.testing.assert_allclose(got.confidence_y, 0.4, atol=1e-5)


def test_a_correction_starts_from_the_mean_and_from_the_points_in_order(clouds: FloatArray) -> None:
    class Swinging(TurningEngine):
        """Engine that sees every second view turned by 10 degrees to either side about z."""

        def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
            turns = np.where(np.arange(len(category)) % 2, 1, -1) * np.radians(10.0)
            zero, raw = np.zeros_like(turns), super().__call__(points_camera, category)
            axis_y = np.stack([np.sin(turns), -np.cos(turns), zero], axis=1).astype(np.float32)
            axis_x = np.stack([np.cos(turns), np.sin(turns), zero], axis=1).astype(np.float32)
            return replace(raw, axis_y=axis_y, axis_x=axis_x)

    refiner = EchoRefiner()
    cameras = np.full(6, NOCS_CATEGORIES.names.index("camera"))  # never mirrored
    got = TtaEngine(RefiningEngine(Swinging(), refiner), 4, 8.0, mode_deg=25.0)(clouds, cameras)
    np.testing.assert_allclose(got.axis_y, np.tile([[0.0, -1.0, 0.0]], (6, 1)), atol=1e-5)
    np.testing.assert_allclose(got.confidence_y, 0.8, atol=1e-5)  # no pass was left out
    np.testing.assert_allclose(np.linalg.norm(refiner.seen[1], axis=2),
                               np.linalg.norm(clouds - got.translation[:, np.newaxis], axis=2), atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("max_passes", [4, 8])
def test_two_passes_of_two_networks_use_four_samples(max_passes: int, clouds: FloatArray) -> None:
    coarse, refiner = TurningEngine(), EchoRefiner()
    TtaEngine(RefiningEngine(coarse, refiner), max_passes, 120.0, mode_deg=25.0)(clouds, INDEX)
    axial = np.flatnonzero(AXIAL)[0]
    first = [coarse.seen[0][2 * axial + number, :32] for number in (0, 1)]
    np.testing.assert_allclose(first[0], clouds[axial, :32])
    np.testing.assert_allclose(np.abs(first[1]), np.abs(clouds[axial, 32:64]))  # mirrored


def test_a_correction_concerns_the_clouds_that_disagree_alone(clouds: FloatArray) -> None:
    class Agreeing(TurningEngine):
        def __call__(self, points_camera: FloatArray, category: IndexArray) -> RawPoses:
            raw = super().__call__(points_camera, category)
            same = category < 3
            return replace(
                raw, axis_y=np.where(same[:, np.newaxis], np.float32([0, -1, 0]), raw.axis_y),
                axis_x=np.where(same[:, np.newaxis], np.float32([1, 0, 0]), raw.axis_x),
            )  # fmt: skip

    refiner = EchoRefiner()
    engine = TtaEngine(RefiningEngine(Agreeing(), refiner), 4, 8.0, mode_deg=25.0)
    got = engine(clouds, INDEX)
    assert [len(seen) for seen in refiner.seen] == [12, 3]
    for i in INDEX:
        alone = engine(clouds[[i]], INDEX[[i]])
        for name, values in vars(got).items():
            np.testing.assert_allclose(values[i], getattr(alone, name)[0], atol=1e-6, err_msg=name)


def test_a_coarse_pose_that_is_not_finite_gives_nan(clouds: FloatArray) -> None:
    coarse = coarse_poses()
    coarse.axis_y[2] = np.nan
    network = make_random_network(replace(TINY, refines=True))
    got = RefiningEngine(FixedEngine(coarse), PytorchEngine(network))(clouds, INDEX)
    finite = np.isfinite(got.axis_y).all(axis=1) & np.isfinite(got.translation).all(axis=1)
    assert finite.tolist() == [True, True, False, True, True, True]


@pytest.mark.parametrize("engine", ["pytorch", "cpu"])
def test_predictors_refine_unless_told_otherwise(tmp_path: Path, clouds: FloatArray, engine: str) -> None:
    coarse = make_random_network(TINY, 1)
    save_checkpoint(tmp_path / "coarse.safetensors", coarse)
    coarse.refiner = make_random_network(replace(TINY, refines=True), 2)
    save_checkpoint(tmp_path / "both.safetensors", coarse)
    names = NOCS_CATEGORIES.names

    def predict(model: str, refine: str, only_pass: int, coarse_only: bool = False, most: int = 2) -> FloatArray:
        path, tta = str(tmp_path / f"{model}.safetensors"), TtaConfig(most)
        predictor = Predictor.from_config(NetworkConfig(path, "cpu", 1, engine, tta, refine, surface_normals=False))
        assert predictor.has_refiner == (model == "both" and refine != "none")
        poses = predictor.predict_passes(clouds, names, PassPlan(np.full(6, only_pass), np.full(6, coarse_only)))
        return np.stack([pose.T_camera_object for pose in poses])

    # all passes
    np.testing.assert_array_equal(predict("both", "none", ALL_PASSES), predict("coarse", "all", ALL_PASSES))
    np.testing.assert_array_equal(predict("both", "unsettled", ALL_PASSES), predict("both", "all", ALL_PASSES))
    assert np.abs(predict("both", "all", ALL_PASSES) - predict("coarse", "all", ALL_PASSES)).max() > 1e-3
    # one pass, as known objects get
    np.testing.assert_array_equal(predict("both", "unsettled", 1), predict("both", "all", 1))
    assert np.abs(predict("both", "all", 1) - predict("coarse", "all", 1)).max() > 1e-3
    # one pass without the refiner, as settled ones get
    np.testing.assert_array_equal(predict("both", "unsettled", 1, coarse_only=True), predict("coarse", "all", 1))
    # one pass at most
    refined, coarse = predict("both", "unsettled", 0), predict("coarse", "all", 0)
    for only_pass in (0, ALL_PASSES):
        np.testing.assert_allclose(predict("both", "unsettled", only_pass, most=1), refined, atol=1e-6)
        np.testing.assert_allclose(predict("coarse", "unsettled", only_pass, most=1), coarse, atol=1e-6)
    np.testing.assert_array_equal(predict("both", "unsettled", 0, coarse_only=True, most=1), coarse)


def test_engines_agree_on_refined_poses(clouds: FloatArray) -> None:
    from clipose_ros.inference.engines.factory import create_engine

    networks = make_random_network(TINY, 1), make_random_network(replace(TINY, refines=True), 2)
    one, other = (
        RefiningEngine(*(create_engine(name, network, "cpu", 1) for network in networks))(clouds, INDEX)
        for name in ("pytorch", "cpu")
    )
    torch.testing.assert_close(
        torch.from_numpy(one.translation), torch.from_numpy(other.translation), rtol=0, atol=1e-4
    )


def test_the_refiner_computes_in_float32_by_built_in_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipose_ros.inference import predictor as module

    coarse = make_random_network(TINY, 1)
    coarse.refiner = make_random_network(replace(TINY, refines=True), 2)
    save_checkpoint(tmp_path / "both.safetensors", coarse)
    created = []

    class Named(FixedEngine):
        def __init__(self, name: str) -> None:
            super().__init__(coarse_poses())
            self.name = name

    def create(name: str, network: object, device: str, threads: int) -> Named:
        created.append(name)
        return Named(name)

    monkeypatch.setattr(module, "create_engine", create)
    for name in ("cpu", "cpu_int8", "cpu_bf16", "pytorch", "own"):
        predictor = Predictor.from_config(NetworkConfig(str(tmp_path / "both.safetensors"), "cpu", 1, name))
        assert predictor.has_refiner == (name != "own")
    assert created == ["cpu", "cpu", "cpu_int8", "cpu", "cpu_bf16", "cpu", "pytorch", "pytorch", "own"]
