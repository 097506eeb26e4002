"""Checks that need no ROS."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from clipose_ros.config import PoseNodeConfig, SegmentationConfig
from clipose_ros.doctor import installation
from clipose_ros.doctor.installation import (
    check_detector,
    check_gpu,
    check_models,
    check_packages,
    check_python,
    has_module,
)
from clipose_ros.doctor.row import Row, State

CONFIG = PoseNodeConfig()


def with_detector(backend: str, model: str) -> PoseNodeConfig:
    return dataclasses.replace(CONFIG, segmentation=SegmentationConfig(backend=backend, model=model))


def only(rows: object) -> Row:
    (row,) = rows
    return row


def test_this_environment_is_fine() -> None:
    rows = [*check_python(), *check_packages(), *check_models(CONFIG)]
    assert {row.state for row in rows} == {State.OK}, rows
    assert {"model clipose_small.safetensors", "model clipose_segmenter.pt"} <= {row.check for row in rows}


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "has_module", lambda name: name not in ("torch", "openvino"))
    row = only(check_packages())
    assert row.state is State.PROBLEM and row.found.startswith("missing: torch; found: numpy")
    assert "openvino" not in row.found


def test_has_module_of_odd_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "replaced", None)
    assert has_module("json") and not has_module("no_such.module") and not has_module("replaced")


def test_a_gpu_that_torch_does_not_see_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(installation, "_GPU_DEVICES", tmp_path)
    assert only(check_gpu()).state is State.OK
    (tmp_path / "nvidia0").touch()
    row = only(check_gpu())
    assert row.state is State.PROBLEM and "nvidia0 exist, but torch" in row.found


def test_damaged_and_missing_models_are_problems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "a.md").write_text(
        f"| file | `a.bin`, 1.0 MB, SHA-256 `{'0' * 64}` |\n`b.bin`, 2 MB, SHA-256 `{'1' * 64}`"
    )
    (models / "a.bin").write_bytes(b"damaged")
    monkeypatch.setattr(installation, "share_folders", lambda: [tmp_path])
    (models / "exported").mkdir()
    (models / "exported" / "c.bin").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (models / "z.md").write_text(f"| form | folder `exported`: `c.bin`, 0.1 MB, SHA-256 `{empty}` |")
    damaged, missing, exported, configured = check_models(CONFIG)
    assert exported.state is State.OK
    assert damaged.state is missing.state is State.PROBLEM
    assert "card states 000000000000" in damaged.found and missing.found == "the file is missing"
    assert configured.check == "network.model"
    monkeypatch.setattr(installation, "share_folders", list)
    assert next(iter(check_models(CONFIG))).state is State.PROBLEM


def test_a_configured_model_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG, network=dataclasses.replace(CONFIG.network, model=str(tmp_path / "no.safetensors"))
    )
    assert [row.state for row in check_models(config)][-1] is State.PROBLEM


@pytest.mark.parametrize(
    ("backend", "model", "state", "text"),
    [
        ("labels", "", State.OK, "backend 'labels'"),
        ("yolo", "no_such.pt", State.PROBLEM, "no such file: 'no_such.pt'"),
        ("yolo", "", State.PROBLEM, "none was given"),
        ("yolo", "{folder}/own.pt", State.HINT, "'own.pt' runs with PyTorch on the CPU"),
        ("yolo", "{folder}/own.onnx", State.OK, "'own.onnx' (exported)"),
    ],
)
def test_the_form_of_the_detector_is_told(tmp_path: Path, backend: str, model: str, state: State, text: str) -> None:
    for name in ("own.pt", "own.onnx"):
        (tmp_path / name).touch()
    config = with_detector(backend, model.format(folder=tmp_path))
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, device="cpu"))
    row = only(check_detector(config))
    assert row.state is state and text in row.found


def test_a_missing_ultralytics_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "has_module", lambda name: name != "ultralytics")
    assert only(check_detector(with_detector("yolo", "clipose_segmenter"))).state is State.PROBLEM
