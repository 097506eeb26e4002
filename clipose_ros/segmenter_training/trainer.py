"""Training and evaluation of segmentation models with ultralytics (AGPL-3.0).

ultralytics is imported only inside functions, so that neither the library nor its license is needed if no detector is
trained. Weights that it produces are under AGPL-3.0 as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.segmentation.isolation import isolate_ultralytics, read_checkpoint
from clipose_ros.segmentation.yolo import load_yolo

RUN_FOLDER = "run"
"""Folder with the records of ultralytics, inside the output folder."""
LICENSE = "AGPL-3.0 (https://www.gnu.org/licenses/agpl-3.0): made with ultralytics"
"""License text that is written into the weights."""


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
    mosaic: float = option(0.0, "Probability of a mosaic of four images.", low=0.0, high=1.0)
    scale: float = option(0.4, "Largest relative change of scale.", low=0.0, high=0.95)
    degrees: float = option(10.0, "Largest rotation, degrees.", low=0.0, high=180.0)
    hue: float = option(0.03, "Largest change of hue, as a fraction of the circle.", low=0.0, high=1.0)
    precision: str = option(
        "fp32", "Precision of the network; bf16 is faster on processors that support it.", choices=("fp32", "bf16")
    )
    workers: int = option(0, "Number of processes that load images; 0 loads in the training process.", low=0, high=256)
    seed: int = option(0, "Seed of the weights and of the order of images.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 32:
            raise ConfigError(f"'image_size' must be a multiple of 32, got {self.image_size}")

    @classmethod
    def read(cls, path: str | Path) -> SegmenterTrainConfig:
        """Read a recipe from a YAML file.

        Raises:
            ConfigError: The file cannot be read, or a setting is unknown or out of bounds.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"recipe '{path}' cannot be read: {error}") from error
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


@dataclass(frozen=True)
class MaskAccuracy:
    """Accuracy of predicted masks.

    Attributes:
        precision: Precision at the score of the best F1.
        recall: Recall at the same score.
        map50: Mean average precision at a mask IoU of 0.5.
        map: Mean of the average precision at mask IoUs from 0.5 to 0.95.
    """

    precision: float
    recall: float
    map50: float
    map: float

    @classmethod
    def from_sequence(cls, values: Sequence[float]) -> MaskAccuracy:
        """Build from four values in ultralytics' order."""
        precision, recall, map50, mean = map(float, values)
        return cls(precision, recall, map50, mean)


def train_segmenter(
    config: SegmenterTrainConfig, dataset: Path, output: Path, device: str = "cpu", resume: bool = False
) -> Path:
    """Train a segmentation model.

    Args:
        config: Recipe.
        dataset: YAML file of a data set in ultralytics' format, as ``write_images`` creates it.
        output: Folder of the run and of the weights.
        device: ``cpu``, the number of a GPU, or ``cuda:N``.
        resume: Continue the run in ``output`` with its own settings.

    Returns:
        The weights of the best epoch, written by ``export_weights``.

    Raises:
        ConfigError: There is no run to resume, or the data set does not exist.
        SegmentationError: ultralytics is not installed, or the starting weights are unusable.
    """
    last = output / RUN_FOLDER / "weights" / "last.pt"
    if resume and not last.exists():
        raise ConfigError(f"there is no run to resume in '{output}': expected '{last}'")
    if not dataset.is_file():
        raise ConfigError(f"no such data set: '{dataset}'. Create one with `train_segmenter pictures`")
    with isolate_ultralytics():
        model = load_yolo(str(last) if resume else config.start or config.architecture)
        if config.precision == "bf16":
            model.add_callback("on_train_start", _use_bfloat16)
        if resume:
            model.train(resume=True)
        else:
            model.train(
                data=str(dataset.resolve()), project=str(output.resolve()), name=RUN_FOLDER, exist_ok=True,
                device=device, cache="ram", patience=0, plots=False, pretrained=bool(config.start),
                **config.to_ultralytics(),
            )  # fmt: skip
    return export_weights(output / RUN_FOLDER / "weights" / "best.pt", output / "segmenter.pt")


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


def export_weights(checkpoint: Path, target: Path) -> Path:
    """Write weights for distribution: float16, with the license text, without paths and settings of the training run.

    Args:
        checkpoint: A checkpoint that ultralytics wrote.
        target: File to write.

    Returns:
        ``target``.

    Raises:
        CheckpointError: ``checkpoint`` is no checkpoint of ultralytics.
    """
    with isolate_ultralytics():
        content: Any = read_checkpoint(checkpoint)
        # The averaged weights are the validated ones; a finished run stores them as the model.
        trained = content.get("ema") or content.get("model")
        if not isinstance(trained, torch.nn.Module):
            raise CheckpointError(f"expected weights that ultralytics has trained, got '{checkpoint}'")
        model: Any = trained.half().eval()  # untyped for ultralytics' own attributes below
        settings = {"task": "segment", "imgsz": int(content["train_args"]["imgsz"])}
        # ultralytics keeps its training arguments, its loss and the path of the starting weights on the model.
        model.args, model.criterion, model.pt_path = settings, None, target.name
        for parameter in model.parameters():
            parameter.requires_grad = False
        kept = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": settings}
        torch.save({**kept, "version": content["version"], "date": content["date"], "license": LICENSE}, target)
    return target


def evaluate_segmenter(weights: Path, dataset: Path, image_size: int, part: str = "val") -> dict[str, MaskAccuracy]:
    """Measure the mask accuracy on a part of a data set.

    Args:
        weights: Weights of a segmentation model.
        dataset: YAML file of the data set.
        image_size: Longer side of the input, pixels.
        part: ``train`` or ``val``.

    Returns:
        Accuracy by class name, and for ``all`` classes together.
    """
    with isolate_ultralytics():
        model = load_yolo(str(weights))
        results = model.val(
            data=str(dataset.resolve()), split=part, imgsz=image_size, batch=8, workers=0, device="cpu", plots=False,
            verbose=False, rect=True,
        )  # fmt: skip
        rows = {"all": MaskAccuracy.from_sequence(results.seg.mean_results())}
        for index, number in enumerate(results.seg.ap_class_index):
            rows[results.names[int(number)]] = MaskAccuracy.from_sequence(results.seg.class_result(index))
    return rows
