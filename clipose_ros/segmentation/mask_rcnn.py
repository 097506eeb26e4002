"""Instances from torchvision's Mask R-CNN with a ResNet-50 FPN, the detector of the paper."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

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
from clipose_ros.segmentation.class_map import existing_weights, parse_class_map, resolve_classes
from clipose_ros.segmentation.overlap import without_repeats
from clipose_ros.types import InstanceMask, RgbdFrame

_ADVICE = (
    "Give a state dict of torchvision's maskrcnn_resnet50_fpn or maskrcnn_resnet50_fpn_v2 (.pth, .pt or .safetensors), "
    "such as the COCO weights that torchvision offers, or one trained on the six categories."
)
_CLASS_ROWS = "roi_heads.box_predictor.cls_score.weight"
_ONLY_IN_V2 = "roi_heads.box_head.0.0.weight"


class MaskRcnnSegmenter:
    """Runs a Mask R-CNN from a local state dict.

    Weights with 91 classes are taken as COCO's and ``class_map`` names COCO classes (cup, bottle, ...); with any other
    number the classes have no names in a state dict, so ``class_map`` numbers them (``6:mug``; 0 is the background).
    """

    def __init__(self, config: SegmentationConfig, categories: CategorySet, device: str = "auto") -> None:
        """Load the weights.

        Raises:
            SegmentationError: The file is missing, unreadable, of another architecture, or lacks a class of
                ``class_map``.
            ConfigError: ``class_map`` is malformed or names an unknown category.
        """
        mapping = parse_class_map(config.class_map, categories)
        path = existing_weights(config.model, "mask_rcnn", _ADVICE)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        model = _build(_read_state(path), path, config.image_size)
        self._classes = resolve_classes(mapping, _class_names(model), str(path))
        self._model = model.eval().to(self._device)
        self.reconfigure(config)

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over thresholds and the number of instances."""
        self._max_instances = config.max_instances
        self._model.roi_heads.score_thresh = config.score_threshold
        self._model.roi_heads.nms_thresh = self._iou_threshold = config.iou_threshold

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """The instances of a frame's colour image, best first."""
        pixels = torch.from_numpy(np.ascontiguousarray(frame.rgb)).to(self._device)
        with torch.inference_mode():
            found = self._model([pixels.permute(2, 0, 1).float() / 255.0])[0]
        instances = []
        for row, number in enumerate(found["labels"].tolist()):
            if number not in self._classes:
                continue
            mask = (found["masks"][row, 0] > 0.5).cpu().numpy()
            instance = InstanceMask.from_full(self._classes[number], float(found["scores"][row]), mask)
            if instance is not None:
                instances.append(instance)
        # The network suppresses overlaps within a class only; a thing seen both as cup and as bowl is one object.
        return without_repeats(instances, self._iou_threshold)[: self._max_instances]


MASK_RCNN = SegmenterSpec(MaskRcnnSegmenter)
"""The backend ``mask_rcnn``."""


def _read_state(path: Path) -> dict[str, Any]:
    """The tensors of a weights file by name; a training checkpoint's ``model`` entry counts too."""
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
    if not isinstance(state, dict) or not isinstance(state.get(_CLASS_ROWS), torch.Tensor):
        raise SegmentationError(
            f"'segmentation.model' '{path}' holds no Mask R-CNN: '{_CLASS_ROWS}' is missing. {_ADVICE}"
        )
    return state


def _build(state: dict[str, Any], path: Path, image_size: int) -> MaskRCNN:
    """The network that a state dict belongs to, with its weights; the image's longer side becomes ``image_size``."""
    build = maskrcnn_resnet50_fpn_v2 if _ONLY_IN_V2 in state else maskrcnn_resnet50_fpn
    model: MaskRCNN = build(
        weights=None,
        weights_backbone=None,
        num_classes=len(state[_CLASS_ROWS]),
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
    """Class names by number, without the background: COCO's for 91 classes, else ``class<number>``."""
    count = model.roi_heads.box_predictor.cls_score.out_features
    coco = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    if count == len(coco):
        return {number: name for number, name in enumerate(coco) if number > 0}
    return {number: f"class{number}" for number in range(1, count)}
