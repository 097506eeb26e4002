"""The Mask R-CNN backend on random weights that are saved to a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.mask_rcnn import MASK_RCNN, MaskRcnnSegmenter


@pytest.fixture(scope="module")
def coco_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded random weights of a 91-class network that finds cups everywhere."""
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    box, mask = model.roi_heads.box_predictor, model.roi_heads.mask_predictor.mask_fcn_logits
    with torch.no_grad():
        # Untrained activations grow without bound. With zero weights, biases alone determine scores and boxes.
        for layer in (box.cls_score, box.bbox_pred, mask):
            layer.weight.zero_()
        box.cls_score.bias[47] += 5.0  # COCO's cup
        box.cls_score.bias[51] += 4.5  # COCO's bowl
        mask.bias += 5.0
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(model.state_dict(), path)
    return path


def config(model: Path, **changes) -> SegmentationConfig:
    changes.setdefault("class_map", ("cup:mug", "bowl:bowl"))
    return SegmentationConfig(backend="mask_rcnn", model=str(model), image_size=128, **changes)


def test_instances_are_ours_best_first_and_apart(coco_weights: Path, make_frame) -> None:
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    segmenter = create_segmenter(config(coco_weights, score_threshold=0.05, max_instances=4), NOCS_CATEGORIES, "cpu")
    found = segmenter.segment(make_frame(rgb=image))
    assert 0 < len(found) <= 4
    assert {i.category for i in found} <= {"mug", "bowl"}
    assert [i.score for i in found] == sorted((i.score for i in found), reverse=True)
    for instance in found:
        x0, y0, x1, y1 = instance.box
        assert 0 <= x0 < x1 <= 128 and 0 <= y0 < y1 <= 96
    assert len({i.box for i in found}) == len(found), "one thing came back as two categories"
    segmenter.reconfigure(config(coco_weights, score_threshold=1.0))
    assert segmenter.segment(make_frame(rgb=image)) == []


def random_image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)


def make(weights: Path, **changes) -> MaskRcnnSegmenter:
    """Create the segmenter with a low threshold: untrained networks have low scores."""
    changes.setdefault("score_threshold", 0.05)
    return MaskRcnnSegmenter(config(weights, **changes), NOCS_CATEGORIES, "cpu")


def test_the_specification_creates_the_segmenter(coco_weights: Path) -> None:
    segmenter = MASK_RCNN.create(config(coco_weights), NOCS_CATEGORIES, "cpu")
    assert isinstance(segmenter, MaskRcnnSegmenter) and MASK_RCNN.settings_type is None


def test_safetensors_give_the_same_instances(coco_weights: Path, make_frame, tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    save_file(torch.load(coco_weights, weights_only=True), path)
    one, other = (make(weights).segment(make_frame(rgb=random_image())) for weights in (coco_weights, path))
    assert [(a.category, a.box, a.score) for a in one] == [(b.category, b.box, b.score) for b in other]


@pytest.mark.parametrize(("class_map", "categories"), [(("bowl:bowl",), set()), (("47:mug",), {"mug"})])
def test_only_mapped_classes_are_returned(coco_weights: Path, make_frame, class_map, categories) -> None:
    """All detections of the network are cups, number 47 of COCO: the bowls have lower scores and exceed its limit."""
    segmenter = make(coco_weights, class_map=class_map)
    assert {instance.category for instance in segmenter.segment(make_frame(rgb=random_image()))} == categories


def test_number_of_instances_is_a_live_setting_and_masks_fill_their_boxes(coco_weights: Path, make_frame) -> None:
    frame, segmenter = make_frame(rgb=random_image()), make(coco_weights, max_instances=64)
    every = segmenter.segment(frame)
    assert len(every) > 3
    segmenter.reconfigure(config(coco_weights, score_threshold=0.05, max_instances=3))
    assert [instance.box for instance in segmenter.segment(frame)] == [instance.box for instance in every[:3]]
    for instance in every:
        x0, y0, x1, y1 = instance.box
        assert instance.mask.shape == (y1 - y0, x1 - x0) and instance.mask.dtype == np.bool_
        assert instance.mask.any(axis=0)[[0, -1]].all() and instance.mask.any(axis=1)[[0, -1]].all()


def test_an_unknown_class_is_named_with_similar_ones(coco_weights: Path) -> None:
    with pytest.raises(SegmentationError, match=r"class 'cups'.*did you mean 'cup'"):
        make(coco_weights, class_map=("cups:mug",))


def test_weights_of_the_second_version_and_own_classes(tmp_path: Path, make_frame) -> None:
    path = tmp_path / "v2.pth"
    torch.save(
        {"model": maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None, num_classes=7).state_dict()}, path
    )
    segmenter = create_segmenter(config(path, class_map=("6:mug",)), NOCS_CATEGORIES, "cpu")
    assert isinstance(segmenter.segment(make_frame(rgb=np.zeros((96, 128, 3), np.uint8))), list)
    with pytest.raises(SegmentationError, match="has no class names"):
        create_segmenter(config(path, class_map=("mug:mug",)), NOCS_CATEGORIES, "cpu")


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match="absent.pth.*Nothing is downloaded"):
        create_segmenter(config(tmp_path / "absent.pth"), NOCS_CATEGORIES, "cpu")


@pytest.mark.parametrize("content", [b"", b"nothing"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_corrupt_file_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(SegmentationError, match=f"bad{suffix}.*cannot be read"):
        create_segmenter(config(path), NOCS_CATEGORIES, "cpu")


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(SegmentationError, match="other.pth.*no Mask R-CNN"):
        create_segmenter(config(tmp_path / "other.pth"), NOCS_CATEGORIES, "cpu")
    torch.save({"roi_heads.box_predictor.cls_score.weight": torch.zeros(7, 1024)}, tmp_path / "part.pth")
    with pytest.raises(SegmentationError, match="does not fit maskrcnn_resnet50_fpn"):
        create_segmenter(config(tmp_path / "part.pth", class_map=("6:mug",)), NOCS_CATEGORIES, "cpu")
