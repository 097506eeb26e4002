"""The backend ``yolo``: any segmentation model that ultralytics loads (.pt, .onnx, .tflite, an OpenVINO folder, ...).

License: ultralytics is under AGPL-3.0, this project under Apache-2.0. ultralytics is imported only when this backend is
built; other backends need neither the library nor its license.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.segmentation.class_map import parse_class_map, resolve_classes, resolve_weights
from clipose_ros.segmentation.isolation import ULTRALYTICS_ERRORS, check_archive, first_line, isolate_ultralytics
from clipose_ros.segmentation.overlap import suppress_overlaps
from clipose_ros.segmentation.prototype_masks import InputFit, compute_mask
from clipose_ros.segmentation.runtimes import runtime_errors, set_threads
from clipose_ros.types import ByteArray, InstanceMask, RgbdFrame

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
        # ultralytics enlarges every mask to the whole image, which takes ten times as long as masks inside their boxes.
        self._model.predictor.construct_result = _NetworkOutput

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
        output: _NetworkOutput = self._predict(_to_bgr(frame.rgb), frame.frame_id)
        # An exported model may return more than max_det boxes; they are sorted by descending score.
        instances = output.list_instances(self._classes, self._config.max_instances)
        return suppress_overlaps(instances, self._config.iou_threshold)

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


class _NetworkOutput:
    """Boxes, scores and mask coefficients that ultralytics has decoded and selected, with the prototypes of the masks.

    Args:
        rows: ``(N, 6 + C)`` boxes (x0, y0, x1, y1), score, class and coefficients, by descending score, input pixels.
        network_input: ``(1, 3, H, W)`` padded image.
        image: ``(H, W, 3)`` image.
        path: Name of the image; unused.
        prototypes: ``(C, h, w)``.
    """

    def __init__(
        self,
        rows: torch.Tensor,
        network_input: torch.Tensor,
        image: ByteArray,
        path: str,
        prototypes: torch.Tensor,
    ) -> None:
        del path
        self._shape = (image.shape[0], image.shape[1])
        input_shape = (network_input.shape[2], network_input.shape[3])
        self._rows = rows.float().cpu().numpy()
        self._fit = InputFit.of_shapes(self._shape, input_shape)
        self._stride = input_shape[1] / prototypes.shape[2]
        self._prototypes = prototypes.float().cpu().numpy()
        self.speed: Mapping[str, float] = {}
        """Times of the stages, milliseconds, which ultralytics sets."""

    def list_instances(self, classes: Mapping[int, str], count: int) -> Iterator[InstanceMask]:
        """Yield the instances with a pixel of the first ``count`` detections; ``classes`` are their categories."""
        rows = self._rows[:count]
        height, width = self._shape
        # The first pixel whose index is not below the border.
        corners = np.ceil(self._fit.to_image(rows[:, :4])).clip(0, [width, height, width, height]).astype(int).tolist()
        for row, (x0, y0, x1, y1) in zip(rows, corners, strict=True):
            if x0 >= x1 or y0 >= y1:
                continue
            mask = compute_mask(self._prototypes, row[6:], (x0, y0, x1, y1), self._stride, self._fit)
            score = min(max(float(row[4]), 0.0), 1.0)
            instance = InstanceMask.from_full(classes[int(row[5])], score, mask, (x0, y0))
            if instance is not None:
                yield instance


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


def _to_bgr(rgb: ByteArray) -> ByteArray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), dtype=np.uint8)  # ten times as fast as a reversed copy


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
