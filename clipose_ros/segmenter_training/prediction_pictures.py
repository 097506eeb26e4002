"""Pictures of the predictions of trained weights on the validation images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clipose_ros.atomic_files import write_atomically
from clipose_ros.errors import SegmentationError
from clipose_ros.image_files import read_image
from clipose_ros.segmentation.isolation import ULTRALYTICS_ERRORS, first_line
from clipose_ros.segmenter_training.dataset_file import read_polygons
from clipose_ros.types import ByteArray, InstanceMask
from clipose_ros.visualization.draw import draw_instances

MAX_PICTURES = 12
SCORE_THRESHOLD = 0.25
"""Predictions with a lower score are not drawn."""
_LABELLED_COLOUR = (255, 255, 255)


def draw_predictions(model: Any, image_size: int, images: Sequence[Path], folder: Path) -> int:
    """Draw predicted masks, coloured, and the outlines of the labels, white, inside ``isolate_ultralytics``.

    Args:
        model: Model that ``load_segmentation_model`` returns.
        image_size: Longer side of the input, pixels.
        images: Image files; ``MAX_PICTURES`` of them, evenly spaced, are drawn.
        folder: Output folder; pictures of an earlier run are removed.

    Returns:
        Number of pictures.

    Raises:
        DataError: A picture cannot be written.
        SegmentationError: The model fails on an image.
        UnreadableFileError: An image cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("[0-9][0-9]-*.jpg"):
        earlier.unlink()
    chosen = [images[i] for i in np.unique(np.linspace(0, len(images) - 1, MAX_PICTURES).astype(int))]
    for number, path in enumerate(chosen):
        bgr = np.asarray(read_image(path, cv2.IMREAD_COLOR), np.uint8)
        picture = draw_instances(bgr[..., ::-1], _predict(model, bgr, image_size))
        size = bgr.shape[1], bgr.shape[0]
        outlines = [np.rint(polygon * size - 0.5).astype(np.int32) for polygon in read_polygons(path)]
        cv2.polylines(picture, outlines, True, _LABELLED_COLOUR, 1, cv2.LINE_AA)
        _, jpeg = cv2.imencode(".jpg", picture[..., ::-1])
        write_atomically(folder / f"{number:02d}-{path.stem}.jpg", [jpeg.tobytes()])
    return len(chosen)


def _predict(model: Any, bgr: ByteArray, image_size: int) -> list[InstanceMask]:
    """Return the predicted instances of an image; their category is the class name."""
    try:
        result = model.predict(
            bgr,
            imgsz=image_size,
            conf=SCORE_THRESHOLD,
            agnostic_nms=True,
            retina_masks=True,
            device="cpu",
            verbose=False,
            save=False,
        )[0]
    except ULTRALYTICS_ERRORS as error:
        raise SegmentationError(f"ultralytics cannot run the trained weights: {first_line(error)}") from error
    if result.masks is None:
        return []
    masks = result.masks.data.bool().cpu().numpy()
    found = zip(result.boxes.cls.int().tolist(), result.boxes.conf.tolist(), masks, strict=True)
    instances = (InstanceMask.from_full(model.names[number], score, mask) for number, score, mask in found)
    return [instance for instance in instances if instance is not None]
