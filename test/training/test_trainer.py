"""Training loop: learning, interruption, resumption, files and errors."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from upright_boxes import make_upright_boxes

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.train import main, overrule
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.stream import ShardStream
from clipose_ros.errors import ConfigError
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model import network
from clipose_ros.model.network import Architecture
from clipose_ros.training.config import TrainConfig, read_recipe
from clipose_ros.training.optim.schedule import learning_rate_factor
from clipose_ros.training.run_dir import RunDir, TrainingError, random_state, set_random_state
from clipose_ros.training.runtime.signals import StoppedError
from clipose_ros.training.trainer import Trainer

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8))


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(network.PRESETS, "clipose_small", TINY)


def config(**changes: object) -> TrainConfig:
    values = {"steps": 12, "batch": 4, "validate_every": 6, "warmup_steps": 2, "threads": 1, "ema_decay": 0.5}
    return TrainConfig.from_mapping(values | changes)


def trainer(folder: Path, **changes: object) -> Trainer:
    settings = config(**changes)
    torch.manual_seed(settings.seed)
    return Trainer(settings, NOCS_CATEGORIES, make_upright_boxes(), make_upright_boxes(12), folder)


def losses(folder: Path) -> list[dict[str, float]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [r["losses"] for r in records if "losses" in r]


def test_training_lowers_error_and_writes_model(tmp_path: Path) -> None:
    """With any seed each of these falls to a third or less."""
    changes = {"steps": 80, "validate_every": 80, "learning_rate": 0.01, "ema_decay": 0.8}
    run = trainer(tmp_path, **changes, pose_loss={"translation": 40.0, "size": 40.0})
    before = run.validate()["mean"]
    terms = [run.optimise() for _ in range(80)]
    after = run.run()["mean"]
    assert after.rotation_deg_median < 0.5 * before.rotation_deg_median
    assert after.translation_cm_median < 0.5 * before.translation_cm_median
    assert sum(term["size"] for term in terms[-10:]) < 0.5 * sum(term["size"] for term in terms[:10])
    pose = Predictor.load(str(tmp_path / "model.safetensors"), device="cpu").predict(
        make_upright_boxes(1).points, ["bottle"]
    )[0]
    assert np.isfinite(pose.T_camera_object).all()


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "ranger"])
def test_resumed_training_equals_uninterrupted_training(tmp_path: Path, optimizer: str) -> None:
    whole = trainer(tmp_path / "whole", optimizer=optimizer)
    whole.run()
    half = trainer(tmp_path / "parts", optimizer=optimizer)
    while half.progress.step < 6:
        half.optimise()
    half.save({})
    rest = trainer(tmp_path / "parts", optimizer=optimizer)
    rest.resume()
    assert rest.progress.step == 6
    rest.run()
    for name, value in whole.modules.network.state_dict().items():
        assert torch.equal(value, rest.modules.network.state_dict()[name]), name
    for name, value in whole.modules.average.state_dict().items():
        assert torch.equal(value, rest.modules.average.state_dict()[name]), name


def test_resumed_streamed_training_equals_uninterrupted_training(
    tmp_path: Path, seen_shards: Path, seen_samples: CloudSamples
) -> None:
    def streaming(folder: Path) -> Trainer:
        torch.manual_seed(0)
        return Trainer(config(), NOCS_CATEGORIES, ShardStream(seen_shards, seed=0, window=2), seen_samples, folder)

    whole = streaming(tmp_path / "whole")
    whole.run()
    half = streaming(tmp_path / "parts")
    while half.progress.step < 5:
        half.optimise()
    half.save({})
    rest = streaming(tmp_path / "parts")
    rest.resume()
    rest.run()
    for name, value in whole.modules.average.state_dict().items():
        assert torch.equal(value, rest.modules.average.state_dict()[name]), name


def test_start_from_loads_weights_of_fitting_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trainer(tmp_path / "first")
    first.run()
    model = tmp_path / "first" / "model.safetensors"
    second = trainer(tmp_path / "second", seed=5)
    assert second.validate() != first.validate()
    second.start_from(model)
    assert second.validate() == first.validate()
    for name, value in first.modules.average.module.state_dict().items():
        assert torch.equal(value, second.modules.network.state_dict()[name]), name
    monkeypatch.setitem(network.PRESETS, "clipose_small", replace(TINY, head_points=64, dropout=0.1))
    trainer(tmp_path / "fewer", points=128).start_from(model)
    monkeypatch.setitem(network.PRESETS, "clipose_small", replace(TINY, widths=tuple(2 * w for w in TINY.widths)))
    wider = trainer(tmp_path / "wider")
    wider.start_from(model)
    assert wider.validate()["mean"].size_percent_median == pytest.approx(
        first.validate()["mean"].size_percent_median, rel=1e-3
    )
    monkeypatch.setitem(network.PRESETS, "clipose_small", replace(TINY, supports=3))
    with pytest.raises(TrainingError, match="architecture.*supports=3.*supports=2"):
        trainer(tmp_path / "third").start_from(model)


def test_start_from_rejects_fusion_network(tmp_path: Path, tiny_clip: str) -> None:
    trainer(tmp_path / "first").save({})
    clip = {"model": tiny_clip, "pretrained": "random", "prompt_length": 0}
    fusion = {"kind": "concat_before", "modality": "text"}
    fused = trainer(tmp_path / "fused", fusion=fusion, clip=clip, prompts={"pose": "none"})
    with pytest.raises(TrainingError, match=r"fusion \(concat_before\) cannot start from a model: leave out --start"):
        fused.start_from(tmp_path / "first" / "model.safetensors")


def test_stop_signal_saves_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trainer(tmp_path, steps=10_000, validate_every=10_000)
    optimise = run.optimise

    def optimise_then_stop() -> object:
        result = optimise()
        if run.progress.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    run.optimise = optimise_then_stop
    with pytest.raises(StoppedError) as stop:
        run.run()
    assert stop.value.signal == signal.SIGTERM
    assert "stopped at step 3 of 10000: continue with --resume" in capsys.readouterr().out
    again = trainer(tmp_path, steps=10_000, validate_every=10_000)
    again.resume()
    assert again.progress.step == run.progress.step == 3


def test_non_finite_loss_raises_error_with_remedy(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    with torch.no_grad():
        run.modules.network.head_ts.cloud2.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="learning_rate"):
        run.run()
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(("name", "value"), [("points", float("nan")), ("size", float("inf")), ("points", 3e38)])
def test_unusable_cloud_is_named_instead_of_learning_rate(tmp_path: Path, name: str, value: float) -> None:
    clouds = make_upright_boxes(6)
    getattr(clouds, name)[3, 1] = value
    run = Trainer(config(batch=6), NOCS_CATEGORIES, clouds, make_upright_boxes(12), tmp_path)
    with pytest.raises(TrainingError, match=rf"'{name}' of training cloud 3 .*remove it") as error:
        run.run()
    assert "learning_rate" not in str(error.value)


def test_state_of_another_network_or_optimizer_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.optimise()
    run.save({})
    good = torch.load(tmp_path / "state.pt", weights_only=True)
    first = next(iter(good["network"]))
    moments = good["optimizer"]["state"][0]
    for wrong in (
        {"network": {}},
        {"network": good["network"] | {first: torch.zeros(7)}},
        {"average": good["average"] | {"more": torch.zeros(7)}},
        {"optimizer": {}},
        {"optimizer": good["optimizer"] | {"param_groups": []}},
        {"optimizer": good["optimizer"] | {"state": {0: moments | {"exp_avg": torch.zeros(7)}}}},
        {"random": {}},
        {"random": {"cpu": torch.zeros(7)}},
    ):
        torch.save(good | wrong, tmp_path / "state.pt")
        with pytest.raises(TrainingError, match=r"state\.pt' cannot be resumed \(it does not fit this run") as error:
            trainer(tmp_path).resume()
        assert str(error.value).isprintable()


def test_resume_rejects_missing_state_and_other_recipe(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"state\.pt"):
        trainer(tmp_path).resume()
    trainer(tmp_path).save({})
    with pytest.raises(TrainingError, match="another recipe"):
        trainer(tmp_path, batch=5).resume()


def test_learning_rate_warms_up_stays_and_decays() -> None:
    schedule = config(steps=100, warmup_steps=10, lr_flat_fraction=0.5)
    factors = [learning_rate_factor(step, schedule) for step in range(101)]
    assert factors[5] == pytest.approx(0.5) and factors[10:51] == [1.0] * 41
    assert factors[75] == pytest.approx(0.5) and factors[100] == pytest.approx(0.0)


@pytest.mark.parametrize("where", ["clouds.npz", "shards", "file://"])
def test_command_trains_from_files_folders_and_urls(
    tmp_path: Path, where: str, seen_shards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_upright_boxes().save(tmp_path / "clouds.npz")
    data = {"clouds.npz": str(tmp_path / "clouds.npz"), "shards": str(seen_shards), "file://": f"file://{seen_shards}"}
    (tmp_path / "recipe.yaml").write_text("steps: 2\nbatch: 4\nvalidate_every: 2\n")
    arguments = ["--recipe", str(tmp_path / "recipe.yaml"), "--data", data[where]]
    arguments += ["--validation", str(tmp_path / "clouds.npz"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert data[where] in said and ("in memory" if where == "clouds.npz" else "streamed from shards") in said
    assert main([*arguments, "batch=3", "weights.size=2"]) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Options that train two steps into ``run``."""
    make_upright_boxes().save(tmp_path / "clouds.npz")
    (tmp_path / "recipe.yaml").write_text("steps: 2\nbatch: 4\nvalidate_every: 2\ntensorboard: false\n")
    data = ["--data", str(tmp_path / "clouds.npz"), "--validation", str(tmp_path / "clouds.npz")]
    return ["--recipe", str(tmp_path / "recipe.yaml"), *data, "--out", str(tmp_path / "run"), "--device", "cpu"]


