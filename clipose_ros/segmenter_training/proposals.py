"""Proposed masks: a data set of own images, labelled by a segmenter, for correction by a person.

========================= ==============================================================================================
``dataset.yaml``          folders of the images, and names of the classes
``images/<part>/*``       copies of the images; ``<part>`` is ``train`` or ``val``
``labels/<part>/*.txt``   one line per object: class number and polygon, x and y relative to the image's size
``proposals/*.jpg``       the image with the proposed masks drawn on it, for review
========================= ==============================================================================================

The SHA-256 of an image decides its part, and its first digits end the name: equal images have one name, and images of
several recordings never replace each other.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml

from clipose_ros.atomic_files import write_atomically
from clipose_ros.bounded_files import read_bytes
from clipose_ros.errors import ConfigError, DataError, quoted
from clipose_ros.image_files import MAX_IMAGE_BYTES
from clipose_ros.segmentation.base import Segmenter
from clipose_ros.segmenter_training.dataset import DATASET_FILE, PARTS
from clipose_ros.segmenter_training.dataset_file import image_errors, read_class_names
from clipose_ros.segmenter_training.polygons import format_label, mask_to_polygon
from clipose_ros.segmenter_training.source_images import SourceImage
from clipose_ros.types import InstanceMask, RgbdFrame
from clipose_ros.visualization.draw import draw_instances

PROPOSALS = "proposals"
"""Folder of the drawings."""
_JPEG_QUALITY = 90
_NAME_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ProposalConfig:
    """Settings of a data set.

    Attributes:
        out: Folder of the data set.
        names: Class names in order of their numbers; the segmenter's categories are among them.
        val_share: Share of the images that validate, from 0 to 1.
        part: Part of all images; empty to split them by ``val_share``.
    """

    out: Path
    names: Sequence[str]
    val_share: float = 0.2
    part: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.val_share <= 1.0:
            raise ConfigError(f"the share of validation images must be from 0 to 1, got {self.val_share}")


@dataclass(frozen=True)
class ProposalSummary:
    """Counts of a run.

    Attributes:
        proposed: Number of images that got a new label file.
        kept: Number of images whose label file existed and was kept.
        objects: Proposed objects by category.
        parts: Images of the data set by part, those of earlier runs included.
    """

    proposed: int = 0
    kept: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)


def choose_part(digest: str, val_share: float) -> str:
    """Return the part of an image with a SHA-256 digest, hexadecimal: ``val`` for a share of images, else ``train``.

    A larger share only moves images from ``train`` to ``val``.
    """
    # The digits after those of the name, so that neither tells the other.
    fraction = int(digest[_NAME_DIGITS : _NAME_DIGITS + 8], 16) / 16**8
    return "val" if fraction < val_share else "train"


def propose_labels(
    images: Sequence[SourceImage], segmenter: Segmenter, config: ProposalConfig, log: Callable[[str], None] = print
) -> ProposalSummary:
    """Segment images into a data set. Label files that exist are kept: a person may have corrected them.

    An image that is in the data set already stays in its part. It appears after its label file, so an interrupted run
    leaves no image without labels; the same command continues.

    Args:
        images: Images to add.
        segmenter: Source of the masks.
        config: Settings.
        log: Called with a line of progress now and then.

    Raises:
        ConfigError: The data set was begun with other classes.
        DataError: An image cannot be read, or a file not written.
        SegmentationError: The segmenter fails on an image, or reads an input that the images lack.
    """
    _prepare_folder(config)
    proposed, kept, objects = 0, 0, Counter[str]()
    for number, image in enumerate(images, start=1):
        with image_errors(image.path):
            content = read_bytes(image.path, MAX_IMAGE_BYTES)
        digest = hashlib.sha256(content).hexdigest()
        name = f"{image.path.stem}-{digest[:_NAME_DIGITS]}"
        part = (
            _find_part(config.out, name, image.path.suffix.lower())
            or config.part
            or choose_part(digest, config.val_share)
        )
        label = config.out / "labels" / part / f"{name}.txt"
        if label.exists():
            kept += 1
        else:
            instances = _propose(image, segmenter, config, label)
            objects.update(instance.category for instance in instances)
            proposed += 1
        copy = config.out / "images" / part / f"{name}{image.path.suffix.lower()}"
        if not copy.exists():
            write_atomically(copy, [content])
        if number % 20 == 0 or number == len(images):
            log(f"{number} of {len(images)} images, {objects.total()} objects proposed")
    parts = Counter({part: sum(1 for _ in (config.out / "images" / part).iterdir()) for part in PARTS})
    return ProposalSummary(proposed, kept, objects, parts)


def _propose(image: SourceImage, segmenter: Segmenter, config: ProposalConfig, label: Path) -> list[InstanceMask]:
    """Segment an image, and write the drawing and the label file."""
    frame = image.read()
    instances = [item for item in segmenter.segment(frame) if isinstance(item, InstanceMask)]
    lines = [line for item in instances if (line := _label_line(item, frame, config.names))]
    _, jpeg = cv2.imencode(
        ".jpg", draw_instances(frame.rgb, instances)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    write_atomically(config.out / PROPOSALS / f"{label.stem}.jpg", [jpeg.tobytes()])
    write_atomically(label, [f"{line}\n".encode() for line in lines])
    return instances


def _label_line(instance: InstanceMask, frame: RgbdFrame, names: Sequence[str]) -> str:
    """Return the line of an instance in a label file; empty if its mask is too small for a polygon."""
    polygon = mask_to_polygon(instance.mask) + np.array(instance.box[:2])
    height, width = frame.rgb.shape[:2]
    return format_label(names.index(instance.category), polygon, width, height) if len(polygon) else ""


def _find_part(out: Path, name: str, suffix: str) -> str:
    """Return the part that holds an image or its labels; empty for a new image."""
    for part in PARTS:
        if (out / "labels" / part / f"{name}.txt").exists() or (out / "images" / part / f"{name}{suffix}").exists():
            return part
    return ""


def _prepare_folder(config: ProposalConfig) -> None:
    """Create the folders and ``dataset.yaml``, or check that an existing one has the same classes."""
    path = config.out / DATASET_FILE
    try:
        for folder in (PROPOSALS, *(f"{kind}/{part}" for kind in ("images", "labels") for part in PARTS)):
            (config.out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the data set cannot be written to '{config.out}' ({error}): choose another folder") from error
    if not path.exists():
        parts = {part: f"images/{part}" for part in PARTS}
        document = {"path": str(config.out.resolve()), **parts, "names": dict(enumerate(config.names))}
        write_atomically(path, [yaml.safe_dump(document, sort_keys=False).encode()])
    elif (found := read_class_names(path)) != tuple(config.names):
        raise ConfigError(
            f"'{path}' has the classes {quoted(', '.join(found))}, expected {quoted(', '.join(config.names))}: choose "
            "another folder"
        )
