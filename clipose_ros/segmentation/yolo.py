"""The backend ``yolo``: any segmentation model that ultralytics loads (.pt, .onnx, .tflite, an OpenVINO folder, ...).

License: ultralytics is under AGPL-3.0, this project under Apache-2.0. ultralytics is imported only when this backend is
built; other backends need neither the library nor its license.
"""

from __future__ import annotations

import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.segmentation.class_map import parse_class_map, resolve_classes, resolve_weights
from clipose_ros.segmentation.isolation import ULTRALYTICS_ERRORS, check_archive, first_line, isolate_ultralytics
from clipose_ros.segmentation.overlap import suppress_overlaps
from clipose_ros.segmentation.runtimes import runtime_errors, set_threads
from clipose_ros.types import InstanceMask, RgbdFrame

_ADVICE = (
    "Give the path of a segmentation model, such as one exported by 'yolo export model=yolo11n-seg.pt format=openvino' "
    "on a machine with network access."
)
_USUAL_IMAGE = np.zeros((480, 640, 3), dtype=np.uint8)
"""Image of the size of most RGB-D cameras: a model of variable input size is compiled for it before the first frame."""
EXPORT_SUFFIX = "_openvino_model"
"""End of the name of a folder that ultralytics recognizes as an OpenVINO model."""


class YoloSegmenter:
    """Segmenter that runs an ultralytics model; masks have the resolution of the image.

    Overlapping detections are suppressed across classes: an object detected as both cup and bowl is reported once.
    """

    def __init__(self, config: SegmentationConfig, categories: CategorySet, device: str = "auto") -> None:
        """Load the weights and run the model once.

        Raises:
            SegmentationError: ultralytics is not installed, the weights are missing, unreadable or no segmentation
                model, or lack a class of ``class_map``.
            ConfigError: ``class_map`` is malformed or names an unknown category.
        """
        mapping = parse_class_map(config.class_map, categories)
        path = find_fast_form(config.model, resolve_weights(config.model, "yolo", _ADVICE), device)
        if path.suffix.lower() in (".yaml", ".yml"):
            raise SegmentationError(
                f"'segmentation.model' must be trained weights, got the bare architecture '{path}'. {_ADVICE}"
            )
        self._config = config
        self._device = None if device == "auto" else device
        self._image_size = config.image_size
        self._classes: dict[int, str] = {}
        with isolate_ultralytics():
            self._model = load_yolo(str(path))
            # ultralytics loads an exported model in its first run: run it here, not in the first frame.
            self._predict(_USUAL_IMAGE[:64, :64], str(path))
            loaded = self._model.predictor.model
            set_threads(loaded, path, config.threads)
            self._predict(_USUAL_IMAGE, str(path))
        task = getattr(loaded, "task", None) or self._model.task  # known only after loading if the model is exported
        if task != "segment" or not has_masks(self._model):
            raise SegmentationError(
                f"'segmentation.model' must be a segmentation model (its name usually ends in -seg), but '{path}' is "
                f"{_describe_task(task, self._model)}. {_ADVICE}"
            )
        if _lacks_prompts(self._model):
            raise SegmentationError(
                f"'segmentation.model' '{path}' is a YOLOE model without prompts, which finds nothing: bake prompts "
                "into it with make_segmenter"
            )
        self._classes = resolve_classes(mapping, loaded.names, str(path))

    @property
    def model(self) -> Any:
        """Return the loaded ultralytics ``YOLO``; its ``predictor.model`` holds the runtime of an exported model."""
        return self._model

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply thresholds and the number of instances."""
        self._config = config

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """Return the instances of a frame's colour image, sorted by descending score.

        Raises:
            SegmentationError: The model failed on this image.
        """
        result = self._predict(np.ascontiguousarray(frame.rgb[..., ::-1]), frame.frame_id)
        if result.masks is None:
            return []
        # An exported model may return more than max_det boxes; they are sorted by descending score.
        classes = result.boxes.cls.int().tolist()[: self._config.max_instances]
        scores = result.boxes.conf.tolist()
        masks = result.masks.data.to(torch.bool).cpu().numpy()
        instances = (
            InstanceMask.from_full(self._classes[number], min(max(scores[i], 0.0), 1.0), masks[i])
            for i, number in enumerate(classes)
        )
        return suppress_overlaps((i for i in instances if i is not None), self._config.iou_threshold)

    def _predict(self, bgr: np.ndarray[Any, np.dtype[np.uint8]], source: str) -> Any:
        """Run the model on one BGR image and return ultralytics' ``Results``; ``source`` names it in error messages."""
        try:
            return self._model.predict(
                bgr,
                conf=self._config.score_threshold,
                iou=self._config.iou_threshold,
                max_det=self._config.max_instances,
                classes=list(self._classes) or None,
                agnostic_nms=True,
                imgsz=self._image_size,
                device=self._device,
                retina_masks=True,
                verbose=False,
                save=False,
            )[0]
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0].replace("_", "-")
            raise SegmentationError(
                f"'segmentation.model' '{self._model.model_name}' needs the Python package '{package}', which is not "
                f"installed: pip install {package}, or give a model of another format (.pt, .onnx, .tflite)"
            ) from error
        except ULTRALYTICS_ERRORS + runtime_errors() as error:
            raise SegmentationError(
                f"ultralytics cannot run '{self._model.model_name}' on '{source}': {first_line(error)}"
            ) from error


