"""Training of a refiner: batches in the frames of coarse poses, and models that hold both networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_networks import make_random_network
from upright_boxes import make_upright_boxes

from clipose_ros.categories import NOCS_CATEGORIES, Category, CategorySet, Symmetry
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.engines.refining_engine import RefiningEngine
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model import network
from clipose_ros.model.checkpoint import load_checkpoint, save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.refinement import EstimateFrames
from clipose_ros.training.batches import Batch, stored_batch
from clipose_ros.training.coarse_poses import CoarsePoses
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.run_dir import TrainingError
from clipose_ros.training.trainer import Trainer

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8), unit_m=0.1)
AXIAL = torch.tensor([category.symmetry.axial_y for category in NOCS_CATEGORIES])


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", TINY)


@pytest.fixture
def coarse(tmp_path: Path) -> Path:
    path = tmp_path / "coarse.safetensors"
    save_checkpoint(path, make_random_network(TINY, 5))
    return path


def trainer(folder: Path, coarse: Path, points_each: int = 128, **changes: object) -> Trainer:
    values = {"steps": 8, "batch": 4, "validate_every": 4, "warmup_steps": 2, "threads": 1, "ema_decay": 0.5}
    config = TrainConfig.from_mapping(values | {"refines": str(coarse)} | changes)
    torch.manual_seed(config.seed)
    return Trainer(config, NOCS_CATEGORIES, make_upright_boxes(24, points_each), make_upright_boxes(12), folder)


@pytest.mark.parametrize("corrected", [False, True])
def test_truths_describe_the_same_objects_in_the_frames_of_the_poses(corrected: bool) -> None:
    batch = stored_batch(make_upright_boxes(12), np.arange(12), AXIAL)
    refiner = make_random_network(replace(TINY, refines=True), 6) if corrected else None
    framed = CoarsePoses(make_random_network(TINY, 5)).to_frames(batch, refiner)
    # coordinates of the points in the object frames do not change
    before = torch.einsum("bji,bnj->bni", batch.truth.R, batch.points - batch.truth.t.unsqueeze(1))
    after = torch.einsum("bji,bnj->bni", framed.truth.R, framed.points - framed.truth.t.unsqueeze(1))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert torch.equal(framed.truth.size, batch.truth.size) and not torch.allclose(framed.points, batch.points)


def test_corrected_frames_are_those_of_refined_poses() -> None:
    batch = stored_batch(make_upright_boxes(12), np.arange(12), AXIAL)
    coarse, refiner = make_random_network(TINY, 5), make_random_network(replace(TINY, refines=True), 6)
    framed = CoarsePoses(coarse).to_frames(batch, refiner)
    quarter, half = (batch.points.roll(-(batch.points.shape[1] // parts), dims=1).numpy() for parts in (4, 2))
    engine, category = PytorchEngine(coarse, "cpu"), batch.category.numpy()
    poses = RefiningEngine(engine, PytorchEngine(refiner, "cpu")).refine(quarter, category, engine(half, category))
    axis_y, axis_x, t = map(torch.from_numpy, (poses.axis_y, poses.axis_x, poses.translation))
    expected = EstimateFrames.from_axes(axis_y, axis_x, t, AXIAL[batch.category])
    torch.testing.assert_close(framed.points, expected.from_camera(batch.points), rtol=0, atol=1e-4)


def test_every_second_batch_is_corrected_if_the_recipe_says_so(
    tmp_path: Path, coarse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[CLIPoseNet | None] = []
    to_frames = CoarsePoses.to_frames

    def record(poses: CoarsePoses, batch: Batch, refiner: CLIPoseNet | None = None) -> Batch:
        given.append(refiner)
        return to_frames(poses, batch, refiner)

    monkeypatch.setattr(CoarsePoses, "to_frames", record)
    for corrected in (False, True):
        run = trainer(tmp_path / str(corrected), coarse, refines_corrected=corrected)
        for _ in range(4):
            run.optimise()
    assert given == [None] * 4 + [None, run.modules.averaged_network] * 2


def test_corrections_need_a_refiner() -> None:
    with pytest.raises(ConfigError, match="'refines_corrected' is true, but 'refines' names no model"):
        TrainConfig(refines_corrected=True)


def test_both_networks_see_other_points_of_a_cloud(
    tmp_path: Path, coarse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", replace(TINY, points=128))
    run = trainer(tmp_path / "run", coarse, points_each=256)
    posed, refined = run.modules.coarse, run.modules.network
    assert posed is not None
    seen: list[torch.Tensor] = []
    for module in (posed.network, refined):
        module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    whole = run.data.batches.at(0).points
    run.optimise()
    assert whole.shape[1] == 256 and torch.equal(seen[0][:, :128], whole[:, 128:])
    # distances between points do not depend on the frame
    before, after = (cloud[:, 1:128] - cloud[:, :1] for cloud in (whole, seen[1]))
    torch.testing.assert_close(after.norm(dim=2), before.norm(dim=2), rtol=0, atol=1e-5)


def test_coarse_weights_are_not_trained(tmp_path: Path, coarse: Path) -> None:
    run = trainer(tmp_path / "run", coarse)
    run.run()
    written, start = load_checkpoint(tmp_path / "run" / "model.safetensors"), load_checkpoint(coarse)
    assert written.refiner is not None and start.refiner is None
    own = written.state_dict()
    for name, value in start.state_dict().items():
        assert torch.equal(own[name], value), name
    for name, value in run.modules.averaged_network.state_dict().items():
        assert torch.equal(own[f"refiner.{name}"], value), name


def test_training_lowers_the_errors_of_the_coarse_poses(tmp_path: Path, coarse: Path) -> None:
    run = trainer(tmp_path / "run", coarse, steps=60, validate_every=60, learning_rate=0.01, ema_decay=0.8)
    before = run.validate()["mean"]
    after = run.run()["mean"]
    assert after.translation_cm_median < 0.6 * before.translation_cm_median
    model = str(tmp_path / "run" / "model.safetensors")
    poses = Predictor.load(model, device="cpu").predict(make_upright_boxes(6).points, NOCS_CATEGORIES.names)
    assert all(np.isfinite(pose.T_camera_object).all() for pose in poses)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, coarse: Path) -> None:
    whole = trainer(tmp_path / "whole", coarse)
    whole.run()
    half = trainer(tmp_path / "parts", coarse)
    while half.progress.step < 4:
        half.optimise()
    half.save({})
    rest = trainer(tmp_path / "parts", coarse)
    rest.resume()
    rest.run()
    for name, value in whole.modules.network.state_dict().items():
        assert torch.equal(value, rest.modules.network.state_dict()[name]), name


def test_a_run_is_not_resumed_with_other_coarse_weights(tmp_path: Path, coarse: Path) -> None:
    first = trainer(tmp_path / "run", coarse)
    first.optimise()
    first.save({})
    save_checkpoint(coarse, make_random_network(TINY, 9))
    with pytest.raises(TrainingError, match=r"'refines' names, are not those with which the run in .*put them back"):
        trainer(tmp_path / "run", coarse).resume()


def test_a_refiner_starts_from_the_coarse_network_and_a_later_one_from_the_refiner(
    tmp_path: Path, coarse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = trainer(tmp_path / "first", coarse)
    first.start_from(coarse)
    for name, value in load_checkpoint(coarse).state_dict().items():
        assert torch.equal(first.modules.network.state_dict()[name], value), name
    first.run()
    model = tmp_path / "first" / "model.safetensors"
    second = trainer(tmp_path / "second", coarse)
    second.start_from(model)
    for name, value in first.modules.averaged_network.state_dict().items():
        assert torch.equal(second.modules.network.state_dict()[name], value), name
    # a coarse network starts from the coarse part of such a model
    plain = trainer(tmp_path / "plain", coarse, refines="")
    plain.start_from(model)
    assert "the refiner of" in capsys.readouterr().err
    assert plain.modules.model.refiner is None and plain.modules.coarse is None


def test_the_refiner_of_the_model_that_is_refined_is_replaced(tmp_path: Path, coarse: Path) -> None:
    both = load_checkpoint(coarse)
    both.refiner = make_random_network(replace(TINY, refines=True), 6)
    save_checkpoint(tmp_path / "both.safetensors", both)
    run = trainer(tmp_path / "run", tmp_path / "both.safetensors")
    alone = trainer(tmp_path / "alone", coarse)
    assert run.validate() == alone.validate()


def test_a_model_of_other_categories_cannot_be_refined(tmp_path: Path) -> None:
    seven = CategorySet((*NOCS_CATEGORIES, Category(7, "box", Symmetry(), (0.1, 0.2, 0.3))))
    save_checkpoint(tmp_path / "seven.safetensors", CLIPoseNet(TINY, seven))
    with pytest.raises(ConfigError, match="'refines' names the model .*same categories"):
        trainer(tmp_path / "run", tmp_path / "seven.safetensors")


def test_a_missing_coarse_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        trainer(tmp_path / "run", tmp_path / "none.safetensors")


def test_refiners_with_fusion_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'fusion\.kind' must be none for a refiner"):
        TrainConfig.from_mapping({"refines": "clipose_small", "fusion": {"kind": "concat_after"}})
