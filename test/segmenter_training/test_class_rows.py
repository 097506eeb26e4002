"""Replaced classes: the rest of the network is unchanged, and a training run keeps the class branch."""

from pathlib import Path
from typing import Any

import pytest

from clipose_ros.errors import ConfigError
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmentation.yolo import load_yolo
from clipose_ros.segmenter_training.class_rows import replace_classes
from clipose_ros.segmenter_training.dataset import ImageSetConfig, write_images
from clipose_ros.segmenter_training.trainer import SegmenterTrainConfig, train_segmenter

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
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(".cv3." in key for key in changed)
    assert not [key for key in changed if "running" in key]
