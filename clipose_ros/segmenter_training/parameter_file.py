"""Parameter file of the pose node that selects a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from clipose_ros.atomic_files import write_atomically


@dataclass(frozen=True)
class DetectorParameters:
    """Settings that belong to weights.

    Attributes:
        class_map: Category by class of the weights.
        image_size: Longer side of the input, pixels.
        score_threshold: Detections with a lower score are dropped; None for the default of the node.
    """

    class_map: Mapping[str, str]
    image_size: int
    score_threshold: float | None = None


def write_parameters(weights: Path, parameters: DetectorParameters, comment: str) -> Path:
    """Write a parameter file (``.yaml``) beside weights.

    Args:
        weights: The weights; the file names them by their absolute path.
        parameters: Settings.
        comment: First line of the file.

    Returns:
        The file.

    Raises:
        DataError: The file cannot be written.
    """
    segmentation: dict[str, object] = {
        "backend": "yolo",
        "model": str(weights.resolve()),
        "class_map": [f"{name}:{category}" for name, category in parameters.class_map.items()],
        "image_size": parameters.image_size,
    }
    if parameters.score_threshold is not None:
        segmentation["score_threshold"] = parameters.score_threshold
    document = {"/**": {"ros__parameters": {"segmentation": segmentation}}}
    text = f"# {comment}\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    path = weights.with_suffix(".yaml")
    write_atomically(path, [text.encode()])
    return path