YOLO = SegmenterSpec(YoloSegmenter)
"""The backend ``yolo``."""


def find_fast_form(model: str, weights: Path, device: str) -> Path:
    """Return the OpenVINO form of shipped weights where it can run, else the weights.

    It can run on an x86-64 CPU with openvino installed. Weights that ``model`` gives as a path are used as they are.

    Args:
        model: Name of shipped weights, or a path.
        weights: File of the weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    exported = weights.with_name(f"{weights.stem}{EXPORT_SUFFIX}")
    is_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    is_usable = is_cpu and platform.machine() in ("x86_64", "AMD64") and find_spec("openvino") is not None
    return exported if Path(model).name == model == weights.stem and exported.is_dir() and is_usable else weights


def load_yolo(path: str) -> Any:
    """Load an ultralytics model inside ``isolate_ultralytics``; no code of a ``.pt`` file is run.

    Args:
        path: Weights, an exported file or folder, or the name of an architecture (``yolo11n-seg.yaml``).

    Raises:
        SegmentationError: The file is not a model of ultralytics, is damaged, or asks for code to be run.
    """
    from ultralytics import YOLO

    is_checkpoint = path.lower().endswith(".pt")
    if is_checkpoint:
        check_archive(Path(path))
    try:
        return YOLO(path) if is_checkpoint else YOLO(path, task="segment")
    except ULTRALYTICS_ERRORS as error:
        raise SegmentationError(
            f"'segmentation.model' '{path}' is not a model that ultralytics can load: {first_line(error)}"
        ) from error


def _lacks_prompts(model: Any) -> bool:
    """Return True for a YOLOE model in which neither prompts nor a vocabulary are set."""
    network = model.model
    if not type(network).__name__.startswith("YOLOE"):  # exported models have no network
        return False
    head = network.model[-1]
    return not (hasattr(network, "pe") or hasattr(head, "lrpc") or head.is_fused)


def _describe_task(task: str, model: Any) -> str:
    """Return what a model that is not made for segmentation is."""
    kinds = {"obb": "a detector of oriented boxes (OBB)", "pose": "a detector of keypoints", "classify": "a classifier"}
    if type(model.model).__name__ == "WorldModel":
        return "a YOLO-World model, which detects boxes without masks"
    if task == "segment":
        return "a network without masks"
    return f"{kinds.get(task, 'a detector of boxes')}, made for task '{task}'"


def has_masks(model: Any) -> bool:
    """Return True if a loaded model predicts masks, inside ``isolate_ultralytics``; a file may state another task."""
    from ultralytics.nn.tasks import SegmentationModel

    network = model.model
    if not isinstance(network, torch.nn.Module):
        return bool(model.task == "segment")
    # A network that is made as one with masks may end in a layer without.
    return isinstance(network, SegmentationModel) and any(name.endswith("proto") for name, _ in network.named_modules())
