"""Logging of a run: plain lines, progress bar, TensorBoard."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model import network
from clipose_ros.model.network import Architecture
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.reporting.box_images import PIXELS, TRUTH, box_picture
from clipose_ros.training.reporting.console import ProgressConsole
from clipose_ros.training.reporting.logger import TrainingLogger
from clipose_ros.training.run_dir import RunDir
from clipose_ros.training.trainer import Trainer
from clipose_ros.types import PoseEstimate


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tiny_architecture: Architecture) -> TrainConfig:
    monkeypatch.setitem(network.PRESETS, "clipose_small", tiny_architecture)
    return TrainConfig.from_mapping({"steps": 200, "batch": 4, "threads": 1})


def test_plain_console_prints_means_and_time_left(
    tmp_path: Path, config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = TrainingLogger(RunDir(tmp_path), config)
    with monitor.running(0):
        for step in range(1, 201):
            monitor.step(step, {"size": float(step)}, 1e-3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["step 100/200", "size 50.5000"],
        ["step 200/200", "size 150.5000"],
    ]
    assert lines[1].endswith("0 min left")
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["losses"] for r in records] == [{"size": 50.5}, {"size": 150.5}]


def test_progress_bar_shows_steps_time_and_losses() -> None:
    screen = io.StringIO()
    bar = ProgressConsole(200, 50, Console(file=screen, force_terminal=True, width=120))
    bar.step(60, {"size": 0.125})
    bar.say("step 60: [as it is]")
    bar.close()
    said = screen.getvalue()
    assert "60/200" in said and "size 0.125" in said and "left" in said and "step 60: [as it is]" in said


def test_run_writes_tensorboard_curves_and_pictures(
    tmp_path: Path, config: TrainConfig, seen_samples: CloudSamples
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short = TrainConfig.from_mapping(config.to_mapping() | {"steps": 2, "validate_every": 1})
    Trainer(short, NOCS_CATEGORIES, seen_samples, seen_samples, tmp_path).run()
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    assert {"within/10deg5cm/mean", "median/rotation_deg/mug"} <= set(events.Tags()["scalars"])
    assert [point.step for point in events.Scalars("within/10deg5cm/mean")] == [1, 2]
    assert {f"validation/{name}" for name in NOCS_CATEGORIES.names} == set(events.Tags()["images"])
    assert events.Images("validation/mug")[0].width == PIXELS


def test_run_without_tensorboard_does_not_import_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from clipose_ros.training.reporting.logger import TrainingLogger\n"
        "from clipose_ros.training.config import TrainConfig; from clipose_ros.training.run_dir import RunDir\n"
        "import clipose_ros.training.trainer\n"
        "monitor = TrainingLogger(RunDir(Path(sys.argv[1])), TrainConfig(tensorboard=False))\n"
        "with monitor.running(0): assert not monitor.wants_pictures\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'tensorboard']\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert not list(tmp_path.iterdir())


def test_run_continues_if_tensorboard_or_log_cannot_be_written(
    tmp_path: Path, config: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tensorboard").touch()
    (tmp_path / "log.jsonl").mkdir()
    monitor = TrainingLogger(RunDir(tmp_path), config)
    with monitor.running(0):
        for step in range(1, 101):
            monitor.step(step, {"size": 1.0}, 1e-3)
    said = capsys.readouterr()
    assert "step 100/200" in said.out and "TensorBoard" in said.err and "log.jsonl" in said.err


def test_tensorboard_setting_does_not_change_identity_of_run(config: TrainConfig) -> None:
    silent = TrainConfig.from_mapping(config.to_mapping() | {"tensorboard": False})
    assert silent.is_same_run(config) and config.is_same_run(silent)
    assert not silent.is_same_run(TrainConfig.from_mapping(config.to_mapping() | {"seed": 1}))


def test_box_picture_shows_cloud_true_box_and_predicted_box() -> None:
    T, size = np.eye(4), np.array([0.1, 0.2, 0.1])
    T[:3, 3] = 0.3, -0.2, 0.9
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (200, 3)) * size + T[:3, 3]
    shifted = T.copy()
    shifted[0, 3] += 0.03
    picture = box_picture(points, PoseEstimate("mug", shifted, size, 0.9, (1.0, 1.0)), T, size)
    assert picture.shape == (PIXELS, PIXELS, 3) and picture.dtype == np.uint8
    white = np.argwhere((picture > 0.8 * TRUTH[0]).all(axis=2))
    assert len(white) > 100 and 0.4 * PIXELS < np.ptp(white[:, 0]) < 0.9 * PIXELS
    colourful = np.ptp(picture.astype(int), axis=2) > 60
    assert colourful.sum() > 200 and np.abs(np.argwhere(colourful).mean(axis=0) - PIXELS / 2).max() < PIXELS / 4
