"""Training of segmentation models with ultralytics (AGPL-3.0).

ultralytics is imported only inside functions, so that neither the library nor its license is needed if no detector is
trained. Weights that it produces are under AGPL-3.0 as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipose_ros.bounded_files import read_yaml
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError, DataError, DeviceError, SegmentationError, UnreadableFileError, quoted
from clipose_ros.run_lock import locked
from clipose_ros.segmentation.isolation import ULTRALYTICS_ERRORS, first_line, isolate_ultralytics
from clipose_ros.segmenter_training.dataset import DATASET_FILE, PARTS
from clipose_ros.segmenter_training.dataset_file import ImageDataset, read_image_dataset
from clipose_ros.segmenter_training.distillation import Teacher, load_teacher
from clipose_ros.segmenter_training.parameter_file import DetectorParameters, write_parameters
from clipose_ros.segmenter_training.prediction_pictures import draw_predictions
from clipose_ros.segmenter_training.progress import TrainingProgress
from clipose_ros.segmenter_training.segmentation_trainer import make_trainer, name_layers_outside_class_branch
from clipose_ros.segmenter_training.weights import check_resumable, export_weights, load_segmentation_model

PREDICTIONS = "predictions"
"""Folder with pictures of predictions, inside the output folder."""
RUN_FOLDER = "run"
"""Folder with the records of ultralytics, inside the output folder."""
_RUN_SETTINGS = {
    "cache", "data", "device", "exist_ok", "mode", "model", "name", "patience", "plots", "pretrained", "project",
    "resume", "save_dir", "task",
}  # fmt: skip
"""Settings of a run that are not those of its recipe."""


@dataclass(frozen=True)
class SegmenterTrainConfig(ConfigNode):
    """Training recipe of a segmentation model; settings that are not listed keep ultralytics' defaults."""

    architecture: str = option("yolo11n-seg.yaml", "Architecture of a network that is trained from scratch.")
    start: str = option("", "Weights (.pt) to start from instead.")
    image_size: int = option(160, "Longer side of the images, pixels, a multiple of 32.", low=64, high=1920)
    epochs: int = option(100, "Number of epochs.", low=1, high=10000)
    hours: float = option(0.0, "Training time, hours, which then determines the epochs; 0 for no limit.", low=0.0)
    batch: int = option(16, "Images per step.", low=1, high=1024)
    optimizer: str = option(
        "AdamW",
        "Optimizer; MuSGD (SGD with Muon's orthogonalized steps for weight matrices) needs a rate near 0.01.",
        choices=("AdamW", "MuSGD"),
    )
    learning_rate: float = option(0.002, "Largest learning rate.", low=0.0, high=1.0)
    final_rate: float = option(0.02, "Final learning rate, as a fraction of the largest.", low=0.0, high=1.0)
    warmup_epochs: float = option(1.0, "Epochs until the largest learning rate is reached.", low=0.0)
    freeze: int = option(0, "Number of first layers that are not trained.", low=0, high=100)
    trained: str = option(
        "all",
        "Parts that are trained: all, or only the layers of the head that classify.",
        choices=("all", "class_branch"),
    )
    frozen_statistics: bool = option(
        False,
        "Keep the means and variances of the batch normalization of the starting weights: for weights whose batch "
        "normalization is folded into the convolutions, and for small batches of mixed images.",
    )
    mosaic: float = option(0.0, "Probability of a mosaic of four images.", low=0.0, high=1.0)
    scale: float = option(0.4, "Largest relative change of scale.", low=0.0, high=0.95)
    degrees: float = option(10.0, "Largest rotation, degrees.", low=0.0, high=180.0)
    hue: float = option(0.03, "Largest change of hue, as a fraction of the circle.", low=0.0, high=1.0)
    precision: str = option(
        "fp32", "Precision of the network; bf16 is faster on processors that support it.", choices=("fp32", "bf16")
    )
    teacher: str = option("", "Weights (.pt) whose class scores and boxes are kept in teacher_images.")
    teacher_images: str = option("*", "Pattern of the file names of these images, for example photo_*.")
    teacher_weight: float = option(1.0, "Weight of the teacher in the loss.", low=0.0)
    workers: int = option(0, "Number of processes that load images; 0 loads in the training process.", low=0, high=256)
    seed: int = option(0, "Seed of the weights and of the order of images.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 32:
            raise ConfigError(f"'image_size' must be a multiple of 32, got {self.image_size}")
        if not self.architecture.endswith((".yaml", ".yml")) or "://" in self.architecture:
            raise ConfigError(
                f"'architecture' must be the name of a local .yaml file, such as yolo11n-seg.yaml, got "
                f"{quoted(self.architecture)}; weights are given as 'start'"
            )

    @classmethod
    def read(cls, path: str | Path) -> SegmenterTrainConfig:
        """Read a recipe from a YAML file.

        Raises:
            ConfigError: The file cannot be read, or a setting is unknown or out of bounds.
        """
        try:
            values = read_yaml(path)
        except UnreadableFileError as error:
            raise ConfigError(f"recipe '{path}' cannot be read: {error}") from error
        if values is not None and not isinstance(values, Mapping):
            raise ConfigError(f"recipe '{path}' must be a mapping of settings, got {quoted(values)}")
        return cls.from_mapping(values or {})

    def to_ultralytics(self) -> dict[str, Any]:
        """Return the settings as keyword arguments of ultralytics' ``train``."""
        return {
            "imgsz": self.image_size,
            "epochs": self.epochs,
            "time": self.hours or None,
            "batch": self.batch,
            "nbs": self.batch,  # one optimizer step per batch
            "optimizer": self.optimizer,
            "momentum": 0.9 if self.optimizer == "MuSGD" else 0.937,  # the first beta of AdamW
            "lr0": self.learning_rate,
            "lrf": self.final_rate,
            "cos_lr": True,
            "warmup_epochs": self.warmup_epochs,
            "warmup_bias_lr": 0.0,  # the default of 0.1 is meant for SGD
            "freeze": self.freeze or None,
            "mosaic": self.mosaic,
            "close_mosaic": max(self.epochs // 10, 1) if self.mosaic else 0,
            "rect": not self.mosaic,  # a mosaic is square
            "scale": self.scale,
            "degrees": self.degrees,
            "hsv_h": self.hue,
            "amp": False,  # ultralytics has no mixed precision on CPUs: _use_bfloat16 adds it
            "workers": self.workers,
            "seed": self.seed,
        }


def train_segmenter(
    config: SegmenterTrainConfig,
    dataset: Path,
    output: Path,
    device: str = "cpu",
    resume: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Train a segmentation model, and describe the result: a parameter file and pictures of predictions.

    Args:
        config: Recipe.
        dataset: YAML file of a data set in ultralytics' format, as ``write_images`` creates it.
        output: Folder of the run and of the weights.
        device: ``cpu``, ``cuda``, ``cuda:N``, or the number of a GPU.
        resume: Continue the run in ``output`` with its own settings.
        log: Called with the progress, a line for each epoch, and with the files that were written.

    Returns:
        The weights of the best epoch, written by ``export_weights``.

    Raises:
        ConfigError: There is no run to resume, or it has finished.
        DataError: The data set is malformed, or a file cannot be written.
        DeviceError: The machine has no such device.
        LockedError: Another process trains into ``output``.
        SegmentationError: ultralytics is not installed, the starting weights are unusable, or training failed.
    """
    run, target = output / RUN_FOLDER, output / "segmenter.pt"
    last, best = run / "weights" / "last.pt", run / "weights" / "best.pt"
    settings = {"device": _resolve_device(device), "cache": "ram", "patience": 0, "plots": False, "resume": resume}
    if not resume:
        settings |= {"pretrained": bool(config.start), **config.to_ultralytics()}
    elif not last.exists():
        raise ConfigError(f"there is no run to resume in '{output}': expected '{last}'")
    with isolate_ultralytics():
        model = load_segmentation_model(str(last) if resume else config.start or config.architecture)
        if resume and not check_resumable(last, {*config.to_ultralytics(), *_RUN_SETTINGS}):
            if target.exists() or not best.exists():
                raise ConfigError(f"the run in '{output}' has finished, there is nothing to resume: omit --resume")
            return export_weights(best, target)  # the run ended between its last epoch and the export
        images = read_image_dataset(dataset, PARTS)
        if config.trained == "class_branch" and not resume:
            settings["freeze"] = name_layers_outside_class_branch(model.model)
        progress = TrainingProgress(log)
        for event in ("on_train_start", "on_train_epoch_start", "on_fit_epoch_end"):
            model.add_callback(event, getattr(progress, event))
        if config.precision == "bf16":
            model.add_callback("on_train_start", _use_bfloat16)
        if config.teacher:
            model.add_callback("on_train_start", _make_teacher(config, images.names, model.model).attend)
        try:
            output.mkdir(parents=True, exist_ok=True)
            with locked(output):
                written = images.write(output / DATASET_FILE)
                trainer = make_trainer(run, config.frozen_statistics)
                model.train(trainer=trainer, data=str(written.resolve()), **settings)
        except OSError as error:
            raise DataError(
                f"training in '{output}' stopped ({first_line(error)}): free disk space, or make the folder writable; "
                "then continue with --resume"
            ) from error
        except ULTRALYTICS_ERRORS as error:
            raise SegmentationError(f"training in '{output}' failed: {first_line(error)}") from error
        export_weights(best, target)
        _describe(target, images, log)
    return target


def _describe(weights: Path, images: ImageDataset, log: Callable[[str], None]) -> None:
    """Write pictures of predictions, and a parameter file if classes have names of categories."""
    model = load_segmentation_model(str(weights))
    image_size = int(model.model.args["imgsz"])
    folder = weights.parent / PREDICTIONS
    count = draw_predictions(model, image_size, images.list_images("val"), folder)
    log(f"{folder}: {count} validation images, predicted masks coloured and labels outlined in white")
    class_map = {name: name for name in images.names if name in NOCS_CATEGORIES}
    if class_map:
        parameters = DetectorParameters(class_map, image_size)
        path = write_parameters(weights, parameters, "Parameters of the pose node for a detector of own images.")
        log(f"{path}: parameters of the pose node for these weights")


def _resolve_device(device: str) -> str:
    """Return ultralytics' name of a device: ``cpu``, or the number of a GPU.

    Raises:
        DeviceError: The machine has no such device.
    """
    number = device.removeprefix("cuda").removeprefix(":") or "0"
    if device != "cpu" and not (number.isdecimal() and int(number) < torch.cuda.device_count()):
        raise DeviceError(
            f"device {quoted(device)} does not exist: expected cpu, cuda or cuda:N; PyTorch finds "
            f"{torch.cuda.device_count()} GPUs"
        )
    return device if device == "cpu" else number


def _make_teacher(config: SegmenterTrainConfig, names: Sequence[str], student: Any) -> Teacher:
    """Load the teacher of a recipe for the classes of the images, inside ``isolate_ultralytics``."""
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    network = load_teacher(config.teacher, names, student)
    return Teacher(network, config.teacher_images, config.teacher_weight, dtype)


def _use_bfloat16(trainer: Any) -> None:
    """Run the network of an ultralytics trainer in bfloat16; the loss and the averaged weights stay in float32."""
    # Wraps predict, not forward: with a batch that has labels, forward also computes the loss.
    predict = trainer.model.predict

    def predict_in_bfloat16(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(trainer.device.type, torch.bfloat16):
            output = predict(*arguments, **options)
        return _to_float32(output)

    trainer.model.predict = predict_in_bfloat16


def _to_float32(output: Any) -> Any:
    """Convert the tensors of nested mappings, lists and tuples to float32."""
    if isinstance(output, torch.Tensor):
        return output.float()
    if isinstance(output, Mapping):
        return {key: _to_float32(value) for key, value in output.items()}
    return type(output)(map(_to_float32, output)) if isinstance(output, (list, tuple)) else output
