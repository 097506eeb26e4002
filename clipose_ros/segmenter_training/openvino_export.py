"""Export of weights to OpenVINO, with 8-bit products that are calibrated on images of a data set.

Convolutions and the layers between them are quantized. The last operations of the head, which turn its output into
boxes and scores, stay in floating point: one scale cannot serve pixels and scores together.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from clipose_ros.errors import ConfigError, SegmentationError
from clipose_ros.image_files import read_image
from clipose_ros.segmentation.isolation import ULTRALYTICS_ERRORS, first_line, isolate_ultralytics
from clipose_ros.segmentation.yolo import EXPORT_SUFFIX
from clipose_ros.segmenter_training.dataset_file import read_image_dataset
from clipose_ros.segmenter_training.weights import load_segmentation_model
from clipose_ros.types import FloatArray

_DECODING = ("Sigmoid", "Subtract", "Add", "Multiply", "Divide", "Concat", "Softmax")
"""Types of the operations after the convolutions of the head."""


@dataclass(frozen=True)
class ExportConfig:
    """Settings of the export.

    Attributes:
        image_size: Longer side of the input, pixels.
        dataset: YAML file of the data set whose part ``train`` calibrates 8-bit products; None keeps floating point.
        images: Number of images for the calibration.
        seed: Seed of the choice of images.
    """

    image_size: int
    dataset: Path | None = None
    images: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        if not 32 <= self.image_size <= 4096:
            raise ConfigError(f"the image size must be from 32 to 4096 pixels, got {self.image_size}")
        if self.images < 1:
            raise ConfigError(f"the calibration needs at least one image, got {self.images}")


def export_openvino(weights: Path, target: Path, config: ExportConfig) -> Path:
    """Write the OpenVINO form of weights, for images of any size.

    Args:
        weights: Weights of a segmentation model (.pt).
        target: Folder to write, whose name ends in ``_openvino_model``; it is complete or absent.
        config: Settings.

    Returns:
        ``target``.

    Raises:
        ConfigError: The name of ``target`` has another ending, or ``target`` exists.
        DataError: The data set is malformed.
        SegmentationError: A package is not installed, or the weights are unusable.
    """
    if not target.name.endswith(EXPORT_SUFFIX) or target.name == EXPORT_SUFFIX:
        raise ConfigError(f"the folder of an OpenVINO model must be named NAME{EXPORT_SUFFIX}, got '{target}'")
    if target.exists():
        raise ConfigError(f"'{target}' exists: name another folder, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    images = _choose_images(config.dataset, config) if config.dataset is not None else []
    with isolate_ultralytics(), tempfile.TemporaryDirectory(dir=target.parent, prefix=".export_") as folder:
        try:
            exported = _convert(
                weights, Path(folder) / f"{target.name.removesuffix(EXPORT_SUFFIX)}.pt", config.image_size
            )
            if images:
                _quantize(next(exported.glob("*.xml")), images, config.image_size)
        except ModuleNotFoundError as error:
            raise SegmentationError(
                f"the export to OpenVINO needs the Python package '{error.name}': pip install {error.name}"
            ) from error
        except ULTRALYTICS_ERRORS as error:
            raise SegmentationError(f"'{weights}' cannot be exported to OpenVINO: {first_line(error)}") from error
        exported.rename(target)
    return target


def _choose_images(dataset: Path, config: ExportConfig) -> list[Path]:
    """Return images of the training part, chosen at random."""
    images = read_image_dataset(dataset, ("train",)).list_images("train")
    chosen = np.random.default_rng(config.seed).permutation(len(images))[: config.images]
    return [images[number] for number in chosen]


def _convert(weights: Path, place: Path, image_size: int) -> Path:
    """Write the floating-point form beside ``place``, by which it is named, and return its folder."""
    model = load_segmentation_model(str(weights))
    model.model.pt_path = str(place)  # ultralytics writes beside this file, which need not exist
    exported = Path(model.export(format="openvino", imgsz=image_size, dynamic=True, device="cpu", verbose=False))
    metadata = exported / "metadata.yaml"
    content = yaml.safe_load(metadata.read_text(encoding="utf-8"))
    content.pop("date", None)  # equal weights give equal files
    metadata.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return exported


def _quantize(graph: Path, images: list[Path], image_size: int) -> None:
    """Replace a floating-point model by its 8-bit form."""
    import nncf
    import openvino

    nncf.set_log_level(logging.WARNING)
    model = openvino.Core().read_model(str(graph))
    names = _decoding_operations(model)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(images, lambda image: read_input(image, image_size)),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(names=names),
        subset_size=len(images),
    )
    # The float weights stay open while the new ones are written.
    written = graph.with_name("quantized.xml")
    openvino.save_model(quantized, str(written))
    for suffix in (".xml", ".bin"):
        written.with_suffix(suffix).replace(graph.with_suffix(suffix))


def _decoding_operations(model: Any) -> list[str]:
    """Return the names of the operations of the head that follow its convolutions."""
    operations = model.get_ordered_ops()
    sigmoids = [each.get_friendly_name() for each in operations if each.get_type_name() == "Sigmoid"]
    if not sigmoids:
        raise SegmentationError("the network has no scores: it ends in no sigmoid function")
    head = sigmoids[-1].partition("/")[0]
    return [
        each.get_friendly_name()
        for each in operations
        if each.get_friendly_name().startswith((f"{head}/", f"{head}.dfl"))
        and (each.get_type_name() in _DECODING or each.get_friendly_name().startswith(f"{head}.dfl"))
    ]


def read_input(path: Path, image_size: int) -> FloatArray:
    """Read an image as input of the network, inside ``isolate_ultralytics``.

    Returns:
        ``(1, 3, H, W)`` float32 in [0, 1], RGB, padded to multiples of 32 pixels.
    """
    from ultralytics.data.augment import LetterBox

    bgr: Any = LetterBox(image_size, auto=True, stride=32)(image=read_image(path, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(bgr[..., ::-1].transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255.0)
