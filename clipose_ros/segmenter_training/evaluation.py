"""Accuracy of the masks of a segmentation model on a part of a data set."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clipose_ros.errors import ConfigError, SegmentationError, quoted
from clipose_ros.segmentation.isolation import ULTRALYTICS_ERRORS, first_line, isolate_ultralytics
from clipose_ros.segmentation.runtimes import runtime_errors
from clipose_ros.segmenter_training.dataset_file import read_image_dataset
from clipose_ros.segmenter_training.weights import load_segmentation_model


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


def evaluate_segmenter(weights: Path, dataset: Path, image_size: int, part: str = "val") -> dict[str, MaskAccuracy]:
    """Measure the mask accuracy on a part of a data set.

    Args:
        weights: Weights of a segmentation model.
        dataset: YAML file of the data set.
        image_size: Longer side of the input, pixels.
        part: ``train`` or ``val``.

    Returns:
        Accuracy by class name, and for ``all`` classes together.

    Raises:
        ConfigError: The image size is out of bounds.
        DataError: The data set is malformed.
        SegmentationError: ultralytics is not installed, or the weights are unusable or have other classes.
    """
    if not 32 <= image_size <= 4096:
        raise ConfigError(f"the image size must be from 32 to 4096 pixels, got {image_size}")
    with isolate_ultralytics(), tempfile.TemporaryDirectory(prefix="clipose_evaluation_") as folder:
        model = load_segmentation_model(str(weights))
        images = read_image_dataset(dataset, (part,))
        try:
            names = tuple(model.names.values())
            if names != images.names:
                raise SegmentationError(
                    f"weights '{weights}' have the classes {quoted(', '.join(names))}, data set '{dataset}' has "
                    f"{quoted(', '.join(images.names))}: give weights that were trained on these classes"
                )
            results = model.val(
                data=str(images.write(Path(folder) / "dataset.yaml")), split=part, imgsz=image_size, batch=8, workers=0,
                device="cpu", plots=False, verbose=False, rect=True, project=folder, name="val", exist_ok=True,
            )  # fmt: skip
        except ULTRALYTICS_ERRORS + runtime_errors() as error:
            raise SegmentationError(
                f"ultralytics cannot evaluate '{weights}' on '{dataset}': {first_line(error)}"
            ) from error
        rows = {"all": MaskAccuracy.from_sequence(results.seg.mean_results())}
        for index, number in enumerate(results.seg.ap_class_index):
            rows[results.names[int(number)]] = MaskAccuracy.from_sequence(results.seg.class_result(index))
    return rows
