"""The command ``evaluate --scenes``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import evaluate
from clipose_ros.cli.evaluate_options import read_options
from clipose_ros.data.synthetic import scene_views
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the options of an untrained network and of small images."""
    monkeypatch.setattr(scene_views, "ViewRecipe", partial(scene_views.ViewRecipe, width=160, height=120))
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "tiny.safetensors", CLIPoseNet(TINY, NOCS_CATEGORIES))
    return ["--scenes", "1", "--model", str(tmp_path / "tiny.safetensors"), "--device", "cpu", "--engine", "pytorch"]


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "latency"}


def test_evaluate_gives_equal_results_with_stored_frames(
    model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, records = tmp_path / "frames", []
    for number, options in enumerate(([], ["--frames-in", str(kept)], ["--frames-in", str(kept)])):
        path = tmp_path / f"{number}.json"
        assert evaluate.main([*model, "--json", str(path), *options]) == 0
        records.append(json.loads(path.read_text()))
        rendered = "1 of 1 scenes rendered" in capsys.readouterr().err
        assert rendered == (number < 2)  # the third run reads the stored frames
    assert without_times(records[0]) == without_times(records[1]) == without_times(records[2])
    counts = records[0]["found"]["all"]
    assert counts["objects"] >= 3
    assert counts["mask_recall"] == counts["mask_precision"] == 100.0
    assert records[0]["iou"]["oriented"]["categories"]["mean"]["truths"] == counts["objects"]
    assert records[0]["latency"]["median_ms"] > 0.0
    assert "masks: labels" in records[0]["source"] and "seed 10000000" in records[0]["source"]


def test_evaluate_shows_recall_in_tables_and_report(
    model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert evaluate.main([*model, "--seed", "3", "--report", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "precision" in printed and "IoU released" in printed
    assert ", engine pytorch) on " in printed, "the engine is printed: auto chooses by the machine"
    assert "Objects detected and posed" in page.read_text(encoding="utf-8")


def test_evaluate_names_frames_and_categories_that_do_not_match(
    model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "categories.yaml").write_text(
        "categories: [{name: candle, mean_size: [0.1, 0.1, 0.1], shape: cylinder,"
        " size_range: [[0.05, 0.05, 0.05], [0.1, 0.1, 0.1]]}]"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for options, message in (
        (["--categories", str(tmp_path / "categories.yaml")], "'candle' with id 1, but the model has 1 bottle"),
        (["--frames-in", str(tmp_path / "mine")], "new or empty folder"),
        (["--segmenter", "yolo:nowhere.pt"], "got 'yolo:nowhere.pt'"),
        (["--params", str(tmp_path / "nowhere.yaml")], "nowhere.yaml"),
    ):
        assert evaluate.main([*model, *options]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "option", "requirement"),
    [
        (["--results", "a"], ["--segmenter", "labels"], "--scenes or --photos or --bag"),
        (["--data", "a"], ["--frames-in", "b"], "--scenes"),
        (["--data", "a"], ["--meshes", "b"], "--scenes or --tables"),
        (["--data", "a"], ["--workers", "1"], "--scenes or --tables"),
        (["--scenes", "1"], ["--index", "index.csv"], "--meshes"),
        (["--nocs", "a"], ["--split", "val"], "--meshes"),
        (["--sequence", "9"], ["--mesh-share", "0"], "--meshes"),
        (["--data", "a"], ["--seed", "0"], "--sequence or --scenes"),
        (["--scenes", "1"], ["--subset", "real_test"], "--nocs"),
        (["--scenes", "1"], ["--smoothing", "0"], "--sequence"),
        (["--scenes", "1"], ["--breakdown"], "--data"),
        (["--results", "a"], ["--model", "b"], "--data or --sequence or --nocs or --scenes or --bag"),
    ],
)
def test_evaluate_rejects_options_without_effect(
    source: list[str], option: list[str], requirement: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate.main([*source, *option])
    assert f"{option[0]} requires {requirement}\n" in capsys.readouterr().err


def test_read_options_sets_defaults() -> None:
    options = read_options(None, ["--scenes", "1"])
    assert (options.workers, options.split, options.mesh_share, options.breakdown) == (1, "val", 0.5, False)
    assert read_options(None, ["--nocs", "a"]).subset == "real_test"


def test_evaluate_resumes_after_an_interrupt(
    model: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, real, drawn = tmp_path / "frames", scene_views.make_scene, []

    def second_interrupted(*arguments: Any) -> Any:
        drawn.append(arguments)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(scene_views, "make_scene", second_interrupted)
    kept = [*model, "--scenes", "2", "--frames-in", str(frames)]
    assert evaluate.main(kept) == 130
    printed = capsys.readouterr().err
    assert "evaluate: interrupted; the same command continues after the completed scenes\n" in printed
    assert evaluate.main(kept) == 0
    assert len(drawn) == 3  # the first scene is stored


def test_evaluate_rejects_numbers_below_one(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, message in (
        (["--scenes", "0"], "--scenes must be at least 1, got 0"),
        (["--scenes", "1", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["--scenes", "1", "--data", "a"], "not allowed with argument"),
    ):
        with pytest.raises(SystemExit):
            evaluate.main(wrong)
        assert message in capsys.readouterr().err
