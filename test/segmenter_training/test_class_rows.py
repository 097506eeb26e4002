"""Replaced classes: the rest of the network is unchanged, and a training run keeps the class branch."""

from pathlib import Path
from typing import Any

import pytest

from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmentation.yolo import load_yolo
from clipose_ros.segmenter_training.class_rows import replace_classes
from clipose_ros.segmenter_training.dataset import ImageSetConfig, write_images
from clipose_ros.segmenter_training.trainer import SegmenterTrainConfig, train_segmenter
from clipose_ros.segmenter_training.weights import average_weights

torch = pytest.importorskip("torch")
pytest.importorskip("ultralytics")
NAMES = ("bottle", "bowl", "camera", "can", "laptop", "mug")
SOURCES = {"bottle": ["7"], "bowl": ["3"], "camera": ["1", "2"], "can": ["7", "9"], "laptop": ["70"], "mug": ["9"]}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 80 classes with random weights."""
    path = tmp_path_factory.mktemp("weights") / "start.pt"
    with isolate_ultralytics():
        from ultralytics.nn.tasks import SegmentationModel

        torch.manual_seed(0)
        network = SegmentationModel("yolov8n-seg.yaml", nc=80, verbose=False)
        network.names = {number: str(number) for number in range(80)}
        torch.save({"model": network, "train_args": {"task": "segment"}, "epoch": -1}, path)
    return path


def predict(path: Path) -> Any:
    with isolate_ultralytics(), torch.no_grad():
        network = load_yolo(str(path)).model.float().eval()
        # Boxes, class scores and mask coefficients ``(1, 4 + classes + 32, anchors)``.
        return network(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))[0][0]


def test_boxes_and_scores_of_sources_are_kept(start: Path, tmp_path: Path) -> None:
    before, after = predict(start)[0], predict(replace_classes(start, tmp_path / "new.pt", NAMES, SOURCES))[0]
    assert after.shape[0] == 4 + 6 + 32
    close = {"rtol": 1e-2, "atol": 1e-2}  # the weights are stored in 16 bit
    torch.testing.assert_close(after[:4], before[:4], rtol=2e-2, atol=0.3)
    torch.testing.assert_close(after[-32:], before[-32:], **close)
    for row, source in ((0, 7), (1, 3), (4, 70), (5, 9)):
        torch.testing.assert_close(after[4 + row], before[4 + source], **close)


def test_class_without_source_is_named(start: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'can'"):
        replace_classes(start, tmp_path / "new.pt", NAMES, {**SOURCES, "can": []})
    with pytest.raises(ConfigError, match="tin"):
        replace_classes(start, tmp_path / "new.pt", NAMES, {**SOURCES, "can": ["tin"]})


def test_training_of_the_class_branch_changes_nothing_else(start: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_images(tmp_path / "data", ImageSetConfig(1, part, 96, 64), 1, log=lambda _: None)
    begun = replace_classes(start, tmp_path / "new.pt", NAMES, SOURCES)
    config = SegmenterTrainConfig(
        start=str(begun), image_size=96, epochs=1, batch=6, trained="class_branch", frozen_statistics=True,
        learning_rate=0.01, warmup_epochs=0.0,
    )  # fmt: skip
    trained = train_segmenter(config, tmp_path / "data/dataset.yaml", tmp_path / "out")
    with isolate_ultralytics():
        before, after = (load_yolo(str(path)).model.float().state_dict() for path in (begun, trained))
    assert before.keys() == after.keys()  # a rebuilt branch would have other shapes
    mean = average_weights([trained, trained], tmp_path / "mean.pt")
    with isolate_ultralytics():
        averaged = load_yolo(str(mean)).model.float().state_dict()
    assert all(torch.equal(averaged[key], after[key]) for key in after)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(".cv3." in key for key in changed)
    assert not [key for key in changed if "running" in key]


def write_checkpoint(path: Path, start: Path, factor: float, names: dict[int, str] | None = None) -> Path:
    """Write a checkpoint whose weights are those of ``start`` times a factor."""
    with isolate_ultralytics():
        network = load_yolo(str(start)).model.float()
        for parameter in network.parameters():
            parameter.data *= factor
        network.names = names or network.names
        torch.save({"model": network, "epoch": -1, "train_args": {"task": "segment", "imgsz": 64}}, path)
    return path


def test_average_is_the_mean_of_the_weights(start: Path, tmp_path: Path) -> None:
    paths = [write_checkpoint(tmp_path / f"{factor}.pt", start, factor) for factor in (0.5, 1.0, 2.0)]
    mean = average_weights(paths, tmp_path / "mean.pt")
    with isolate_ultralytics():
        expected, found = (dict(load_yolo(str(path)).model.float().named_parameters()) for path in (start, mean))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value * (3.5 / 3.0), rtol=2e-3, atol=1e-4)


def test_average_refuses_other_classes_and_nothing(start: Path, tmp_path: Path) -> None:
    other = {number: f"other {number}" for number in range(80)}
    paths = [write_checkpoint(tmp_path / "a.pt", start, 1.0), write_checkpoint(tmp_path / "b.pt", start, 1.0, other)]
    with pytest.raises(CheckpointError, match=r"b\.pt"):
        average_weights(paths, tmp_path / "mean.pt")
    with pytest.raises(ConfigError, match="at least one"):
        average_weights([], tmp_path / "mean.pt")
