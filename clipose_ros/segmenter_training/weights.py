"""Weights of segmentation models: checks before training, and export for distribution."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from clipose_ros.atomic_files import replace_file
from clipose_ros.errors import CheckpointError, ConfigError, DataError, SegmentationError, quoted
from clipose_ros.segmentation.isolation import isolate_ultralytics, read_checkpoint
from clipose_ros.segmentation.yolo import has_masks, load_yolo

LICENSE = "AGPL-3.0 (https://www.gnu.org/licenses/agpl-3.0): made with ultralytics"
"""License text that is written into the weights."""


def load_segmentation_model(path: str) -> Any:
    """Load a model that predicts masks inside ``isolate_ultralytics``: weights (.pt) or an architecture (.yaml).

    Raises:
        SegmentationError: The file is unusable, or its network predicts boxes only.
    """
    model = load_yolo(path)
    if not has_masks(model):
        raise SegmentationError(
            f"'{path}' predicts boxes without masks: give a segmentation model, whose name usually ends in -seg"
        )
    # The layer of torchvision's backbones downloads their weights when it is made.
    if "TorchVision" in str(getattr(model.model, "yaml", "")):
        raise SegmentationError(
            f"'{path}' has a backbone of torchvision, whose weights would be downloaded: not supported"
        )
    return model


def check_resumable(checkpoint: Path, settings: Collection[str]) -> bool:
    """Check the checkpoint of a run that is to be continued, inside ``isolate_ultralytics``.

    Args:
        checkpoint: ``last.pt`` of the run.
        settings: Names of the settings that a run may have.

    Returns:
        True if the run has epochs left, False if it has finished.

    Raises:
        ConfigError: The run has a setting that this package does not make.
        SegmentationError: The checkpoint is unusable.
    """
    from ultralytics.utils import DEFAULT_CFG_DICT

    content = read_checkpoint(checkpoint)
    epoch, arguments = content.get("epoch"), content.get("train_args")
    if not isinstance(epoch, int) or not isinstance(arguments, Mapping):
        raise SegmentationError(f"'{checkpoint}' is not the state of a training run: start without --resume")
    if epoch < 0 or content.get("optimizer") is None or epoch + 1 >= arguments.get("epochs", 0):
        return False
    # A run is continued with the settings in its file, which may name other files, hosts and classes.
    for name, value in arguments.items():
        if name not in settings and value != DEFAULT_CFG_DICT.get(name):
            raise ConfigError(
                f"'{checkpoint}' was trained with {name} = {quoted(value)}, which is not a setting of train_segmenter: "
                "start without --resume"
            )
    return True


def export_weights(checkpoint: Path, target: Path) -> Path:
    """Write weights for distribution: float16, with the license text, without paths and settings of the training run.

    Args:
        checkpoint: A checkpoint that ultralytics wrote.
        target: File to write; it is complete or absent.

    Returns:
        ``target``.

    Raises:
        CheckpointError: ``checkpoint`` is no checkpoint of a segmentation model.
        DataError: The file cannot be written.
        SegmentationError: ``checkpoint`` is damaged, or asks for code to be run.
    """
    with isolate_ultralytics():
        from ultralytics.nn.tasks import SegmentationModel

        content: Any = read_checkpoint(checkpoint)
        # The averaged weights are the validated ones; a finished run stores them as the model.
        trained = content.get("ema") or content.get("model")
        arguments, dates = content.get("train_args"), {key: content.get(key) for key in ("version", "date")}
        if not isinstance(trained, SegmentationModel) or not isinstance(arguments, Mapping) or "imgsz" not in arguments:
            raise CheckpointError(f"expected weights that ultralytics has trained to predict masks, got '{checkpoint}'")
        model: Any = trained.half().eval()  # untyped for ultralytics' own attributes below
        settings = {"task": "segment", "imgsz": int(arguments["imgsz"])}
        # ultralytics keeps its training arguments, its loss and the path of the starting weights on the model.
        model.args, model.criterion, model.pt_path = settings, None, target.name
        for parameter in model.parameters():
            parameter.requires_grad = False
        kept = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": settings}
        buffer = io.BytesIO()  # torch.save reports a full disk by various errors, a plain file always by OSError
        torch.save({**kept, **dates, "license": LICENSE}, buffer)
    try:
        with replace_file(target) as partial:
            partial.write_bytes(buffer.getbuffer())
    except OSError as error:
        raise DataError(
            f"'{target}' cannot be written ({error}): free disk space, or make the folder writable"
        ) from error
    return target
