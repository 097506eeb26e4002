"""Distillation: while a network learns from new images, its answers to other images stay those of a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from clipose_ros.errors import ConfigError, quoted
from clipose_ros.segmenter_training.weights import load_segmentation_model

_BOX_GAIN = 3.0
"""Weight of the boxes relative to the class scores; ultralytics weights its own terms 1.5 and 0.5."""


@dataclass(frozen=True)
class Teacher:
    """A network whose answers are kept.

    Attributes:
        network: Network of ultralytics without gradients, whose head returns its outputs before they are decoded.
        images: Pattern of the file names of images in which its answers are kept.
        weight: Weight of the distance to its answers in the loss.
        dtype: Data type of its layers.
    """

    network: Any
    images: str
    weight: float
    dtype: torch.dtype

    def attend(self, trainer: Any) -> None:
        """Add the distance to the answers of the teacher to the loss of a trainer, as its training starts."""
        model = trainer.model
        loss = model.loss
        self.network.to(trainer.device)

        def loss_with_teacher(batch: Mapping[str, Any], predictions: Any = None) -> Any:
            if not model.training:
                return loss(batch, predictions)
            images = batch["img"]
            predictions = model.predict(images) if predictions is None else predictions
            total, items = loss(batch, predictions)
            chosen = [row for row, path in enumerate(batch["im_file"]) if fnmatch(Path(path).name, self.images)]
            if not chosen:
                return total, items
            with torch.no_grad(), torch.autocast(trainer.device.type, self.dtype, self.dtype != torch.float32):
                answers = self.network.predict(images[chosen])
            found = {key: predictions[key][chosen] for key in ("scores", "boxes")}
            # The loss of ultralytics is multiplied by the number of images, too.
            return total.sum() + self.weight * len(images) * measure_distance(found, answers), items

        model.loss = loss_with_teacher


def load_teacher(path: str, names: Sequence[str], student: Any) -> Any:
    """Load the network of a teacher, inside ``isolate_ultralytics``.

    Args:
        path: Weights (.pt).
        names: Classes of the images.
        student: Network that is trained.

    Raises:
        ConfigError: Teacher and student have other classes or other outputs.
        SegmentationError: The weights are unusable.
    """
    network = load_segmentation_model(path).model.float().eval()
    if list(network.names.values()) != list(names):
        raise ConfigError(
            f"the teacher '{path}' has the classes {quoted(', '.join(network.names.values()))}, but the images have "
            f"{quoted(', '.join(names))}: give weights with the classes of the images"
        )
    head, other = network.model[-1], student.model[-1]
    if head.end2end or other.end2end or (head.reg_max, len(head.stride)) != (other.reg_max, len(other.stride)):
        raise ConfigError(
            f"the teacher '{path}' answers in another form than the network that is trained: give weights of the same "
            "architecture, YOLOv8 or YOLO11"
        )
    network.requires_grad_(False)
    head.training = True  # the head returns its raw outputs; batch normalization stays as it is
    return network


def measure_distance(student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> Tensor:
    """Compute the divergence of a network's raw outputs from those of a teacher.

    The sums over anchors are divided by the teacher's sum of scores, so that images with many objects and images with
    few weigh alike. Boxes count where the teacher sees something.

    Args:
        student: ``scores``, ``(N, C, A)`` logits of classes, and ``boxes``, ``(N, 4 R, A)`` logits of the bins of the
            distances to the four sides.
        teacher: The same of the teacher.

    Returns:
        Scalar, 0 for equal outputs.
    """
    given, kept = student["scores"].float(), teacher["scores"].float()
    score = kept.sigmoid()
    classes = score * (logsigmoid(kept) - logsigmoid(given)) + (1 - score) * (logsigmoid(-kept) - logsigmoid(-given))
    side, expected = (_log_bins(each["boxes"]) for each in (student, teacher))
    boxes = (expected.exp() * (expected - side)).sum(2).mean(1)
    certainty = score.amax(1)
    return 0.5 * (
        classes.sum() / score.sum().clamp(min=1) + _BOX_GAIN * (boxes * certainty).sum() / certainty.sum().clamp(min=1)
    )


def _log_bins(boxes: Tensor) -> Tensor:
    """Return the log probabilities of the bins, ``(N, 4, R, A)``."""
    return boxes.float().reshape(len(boxes), 4, -1, boxes.shape[2]).log_softmax(2)
