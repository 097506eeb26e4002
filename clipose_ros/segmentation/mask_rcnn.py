"""The backend ``mask_rcnn``: torchvision's Mask R-CNN with a ResNet-50 FPN, the detector of the paper."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torchvision.models.detection import (
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_Weights,
    maskrcnn_resnet50_fpn,
    maskrcnn_resnet50_fpn_v2,
)

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.segmentation.class_map import parse_class_map, resolve_classes, resolve_weights
from clipose_ros.segmentation.overlap import suppress_overlaps
from clipose_ros.types import InstanceMask, RgbdFrame

_ADVICE = (
    "Give a state dict of torchvision's maskrcnn_resnet50_fpn or maskrcnn_resnet50_fpn_v2 (.pth, .pt or .safetensors), "
    "such as the COCO weights that torchvision offers, or one trained on the six categories."
)
_CLASSIFIER_WEIGHT = "roi_heads.box_predictor.cls_score.weight"
_V2_WEIGHT = "roi_heads.box_head.0.0.weight"


class MaskRcnnSegmenter:
    """Segmenter that runs a Mask R-CNN whose weights are a local state dict.

    Weights with 91 classes are assumed to be trained on COCO, whose class names ``class_map`` uses (cup, bottle, ...).
    With any other number of classes, which a state dict does not name, ``class_map`` uses class numbers (``6:mug``; 0
    is the background).
    """

    def __init__(self, config: SegmentationConfig, categories: CategorySet, device: str = "auto") -> None:
        """Load the weights.

        Raises:
            SegmentationError: The file is missing, unreadable, of another architecture, or lacks a class of
                ``class_map``.
            ConfigError: ``class_map`` is malformed or names an unknown category.
        """
        mapping = parse_class_map(config.class_map, categories)
        path = resolve_weights(config.model, "mask_rcnn", _ADVICE)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        model = _build_model(_read_state_dict(path), path, config.image_size)
        self._classes = resolve_classes(mapping, _class_names(model), str(path))
        self._model = model.eval().to(self._device)
        self.reconfigure(config)

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply thresholds and the number of instances."""
        self._max_instances = config.max_instances
        self._model.roi_heads.score_thresh = config.score_threshold
        self._model.roi_heads.nms_thresh = self._iou_threshold = config.iou_threshold

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """Return the instances of a frame's colour image, sorted by descending score."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame.rgb)).to(self._device)
        with torch.inference_mode():
            prediction = self._model([pixels.permute(2, 0, 1).float() / 255.0])[0]
        instances = []
        for row, number in enumerate(prediction["labels"].tolist()):
            if number not in self._classes:
                continue
            # Masks are probabilities at the resolution of the image.
            mask = (prediction["masks"][row, 0] > 0.5).cpu().numpy()
            instance = InstanceMask.from_full(self._classes[number], float(prediction["scores"][row]), mask)
            if instance is not None:
                instances.append(instance)
        # The network suppresses overlaps within a class only; an object detected as both cup and bowl is reported once.
        return suppress_overlaps(instances, self._iou_threshold)[: self._max_instances]


MASK_RCNN = SegmenterSpec(MaskRcnnSegmenter)
"""The backend ``mask_rcnn``."""


def _read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a weights file by name, or those of the entry ``model`` of a training checkpoint."""
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        raise SegmentationError(f"'segmentation.model' '{path}' cannot be read: {error}. {_ADVICE}") from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not isinstance(state.get(_CLASSIFIER_WEIGHT), torch.Tensor):
        raise SegmentationError(
            f"'segmentation.model' '{path}' has no Mask R-CNN: '{_CLASSIFIER_WEIGHT}' is missing. {_ADVICE}"
        )
    return state


def _build_model(state: dict[str, torch.Tensor], path: Path, image_size: int) -> MaskRCNN:
    """Build the network of a state dict and load it; input images are resized to a longer side of ``image_size``."""
    # The number of classes and the version are not stored; both follow from the names and shapes of the weights.
    build = maskrcnn_resnet50_fpn_v2 if _V2_WEIGHT in state else maskrcnn_resnet50_fpn
    model: MaskRCNN = build(
        weights=None,
        weights_backbone=None,
        num_classes=len(state[_CLASSIFIER_WEIGHT]),
        min_size=image_size,
        max_size=image_size,
    )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise SegmentationError(
            f"'segmentation.model' '{path}' does not fit {build.__name__}: {error}. {_ADVICE}"
        ) from error
    return model


def _class_names(model: MaskRCNN) -> dict[int, str]:
    """Return class names by number, without the background: those of COCO for 91 classes, else ``class<number>``."""
    count = model.roi_heads.box_predictor.cls_score.out_features
    coco = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    if count == len(coco):
        return {number: name for number, name in enumerate(coco) if number > 0}
    return {number: f"class{number}" for number in range(1, count)}
