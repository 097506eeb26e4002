"""Teaches a detector of the categories with pictures and outlines. The work is done by ultralytics (AGPL-3.0).

It is imported only inside functions, so whoever trains no detector needs neither the library nor its licence. Weights
that it has made are under AGPL-3.0 too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.segmentation.yolo import load_yolo, tamed_ultralytics

RUN = "run"
"""Folder of ultralytics' own records inside the output folder."""
LICENCE = "AGPL-3.0 (https://www.gnu.org/licenses/agpl-3.0): made with ultralytics"
"""Written into the weights."""


@dataclass(frozen=True)
class SegmenterConfig(ConfigNode):
    """How a detector is taught; ultralytics' defaults hold for what is not named here."""

    architecture: str = option("yolo11n-seg.yaml", "Network that training begins with, weights drawn at random.")
    start: str = option("", "Weights (.pt) that training begins with instead.")
    image_size: int = option(160, "Longer side of the pictures, pixels, a multiple of 32.", low=64, high=1920)
    epochs: int = option(100, "Times that all pictures are seen.", low=1, high=10000)
    hours: float = option(0.0, "Training ends after so long, however many epochs that is; 0 for no limit.", low=0.0)
    batch: int = option(16, "Pictures per step.", low=1, high=1024)
    optimizer: str = option(
        "AdamW",
        "Who steps; MuSGD (SGD with Muon's orthogonal steps for the weights' matrices) wants a rate near 0.01.",
        choices=("AdamW", "MuSGD"),
    )
    learning_rate: float = option(0.002, "Largest learning rate.", low=0.0, high=1.0)
    final_rate: float = option(0.02, "Share of it that is left at the end.", low=0.0, high=1.0)
    warmup_epochs: float = option(1.0, "Epochs until the rate is reached.", low=0.0)
    freeze: int = option(0, "First layers that stay as they are.", low=0, high=100)
    mosaic: float = option(0.0, "How often four pictures are put together to one.", low=0.0, high=1.0)
    scale: float = option(0.4, "Largest relative change of size.", low=0.0, high=0.95)
    degrees: float = option(10.0, "Largest turn, degrees.", low=0.0, high=180.0)
    hue: float = option(0.03, "Largest change of hue, as a share of the circle.", low=0.0, high=1.0)
    precision: str = option(
        "fp32", "Of the arithmetic; bf16 is faster where a processor has it.", choices=("fp32", "bf16")
    )
    workers: int = option(0, "Processes that read pictures; 0 reads in the training process.", low=0, high=256)
    seed: int = option(0, "Of weights and order.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 32:
            raise ConfigError(f"'image_size' must be a multiple of 32, got {self.image_size}")

    @classmethod
    def read(cls, path: str | Path) -> SegmenterConfig:
        """Read a recipe.

        Raises:
            ConfigError: The file cannot be read, or a setting is unknown or out of bounds.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"recipe '{path}' cannot be read: {error}") from error
        return cls.from_mapping(values or {})

    def as_arguments(self) -> dict[str, Any]:
        """In ultralytics' words."""
        return {
            "imgsz": self.image_size,
            "epochs": self.epochs,
            "time": self.hours or None,
            "batch": self.batch,
            "nbs": self.batch,  # a step for every batch
            "optimizer": self.optimizer,
            "momentum": 0.9 if self.optimizer == "MuSGD" else 0.937,  # of AdamW the first beta
            "lr0": self.learning_rate,
            "lrf": self.final_rate,
            "cos_lr": True,
            "warmup_epochs": self.warmup_epochs,
            "warmup_bias_lr": 0.0,
            "freeze": self.freeze or None,
            "mosaic": self.mosaic,
            "close_mosaic": max(self.epochs // 10, 1) if self.mosaic else 0,
            "rect": not self.mosaic,
            "scale": self.scale,
            "degrees": self.degrees,
            "hsv_h": self.hue,
            "amp": False,  # on a processor ultralytics knows no other; see _in_bfloat16
            "workers": self.workers,
            "seed": self.seed,
        }


def train_segmenter(
    config: SegmenterConfig, dataset: Path, output: Path, device: str = "cpu", resume: bool = False
) -> Path:
    """Teach a detector.

    Args:
        config: How.
        dataset: A data set's YAML file in ultralytics' form, such as ``write_pictures`` leaves.
        output: Folder of the run; the weights appear there.
        device: ``cpu``, or a number or ``cuda:N``.
        resume: Go on with the run of that folder, with its own settings.

    Returns:
        The weights of the best epoch, see ``publish``.

    Raises:
        ConfigError: There is nothing to resume, or the data set does not exist.
        SegmentationError: ultralytics is missing, or the starting weights are unusable.
    """
    last = output / RUN / "weights" / "last.pt"
    if resume and not last.exists():
        raise ConfigError(f"there is no run to resume in '{output}': expected '{last}'")
    if not dataset.is_file():
        raise ConfigError(f"no such data set: '{dataset}'. Draw one with `train_segmenter pictures`")
    with tamed_ultralytics():
        model = load_yolo(str(last) if resume else config.start or config.architecture)
        if config.precision == "bf16":
            model.add_callback("on_train_start", _in_bfloat16)
        if resume:
            model.train(resume=True)
        else:
            model.train(
                data=str(dataset.resolve()), project=str(output.resolve()), name=RUN, exist_ok=True, device=device,
                cache="ram", patience=0, plots=False, pretrained=bool(config.start), **config.as_arguments(),
            )  # fmt: skip
    return publish(output / RUN / "weights" / "best.pt", output / "segmenter.pt")


def _in_bfloat16(trainer: Any) -> None:
    """Let a trainer compute its network, but not the loss, in bfloat16. Its averaged copy, which is kept, is not it."""
    predict = trainer.model.predict

    def fast(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(trainer.device.type, torch.bfloat16):
            found = predict(*arguments, **options)
        return _in_float32(found)

    trainer.model.predict = fast


def _in_float32(found: Any) -> Any:
    """The same tensors, however nested, in 32 bit."""
    if isinstance(found, torch.Tensor):
        return found.float()
    if isinstance(found, Mapping):
        return {key: _in_float32(value) for key, value in found.items()}
    return type(found)(map(_in_float32, found)) if isinstance(found, (list, tuple)) else found


def publish(weights: Path, target: Path) -> Path:
    """Write weights to hand on: 16 bit, the licence in them, nothing of the machine that trained them.

    Raises:
        CheckpointError: ``weights`` is no checkpoint of ultralytics.
    """
    with tamed_ultralytics():
        held = torch.load(weights, map_location="cpu", weights_only=False)
        model = held.get("ema") or held.get("model") if isinstance(held, Mapping) else None
        if not isinstance(model, torch.nn.Module):
            raise CheckpointError(f"expected weights that ultralytics has trained, got '{weights}'")
        model = model.half().eval()
        settings = {"task": "segment", "imgsz": int(held["train_args"]["imgsz"])}
        vars(model).update(args=settings, criterion=None, pt_path=target.name)
        for parameter in model.parameters():
            parameter.requires_grad = False
        kept = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": settings}
        torch.save({**kept, "version": held["version"], "date": held["date"], "license": LICENCE}, target)
    return target


def measure_segmenter(weights: Path, dataset: Path, image_size: int, part: str = "val") -> dict[str, dict[str, float]]:
    """Mask accuracy on a part of a data set.

    Returns:
        By class name, and for ``all``: ``precision`` and ``recall`` at the score of best F1, ``map50`` and ``map``.
    """
    with tamed_ultralytics():
        model = load_yolo(str(weights))
        found = model.val(data=str(dataset.resolve()), split=part, imgsz=image_size, batch=8, workers=0, device="cpu",
                          plots=False, verbose=False, rect=True)  # fmt: skip
        keys = ("precision", "recall", "map50", "map")
        rows = {"all": dict(zip(keys, map(float, found.seg.mean_results()), strict=True))}
        for place, number in enumerate(found.seg.ap_class_index):
            rows[found.names[int(number)]] = dict(zip(keys, map(float, found.seg.class_result(place)), strict=True))
    return rows
