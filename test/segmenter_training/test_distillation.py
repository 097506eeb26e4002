"""Distillation: the distance to a teacher, and training that keeps its answers in the images that are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clipose_ros.errors import ConfigError
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmenter_training.dataset import ImageSetConfig, write_images
from clipose_ros.segmenter_training.dataset_file import read_image_dataset
from clipose_ros.segmenter_training.distillation import load_teacher, measure_distance
from clipose_ros.segmenter_training.trainer import SegmenterTrainConfig, train_segmenter
from clipose_ros.segmenter_training.weights import load_segmentation_model


def make_outputs(seed: int, shift: float = -1.0) -> dict[str, Tensor]:
    """Return random raw outputs of two images with six classes, 16 bins and 30 anchors."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 6, 30, generator=draw) + shift
    return {"scores": scores, "boxes": torch.randn(2, 64, 30, generator=draw)}


@pytest.mark.parametrize("seed", range(5))
def test_distance_is_zero_at_the_teacher_alone(seed: int) -> None:
    teacher = make_outputs(seed)
    assert measure_distance(teacher, teacher).item() == pytest.approx(0.0, abs=1e-6)
    assert measure_distance(make_outputs(seed + 100), teacher).item() > 0.05


@pytest.mark.parametrize("key", ["scores", "boxes"])
def test_descent_reaches_the_teacher(key: str) -> None:
    teacher, student = make_outputs(1), make_outputs(2)
    moved = student[key].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([moved], lr=0.1)
    rest = {name: value for name, value in teacher.items() if name != key}
    before = measure_distance({key: moved} | rest, teacher).item()
    for _ in range(100):
        optimizer.zero_grad()
        measure_distance({key: moved} | rest, teacher).backward()
        optimizer.step()
    assert measure_distance({key: moved} | rest, teacher).item() < 0.05 * before


def test_huge_logits_have_a_finite_distance_and_gradient() -> None:
    teacher = {key: 1e4 * value for key, value in make_outputs(1).items()}
    student = {key: (-1e4 * value).requires_grad_(True) for key, value in make_outputs(1).items()}
    distance = measure_distance(student, teacher)
    distance.backward()
    assert torch.isfinite(distance)
    assert all(value.grad is not None and torch.isfinite(value.grad).all() for value in student.values())


def test_boxes_count_where_the_teacher_sees_something() -> None:
    blind = make_outputs(1, shift=-30.0)
    other = blind | {"boxes": make_outputs(2)["boxes"]}
    assert measure_distance(other, blind).item() < 1e-6


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of a few small images."""
    pytest.importorskip("ultralytics")
    root = tmp_path_factory.mktemp("distillation")
    for part in ("train", "val"):
        write_images(root, ImageSetConfig(2, part, 96, 64), 1, log=lambda _: None)
    return root / "dataset.yaml"


@pytest.fixture(scope="module")
def start(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return weights with the classes of the data set."""
    recipe = SegmenterTrainConfig(image_size=96, epochs=1, batch=2)
    return train_segmenter(recipe, dataset, tmp_path_factory.mktemp("start"), log=lambda _: None)


def answer(weights: Path, image: Tensor) -> Any:
    """Return the raw outputs of weights for an image."""
    with isolate_ultralytics():
        network = load_segmentation_model(str(weights)).model.float().eval()
        network.model[-1].training = True
        with torch.no_grad():
            return network.predict(image)


def test_training_stays_near_the_teacher_in_named_images_only(dataset: Path, start: Path, tmp_path: Path) -> None:
    distances = {}
    for name, pattern in (("kept", "*"), ("free", "no_such_image_*")):
        recipe = SegmenterTrainConfig(
            start=str(start), image_size=96, epochs=1, batch=2, learning_rate=0.01, frozen_statistics=True,
            teacher=str(start), teacher_images=pattern, teacher_weight=100.0,
        )  # fmt: skip
        weights = train_segmenter(recipe, dataset, tmp_path / name, log=lambda _: None)
        image = torch.from_numpy(np.random.default_rng(0).uniform(size=(1, 3, 96, 96)).astype(np.float32))
        distances[name] = measure_distance(answer(weights, image), answer(start, image)).item()
    assert distances["kept"] < 0.5 * distances["free"]


def test_teacher_with_other_classes_is_refused(dataset: Path, start: Path, tmp_path: Path) -> None:
    with isolate_ultralytics():
        student = load_segmentation_model(str(start)).model
        names = read_image_dataset(dataset, ("train",)).names
        load_teacher(str(start), names, student)
        with pytest.raises(ConfigError, match="give weights with the classes of the images"):
            load_teacher(str(start), [*names[1:], "cup"], student)


def test_teacher_of_another_form_is_refused(start: Path, dataset: Path) -> None:
    with isolate_ultralytics():
        names = read_image_dataset(dataset, ("train",)).names
        student = load_segmentation_model("yolo26n-seg.yaml").model
        with pytest.raises(ConfigError, match="the same architecture"):
            load_teacher(str(start), names, student)
