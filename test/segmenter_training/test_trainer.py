"""Training of a segmenter: settings, a run of one epoch, and exported weights."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import CheckpointError, ConfigError, DataError
from clipose_ros.resources import config_path
from clipose_ros.segmentation.isolation import isolate_ultralytics, read_checkpoint
from clipose_ros.segmenter_training.dataset import ImageSetConfig, write_images
from clipose_ros.segmenter_training.evaluation import evaluate_segmenter
from clipose_ros.segmenter_training.trainer import SegmenterTrainConfig, train_segmenter
from clipose_ros.segmenter_training.weights import LICENSE, export_weights

SHIPPED = sorted(config_path("segmenter/synthetic.yaml").parent.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_readable(path: Path) -> None:
    SegmenterTrainConfig.read(path)


def test_unknown_setting_names_nearest_one(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epoch: 3\n")
    with pytest.raises(ConfigError, match="epochs"):
        SegmenterTrainConfig.read(recipe)


def test_image_size_must_be_multiple_of_32() -> None:
    with pytest.raises(ConfigError, match="multiple of 32"):
        SegmenterTrainConfig(image_size=100)


def test_unknown_optimizer_lists_choices() -> None:
    with pytest.raises(ConfigError, match="'AdamW', 'MuSGD', got 'SGD'"):
        SegmenterTrainConfig(optimizer="SGD")


def test_resume_without_run_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run to resume"):
        train_segmenter(SegmenterTrainConfig(), tmp_path / "dataset.yaml", tmp_path, resume=True)


def test_missing_data_set_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such data set"):
        train_segmenter(SegmenterTrainConfig(), tmp_path / "dataset.yaml", tmp_path)


@pytest.fixture(scope="module", params=["AdamW", pytest.param("MuSGD", marks=pytest.mark.slow)])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and weights that have seen it once."""
    pytest.importorskip("ultralytics")
    root = tmp_path_factory.mktemp("segmenter")
    for part in ("train", "val"):
        write_images(root / "data", ImageSetConfig(1, part, 96, 64), 1, log=lambda _: None)
    dataset = root / "data/dataset.yaml"
    config = SegmenterTrainConfig(image_size=96, epochs=1, batch=3, precision="bf16", optimizer=request.param)
    return dataset, train_segmenter(config, dataset, root / "out")


def test_exported_weights_hold_license_and_no_paths(trained: tuple[Path, Path]) -> None:
    _, weights = trained
    raw = weights.read_bytes()
    assert LICENSE.encode() in raw
    assert str(weights.parent.parent).encode() not in raw
    assert len(raw) < 8e6  # 16 bit, no optimiser


def test_exported_weights_hold_no_path_of_starting_weights(trained: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    best = trained[1].parent / "run" / "weights" / "best.pt"
    with isolate_ultralytics():
        held = dict(read_checkpoint(best))
    began = str(tmp_path / "somewhere" / "last.pt")
    (held.get("ema") or held["model"]).pt_path = began  # as ultralytics notes weights that it started from
    torch.save(held, tmp_path / "best.pt")
    assert began.encode() in (tmp_path / "best.pt").read_bytes()
    assert began.encode() not in export_weights(tmp_path / "best.pt", tmp_path / "out.pt").read_bytes()


def test_exported_weights_run_in_segmenter(trained: tuple[Path, Path]) -> None:
    import numpy as np

    from clipose_ros.segmentation import create_segmenter
    from clipose_ros.types import CameraIntrinsics, RgbdFrame

    entries = tuple(f"{name}:{name}" for name in NOCS_CATEGORIES.names)
    config = SegmentationConfig(model=str(trained[1]), class_map=entries, image_size=96, score_threshold=0.0)
    segmenter = create_segmenter(config, NOCS_CATEGORIES, "cpu")
    camera = CameraIntrinsics(90.0, 90.0, 47.5, 31.5, 96, 64)
    rgb = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    for instance in segmenter.segment(RgbdFrame(rgb, np.ones((64, 96), np.float32), camera)):
        assert instance.category in NOCS_CATEGORIES.names


def test_accuracy_is_measured_by_class(trained: tuple[Path, Path]) -> None:
    rows = evaluate_segmenter(trained[1], trained[0], 96)
    assert "all" in rows and set(rows) <= {"all", *NOCS_CATEGORIES.names}
    assert all(0.0 <= value <= 1.0 for row in rows.values() for value in dataclasses.astuple(row))


def test_finished_run_keeps_its_settings(trained: tuple[Path, Path]) -> None:
    told = yaml.safe_load((trained[1].parent / "run/args.yaml").read_text())
    assert (told["imgsz"], told["epochs"], told["batch"], told["nbs"]) == (96, 1, 3, 3)


def test_export_rejects_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    import torch

    pytest.importorskip("ultralytics")
    torch.save({"model": 1}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt"):
        export_weights(tmp_path / "other.pt", tmp_path / "out.pt")


def test_training_writes_pictures_and_parameters_beside_the_weights(trained: tuple[Path, Path]) -> None:
    weights = trained[1]
    assert len(list((weights.parent / "predictions").glob("*.jpg"))) == 6
    written = yaml.safe_load(weights.with_suffix(".yaml").read_text())["/**"]["ros__parameters"]["segmentation"]
    config = SegmentationConfig.from_mapping(written)
    assert (config.backend, config.model, config.image_size) == ("yolo", str(weights.resolve()), 96)
    assert config.class_map == tuple(f"{name}:{name}" for name in NOCS_CATEGORIES.names)