def test_command_refuses_to_overwrite_run(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    (tmp_path / "clouds.npz").rename(tmp_path / "moved.npz")
    assert main(command) == 1, "before anything is loaded"
    assert "run' holds a run: resume it with --resume, or choose another folder" in capsys.readouterr().err
    (tmp_path / "moved.npz").rename(tmp_path / "clouds.npz")
    assert main([*command, "--dry-run"]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert main([*command, "--resume"]) == 0


def test_command_states_errors_in_one_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*options: str) -> str:
        assert main([*command, *options]) == 1
        said = capsys.readouterr().err
        assert said.startswith("train: ") and said[:-1].isprintable(), said
        return said

    run = tmp_path / "run"
    with RunDir(run).locked():
        assert f"run' is in use by another training run (process {os.getpid()}" in refused()
        assert main([*command, "--dry-run"]) == 0
        capsys.readouterr()
    assert not run.exists()
    run.mkdir()
    (run / "state.pt").write_bytes(b"")
    assert "state.pt' cannot be resumed" in refused("--resume")
    (run / "state.pt").unlink()
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        assert "WORLD_SIZE is 2, but RANK" in refused()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "device 'cuda' does not exist" in refused("--device", "cuda")
    assert "cannot be written" in refused("--out", str(tmp_path / "clouds.npz" / "run"))
    (tmp_path / "recipe.yaml").write_bytes(b"\xff")
    assert "recipe.yaml' cannot be read: it is not UTF-8" in refused()
    assert not list(run.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_command_returns_128_plus_signal(
    command: list[str], number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimise = Trainer.optimise

    def optimise_then_stop(run: Trainer) -> object:
        os.kill(os.getpid(), number)
        return optimise(run)

    monkeypatch.setattr(Trainer, "optimise", optimise_then_stop)
    assert main(command) == 128 + number


def test_dry_run_resumes_and_starts_as_run_does(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = [*command, "--dry-run"]
    assert main([*dry, "--resume"]) == 1
    assert f"nothing to resume: '{tmp_path / 'run' / 'state.pt'}'" in capsys.readouterr().err
    assert main([*command, "seed=7"]) == 0
    assert main([*dry, "--resume"]) == 1
    assert "another recipe" in capsys.readouterr().err
    assert main([*dry, "--resume", "seed=7"]) == 0
    assert "resumes at step 2" in capsys.readouterr().out
    model = str(tmp_path / "run" / "model.safetensors")
    assert main([*dry, "--start", model]) == 0
    monkeypatch.setitem(network.PRESETS, "clipose_small", replace(TINY, supports=3))
    assert main([*dry, "--start", model]) == 1
    assert "different architecture" in capsys.readouterr().err


def test_command_names_unknown_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.yaml").write_text("learning_rat: 2\n")
    nothing = str(tmp_path / "clouds.npz")
    status = main(
        ["--recipe", str(tmp_path / "recipe.yaml"), "--data", nothing, "--validation", nothing, "--out", str(tmp_path)]
    )
    assert status == 1 and "did you mean 'learning_rate'" in capsys.readouterr().err


def test_command_line_settings_override_recipe() -> None:
    assert overrule(config(), ["augment.roll_deg=5", "batch=9"]).augment.roll_deg == 5.0
    with pytest.raises(ConfigError, match="key=value"):
        overrule(config(), ["batch"])


@pytest.mark.parametrize(
    "recipe", sorted(Path(__file__).parents[2].glob("config/recipes/*.yaml")), ids=lambda p: p.stem
)
def test_shipped_recipe_is_valid(recipe: Path) -> None:
    assert read_recipe(recipe).steps > 0


def table(value: float) -> dict[str, Accuracy]:
    return {"mean": Accuracy(1, 1.0, 1.0, 1.0, {"10deg5cm": value})}


def test_best_model_is_kept_if_later_scores_are_lower(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.save(table(40.0))
    best = (tmp_path / "best.safetensors").read_bytes()
    run.optimise()
    run.save(table(30.0))
    again = trainer(tmp_path)
    again.resume()
    again.optimise()
    again.save(table(39.0))
    assert (tmp_path / "best.safetensors").read_bytes() == best
    again.save(table(41.0))
    assert (tmp_path / "best.safetensors").read_bytes() != best


def test_state_of_version_without_best_score_is_resumed(tmp_path: Path) -> None:
    trainer(tmp_path).save({})
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["best"], state["extras"], state["config"]["fusion"]
    torch.save(state, tmp_path / "state.pt")
    run = trainer(tmp_path)
    run.resume()
    run.save(table(0.0))
    assert (tmp_path / "best.safetensors").is_file()


def test_state_holds_and_restores_random_generators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer(tmp_path).save({})
    assert set(torch.load(tmp_path / "state.pt", weights_only=True)["random"]) == {"cpu"}
    device, put_back = torch.arange(16, dtype=torch.uint8), []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda name: device if name == "cuda:1" else None)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, name: put_back.append((state, name)))
    state = random_state("cuda:1")
    assert torch.equal(state["cuda"], device) and torch.equal(state["cpu"], torch.get_rng_state())
    torch.rand(3)
    set_random_state(state, "cpu")
    assert torch.equal(torch.get_rng_state(), state["cpu"]) and not put_back
    set_random_state(state, "cuda:1")
    assert torch.equal(put_back[0][0], device) and put_back[0][1] == "cuda:1"
    set_random_state(state["cpu"], "cuda:1")  # of an older version
    assert len(put_back) == 1


def test_non_finite_gradient_changes_no_weight(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.save({})
    run.modules.parameters[0].register_hook(lambda gradient: gradient * float("inf"))
    before = {name: p.detach().clone() for name, p in run.modules.network.named_parameters()}
    with pytest.raises(TrainingError, match=r"gradient.*last good state is"):
        run.run()
    assert all(torch.equal(p, before[name]) for name, p in run.modules.network.named_parameters())


def full_disk(path: Path, data: object) -> None:
    path.touch()
    raise OSError(28, "No space left on device")


def test_full_disk_keeps_previous_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path)
    run.save(table(10.0))
    before = (tmp_path / "state.pt").read_bytes()
    run.optimise()
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(TrainingError, match="No space left"):
        run.save({})
    assert (tmp_path / "state.pt").read_bytes() == before and not list(tmp_path.glob("*.part"))
    monkeypatch.undo()
    run.save({})
    assert (tmp_path / "state.pt").read_bytes() != before


def test_temporarily_full_disk_does_not_end_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trainer(tmp_path)
    write_bytes = Path.write_bytes

    def full_until_the_end(path: Path, data: bytes) -> int:
        return write_bytes(path, data) if run.progress.step == 12 else full_disk(path, data) or 0

    monkeypatch.setattr(Path, "write_bytes", full_until_the_end)
    run.run()
    assert "No space left" in capsys.readouterr().err
    again = trainer(tmp_path)
    again.resume()
    assert again.progress.step == 12


def test_failed_save_leaves_no_partial_file(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    (tmp_path / "model.safetensors" / "in the way").mkdir(parents=True)
    with pytest.raises(TrainingError, match="model.safetensors"):
        run.save({})
    assert not list(tmp_path.glob("*.part")) and not (tmp_path / "state.pt").exists()
