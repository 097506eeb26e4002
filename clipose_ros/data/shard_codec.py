"""One cloud as files of a WebDataset tar: ``points.npy``, ``truth.json`` and, where there is colour, ``image.png``."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from webdataset import TarWriter

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import CliposeError, DataError
from clipose_ros.types import ByteArray, FloatArray

Encoded = Mapping[str, Any]
"""A cloud as its tar holds it: bytes by suffix, and its ``__key__``."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, tarfile.TarError, CliposeError)
"""What comes of a shard or manifest that is missing, cut off or something else."""


@dataclass(frozen=True, slots=True)
class CloudSample:
    """One cloud with its truth, as a row of ``CloudSamples``.

    Attributes:
        points: ``(N, 3)`` float32, metres, camera optical frame.
        category: Name.
        T_camera_object: ``(4, 4)`` float32.
        size: ``(3,)`` float32, full extent, metres, object frame.
        handle_visible: Whether the cloud shows the mug's handle; true for other categories.
        visible_fraction: Visible share of the object's outline.
        image: ``(H, H, 3)`` uint8 RGB, or None.
    """

    points: FloatArray
    category: str
    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: bool
    visible_fraction: float
    image: ByteArray | None = None


def tar_chunks(samples: Iterable[tuple[str, CloudSample]]) -> Iterator[bytes]:
    """The bytes of a tar with these clouds under their keys; equal clouds give equal bytes."""
    buffer = io.BytesIO()
    with TarWriter(buffer, encoder=False, mtime=0.0) as tar:
        for key, sample in samples:
            tar.write({"__key__": key, **encoded(sample)})
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def encoded(sample: CloudSample) -> dict[str, bytes]:
    """Its files in a tar, by suffix."""
    points = io.BytesIO()
    np.save(points, np.asarray(sample.points, dtype=np.float32), allow_pickle=False)
    truth = {
        "category": sample.category,
        "T_camera_object": np.asarray(sample.T_camera_object, dtype=np.float32).tolist(),
        "size": np.asarray(sample.size, dtype=np.float32).tolist(),
        "handle_visible": bool(sample.handle_visible),
        "visible_fraction": float(np.float32(sample.visible_fraction)),
    }
    files = {"points.npy": points.getvalue(), "truth.json": json.dumps(truth).encode()}
    if sample.image is not None:
        _, png = cv2.imencode(".png", cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR))
        files["image.png"] = png.tobytes()
    return files


def decoded(encoded: Encoded) -> CloudSample:
    """The cloud.

    Raises:
        DataError: Its tar holds something else under that name.
    """
    try:
        truth = json.loads(encoded["truth.json"])
        seen = encoded.get("image.png")
        image = None if seen is None else cv2.imdecode(np.frombuffer(seen, dtype=np.uint8), cv2.IMREAD_COLOR)
        return CloudSample(
            points=np.load(io.BytesIO(encoded["points.npy"]), allow_pickle=False),
            category=truth["category"],
            T_camera_object=np.array(truth["T_camera_object"], dtype=np.float32),
            size=np.array(truth["size"], dtype=np.float32),
            handle_visible=truth["handle_visible"],
            visible_fraction=truth["visible_fraction"],
            image=None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8),
        )
    except (*UNREADABLE, cv2.error) as error:
        raise DataError(f"{encoded['__url__']}: {encoded['__key__']} is no cloud ({error})") from error


def stacked(samples: Sequence[CloudSample], categories: CategorySet) -> CloudSamples:
    """Clouds, at least one, as arrays; images only where all have one."""
    images = [sample.image for sample in samples if sample.image is not None]
    return CloudSamples(
        points=np.stack([sample.points for sample in samples]),
        category_index=np.array([categories.index(sample.category) for sample in samples], dtype=np.int64),
        T_camera_object=np.stack([sample.T_camera_object for sample in samples]),
        size=np.stack([sample.size for sample in samples]),
        handle_visible=np.array([sample.handle_visible for sample in samples], dtype=bool),
        visible_fraction=np.array([sample.visible_fraction for sample in samples], dtype=np.float32),
        categories=categories,
        images=np.stack(images) if len(images) == len(samples) else None,
    )
