"""Detectors with other classes that keep what a trained detector knows: the rows of related classes start the new ones.

The class branch of a YOLO head ends in a 1 x 1 convolution with one row per class. ultralytics also sizes the branch by
the number of classes and starts a branch of another size with random weights. Here only the rows are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmentation.yolo import load_yolo

COCO_SOURCES: dict[str, tuple[str, ...]] = {
    "bottle": ("bottle",),
    "bowl": ("bowl",),
    "camera": ("cell phone", "remote"),
    "can": ("bottle", "cup"),
    "laptop": ("laptop",),
    "mug": ("cup",),
}
"""Classes of COCO whose mean row starts the row of a category."""
NEW_CLASS_LOGIT = -2.0
"""Offset of the logits of rows that are means of several classes: a new class starts unlikely."""


def replace_classes(start: Path, target: Path, names: Sequence[str], sources: Mapping[str, Sequence[str]]) -> Path:
    """Write a detector of other classes; everything but the last layer of the class branch is kept.

    Args:
        start: Weights of a YOLO detector or segmentation model (.pt).
        target: File to write.
        names: Names of the new classes, in order.
        sources: Classes of ``start`` whose mean row starts the row of each new class.

    Returns:
        ``target``.

    Raises:
        CheckpointError: The head has no class branch of the known form.
        ConfigError: A new class has no source, or a source is no class of ``start``.
    """
    with isolate_ultralytics():
        model: Any = load_yolo(str(start)).model.float()
        head = model.model[-1]
        known = {str(name): int(number) for number, name in model.names.items()}
        rows = [_find_rows(name, sources, known) for name in names]
        if getattr(head, "end2end", False) or not hasattr(head, "cv3"):
            raise CheckpointError(f"'{start}' has no class branch that can be replaced: use a YOLOv8 or YOLO11 model")
        for branch in head.cv3:
            branch[-1] = _select_rows(branch[-1], rows)
        head.no += len(names) - head.nc
        head.nc = model.nc = model.yaml["nc"] = len(names)
        model.names = dict(enumerate(names))
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": -1, "model": model.half(), "train_args": {"task": "segment"}}, target)
    return target


def _find_rows(name: str, sources: Mapping[str, Sequence[str]], known: Mapping[str, int]) -> list[int]:
    """Return the rows of the classes that start a new class."""
    chosen = list(sources.get(name, ()))
    unknown = [source for source in chosen if source not in known]
    if not chosen or unknown:
        problem = f"no class of the weights: {', '.join(unknown)}" if unknown else "none"
        raise ConfigError(f"class '{name}' needs classes of the weights to start from, got {problem}")
    return [known[source] for source in chosen]


def _select_rows(layer: torch.nn.Conv2d, rows: Sequence[Sequence[int]]) -> torch.nn.Conv2d:
    """Return a 1 x 1 convolution whose rows are means of rows of another one."""
    selected = torch.nn.Conv2d(layer.in_channels, len(rows), 1)
    assert layer.bias is not None
    assert selected.bias is not None
    with torch.no_grad():
        for number, sources in enumerate(rows):
            selected.weight[number] = layer.weight[list(sources)].mean(dim=0)
            selected.bias[number] = layer.bias[list(sources)].mean()
            if len(sources) > 1:
                selected.bias[number] += NEW_CLASS_LOGIT
    return selected
