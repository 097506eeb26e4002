"""Weights of segmentation models: checks before training, and export for distribution."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
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
    return average_weights([checkpoint], target)


def average_weights(checkpoints: Sequence[Path], target: Path) -> Path:
    """Write the mean of the weights of several checkpoints of one network for distribution, as ``export_weights`` does.

    The mean of the epochs of a run, or of runs from one start, errs less on images unlike those of the training than
    each of them.

    Args:
        checkpoints: Checkpoints that ultralytics wrote; the first one gives the input size.
        target: File to write; it is complete or absent.

    Returns:
        ``target``.

    Raises:
        CheckpointError: A checkpoint is none of a segmentation model, or their networks or classes differ.
        ConfigError: There is no checkpoint.
        DataError: The file cannot be written.
        SegmentationError: A checkpoint is damaged, or asks for code to be run.

    References:
        M. Wortsman et al., Model soups: averaging weights of multiple fine-tuned models improves accuracy without
        increasing inference time, ICML 2022.
    """
    if not checkpoints:
        raise ConfigError("the mean of weights needs at least one checkpoint, got none")
    with isolate_ultralytics():
        contents = [_read_trained(path) for path in checkpoints]
        model, content = contents[0]
        states = [trained.float().state_dict() for trained, _ in contents]
        for path, (trained, _), state in zip(checkpoints[1:], contents[1:], states[1:], strict=True):
            if trained.names != model.names or _get_shapes(state) != _get_shapes(states[0]):
                raise CheckpointError(f"'{path}' has another network or other classes than '{checkpoints[0]}'")
        # Counters of batches are integers; those of the first checkpoint are kept.
        model.load_state_dict(
            {
                key: torch.stack([state[key] for state in states]).mean(dim=0) if value.is_floating_point() else value
                for key, value in states[0].items()
            }
        )
        packed = _pack(model, content, target.name)
    try:
        with replace_file(target) as partial:
            partial.write_bytes(packed.getbuffer())
    except OSError as error:
        raise DataError(
            f"'{target}' cannot be written ({error}): free disk space, or make the folder writable"
        ) from error
    return target


def _read_trained(checkpoint: Path) -> tuple[Any, Mapping[str, Any]]:
    """Return the trained network of a checkpoint and the checkpoint, inside ``isolate_ultralytics``."""
    from ultralytics.nn.tasks import SegmentationModel

    content: Any = read_checkpoint(checkpoint)
    # The averaged weights are the validated ones; a finished run stores them as the model.
    trained, arguments = content.get("ema") or content.get("model"), content.get("train_args")
    if not isinstance(trained, SegmentationModel) or not isinstance(arguments, Mapping) or "imgsz" not in arguments:
        raise CheckpointError(f"expected weights that ultralytics has trained to predict masks, got '{checkpoint}'")
    return trained, content


def _get_shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a state by name."""
    return {key: tuple(value.shape) for key, value in state.items()}


def _pack(trained: Any, content: Mapping[str, Any], name: str) -> io.BytesIO:
    """Return the bytes of weights: float16, without the optimizer, paths and settings of the run."""
    model: Any = trained.half().eval()  # untyped for ultralytics' own attributes below
    settings = {"task": "segment", "imgsz": int(content["train_args"]["imgsz"])}
    # ultralytics keeps its training arguments, its loss and the path of the starting weights on the model.
    model.args, model.criterion, model.pt_path = settings, None, name
    for parameter in model.parameters():
        parameter.requires_grad = False
    dates = {key: content.get(key) for key in ("version", "date")}
    kept = {"epoch": -1, "model": model, "ema": None, "optimizer": None, "train_args": settings}
    buffer = io.BytesIO()  # torch.save reports a full disk by various errors, a plain file always by OSError
    torch.save({**kept, **dates, "license": LICENSE}, buffer)
    return buffer
