"""Instances from any segmentation model that ultralytics loads (.pt, .onnx, .tflite, an OpenVINO folder, ...).

Licence: ultralytics is AGPL-3.0, this project Apache-2.0. It is imported only when this backend is built, so whoever
does not choose it needs neither the library nor its licence.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch

from clipose_ros.categories import CategorySet
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation.base import SegmenterSpec
from clipose_ros.segmentation.class_map import existing_weights, parse_class_map, resolve_classes
from clipose_ros.segmentation.overlap import without_repeats
from clipose_ros.segmentation.runtimes import runtime_errors, set_threads
from clipose_ros.types import InstanceMask, RgbdFrame

_ADVICE = (
    "Give the path of a segmentation model, such as one exported by 'yolo export model=yolo11n-seg.pt format=openvino' "
    "on a machine with network access."
)
_LOAD_ERRORS: tuple[type[Exception], ...] = (
    AssertionError, AttributeError, EOFError, ImportError, IndexError, KeyError, OSError, pickle.UnpicklingError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip  # all that its many formats raise for a file that is not a model


class YoloSegmenter:
    """Runs an ultralytics segmentation model; masks at the image's own resolution.

    Overlapping detections are suppressed across classes: a thing seen both as cup and as bowl is one object.
    """

    def __init__(self, config: SegmentationConfig, categories: CategorySet, device: str = "auto") -> None:
        """Load the weights and run them once.

        Raises:
            SegmentationError: ultralytics is not installed, the weights are missing, unreadable or no segmentation
                model, or lack a class of ``class_map``.
            ConfigError: ``class_map`` is malformed or names an unknown category.
        """
        mapping = parse_class_map(config.class_map, categories)
        path = existing_weights(config.model, "yolo", _ADVICE)
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
            # The first run loads an exported model for good; better here than in the first frame.
            self._predict(np.zeros((64, 64, 3), dtype=np.uint8), str(path))
            loaded = self._model.predictor.model
            set_threads(loaded, path, config.threads)
        task = getattr(loaded, "task", None) or self._model.task  # an exported model tells its task only once loaded
        if task != "segment":
            raise SegmentationError(
                f"'segmentation.model' must be a segmentation model (its name usually ends in -seg), but '{path}' is "
                f"made for task '{task}'. {_ADVICE}"
            )
        self._classes = resolve_classes(mapping, loaded.names, str(path))

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Take over thresholds and the number of instances."""
        self._config = config

    def segment(self, frame: RgbdFrame) -> list[InstanceMask]:
        """The instances of a frame's colour image, best first.

        Raises:
            SegmentationError: The model failed on this image.
        """
        found = self._predict(np.ascontiguousarray(frame.rgb[..., ::-1]), frame.frame_id)
        if found.masks is None:
            return []
        # An exported model may keep more than asked for; boxes come best first.
        classes = found.boxes.cls.int().tolist()[: self._config.max_instances]
        scores = found.boxes.conf.tolist()
        masks = found.masks.data.to(torch.bool).cpu().numpy()
        instances = (
            InstanceMask.from_full(self._classes[number], min(max(scores[i], 0.0), 1.0), masks[i])
            for i, number in enumerate(classes)
        )
        return without_repeats((i for i in instances if i is not None), self._config.iou_threshold)

    def _predict(self, bgr: np.ndarray[Any, np.dtype[np.uint8]], what: str) -> Any:
        """Run the model on one image and return ultralytics' result."""
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
        except _LOAD_ERRORS + runtime_errors() as error:
            raise SegmentationError(
                f"ultralytics cannot run '{self._model.model_name}' on '{what}': {error}"
            ) from error


YOLO = SegmenterSpec(YoloSegmenter)
"""The backend ``yolo``."""


def load_yolo(path: str) -> Any:
    """An ultralytics model, or SegmentationError where the library is missing or the file is none of its models."""
    try:
        from ultralytics import YOLO
    except ImportError as error:
        raise SegmentationError(
            "backend 'yolo' needs the ultralytics package (AGPL-3.0): pip install ultralytics, or choose "
            f"segmentation.backend 'labels' or 'mask_rcnn' ({error})"
        ) from error
    try:
        return YOLO(path) if path.endswith(".pt") else YOLO(path, task="segment")
    except _LOAD_ERRORS as error:
        raise SegmentationError(
            f"'segmentation.model' '{path}' is not a model that ultralytics can load: {error}"
        ) from error


@contextlib.contextmanager
def isolate_ultralytics() -> Iterator[None]:
    """Import and set up ultralytics without letting it send, install or write anything, or retune the whole process.

    It reads its environment once, when first imported: offline, no automatic installs, settings in a folder that is
    thrown away, and checkpoints read without running code from them. What the caller has set itself is respected.
    Importing it and choosing a device also change threads and print options of the process; those are put back.
    """
    threads, cv_threads, print_options = torch.get_num_threads(), cv2.getNumThreads(), np.get_printoptions()
    with tempfile.TemporaryDirectory(prefix="clipose_ultralytics_") as folder:
        wanted = {
            "YOLO_OFFLINE": "true",
            "YOLO_AUTOINSTALL": "false",
            "YOLO_VERBOSE": "false",
            "ULTRALYTICS_SAFE_LOAD": "1",
            "YOLO_CONFIG_DIR": folder,
        }
        added = {key: value for key, value in wanted.items() if key not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for key in added:
                os.environ.pop(key, None)
            torch.set_num_threads(threads)
            cv2.setNumThreads(cv_threads)
            np.set_printoptions(**print_options)
