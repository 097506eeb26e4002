"""Detectors made from text prompts, with random weights of the real ultralytics classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import make_segmenter as command
from clipose_ros.cli.node_settings import read_parameters
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.errors import ConfigError, SegmentationError
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmenter_training.text_prompts import (
    PromptedSegmenterConfig,
    make_segmenter,
    missing_downloads,
    parse_prompts,
)
from clipose_ros.types import CameraIntrinsics, RgbdFrame

pytest.importorskip("ultralytics")
PROMPTS = {"mug": "mug", "coffee cup": "mug", "tin can": "can"}
words = st.text(st.characters(categories=["Ll", "Lu"]), min_size=1, max_size=8)


def random_embeddings(model: Any, prompts: Sequence[str]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(prompts))
    return torch.nn.functional.normalize(torch.randn(1, len(prompts), 512, generator=generator), dim=-1)


def write_weights(path: Path, architecture: str) -> Path:
    torch.manual_seed(0)
    with isolate_ultralytics():
        from ultralytics import YOLO

        YOLO(architecture).save(path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "yoloe-26n-seg.pt", "yoloe-26n-seg.yaml")


def test_prompts_are_read_in_order_with_several_per_category() -> None:
    text = " mug: mug, coffee cup ;can:tin can;"
    assert list(parse_prompts(text, NOCS_CATEGORIES).items()) == list(PROMPTS.items())


@given(st.lists(st.tuples(st.sampled_from(NOCS_CATEGORIES.names), words), min_size=1, unique_by=lambda pair: pair[1]))
def test_written_prompts_are_read_back(pairs: list[tuple[str, str]]) -> None:
    text = ";".join(f"{category}: {prompt}" for category, prompt in pairs)
    assert parse_prompts(text, NOCS_CATEGORIES) == {prompt: category for category, prompt in pairs}


@pytest.mark.parametrize("text", ["", ";", "mug", "mug:", "teapot: pot", "mug: cup; can: cup", ": cup"])
def test_wrong_prompts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_prompts(text, NOCS_CATEGORIES)


def test_prompted_model_runs_through_the_backend_with_its_parameter_file(weights: Path, tmp_path: Path) -> None:
    config = PromptedSegmenterConfig(PROMPTS, weights, image_size=64, score_threshold=0.05)
    parameters = make_segmenter(config, tmp_path / "out" / "six.pt", random_embeddings)
    settings = read_parameters(parameters)
    assert settings["segmentation.class_map"] == ["mug:mug", "coffee cup:mug", "tin can:can"]
    node = PoseNodeConfig.from_mapping(nest(settings))
    segmenter = create_segmenter(node.segmentation, NOCS_CATEGORIES, "cpu")
    rgb = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    frame = RgbdFrame(rgb, np.ones((64, 64), np.float32), CameraIntrinsics(60.0, 60.0, 32.0, 32.0, 64, 64))
    assert all(found.category in ("mug", "can") for found in segmenter.segment(frame))
    assert yaml.safe_load(parameters.read_text())["/**"]["ros__parameters"]["segmentation"]["image_size"] == 64


def test_model_without_prompts_is_refused_by_the_backend(weights: Path) -> None:
    settings = {"segmentation.model": str(weights), "segmentation.class_map": ["0:mug"], "segmentation.image_size": 64}
    with pytest.raises(SegmentationError, match="without prompts, which finds nothing.*make_segmenter"):
        create_segmenter(PoseNodeConfig.from_mapping(nest(settings)).segmentation, NOCS_CATEGORIES, "cpu")


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        ("yolov8s-world.yaml", "YOLO-World"),
        ("yolo11n-obb.yaml", r"oriented boxes"),
        ("yolo11n.yaml", "detector of boxes"),
    ],
)
def test_other_kinds_of_models_are_named(tmp_path: Path, architecture: str, named: str) -> None:
    path = write_weights(tmp_path / "other.pt", architecture)
    settings = {"segmentation.model": str(path), "segmentation.class_map": ["0:mug"], "segmentation.image_size": 64}
    with pytest.raises(SegmentationError, match=named):
        create_segmenter(PoseNodeConfig.from_mapping(nest(settings)).segmentation, NOCS_CATEGORIES, "cpu")


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = write_weights(tmp_path / "yolo.pt", "yolo11n-seg.yaml")
    with pytest.raises(SegmentationError, match=r"model of type SegmentationModel, expected YOLOE"):
        make_segmenter(PromptedSegmenterConfig(PROMPTS, path), tmp_path / "out.pt", random_embeddings)
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(SegmentationError, match=r"junk\.pt' is not a YOLOE model"):
        make_segmenter(PromptedSegmenterConfig(PROMPTS, tmp_path / "junk.pt"), tmp_path / "out.pt", random_embeddings)


def test_missing_files_are_those_that_are_not_beside_the_weights(weights: Path, tmp_path: Path) -> None:
    assert [item.name for item in missing_downloads(weights)] == ["mobileclip2_b.ts"]
    assert [item.name for item in missing_downloads(tmp_path / "yoloe-11s-seg.pt")] == [
        "yoloe-11s-seg.pt", "mobileclip_blt.ts",
    ]  # fmt: skip


def test_command_lists_downloads_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompts", "mug: cup", "--weights", str(tmp_path / "yoloe-26s-seg.pt"), "--out", "six.pt"]
    assert command.main(arguments) == 1
    error = capsys.readouterr().err.strip()
    assert "yoloe-26s-seg.pt" in error and "mobileclip2_b.ts" in error and "AGPL-3.0" in error and "--download" in error
    assert "\n" not in error and not list(tmp_path.iterdir())


def test_missing_tokenizer_is_named(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None if name == "clip" else object())
    with pytest.raises(SegmentationError, match="package 'clip'.*pip install"):
        make_segmenter(PromptedSegmenterConfig(PROMPTS, weights), tmp_path / "six.pt")
