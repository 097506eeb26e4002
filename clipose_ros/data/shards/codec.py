"""One cloud as files of a WebDataset tar: ``points.npy``, ``truth.json`` and, where there is colour, ``image.png``."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from webdataset import TarWriter

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.sampling import Views
from clipose_ros.errors import CliposeError, DataError

Encoded = Mapping[str, Any]
"""A cloud as its tar holds it: bytes by suffix, and its ``__key__``."""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, tarfile.TarError, CliposeError)
"""What comes of a shard or manifest that is missing, cut off or something else."""


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


def views_of(clouds: Sequence[Encoded], categories: CategorySet) -> Views:
    """From where the clouds' objects were seen; points and images stay encoded.

    Raises:
        DataError: A tar holds something else under that name.
    """
    kinds, poses, handles = [], [], []
    for cloud in clouds:
        try:
            truth = json.loads(cloud["truth.json"])
            kinds.append(categories.index(truth["category"]))
            poses.append(np.array(truth["T_camera_object"], dtype=np.float32).reshape(4, 4))
            handles.append(bool(truth["handle_visible"]))
        except UNREADABLE as error:
            raise DataError(f"{cloud['__url__']}: {cloud['__key__']} is no cloud ({error})") from error
    return Views(np.array(kinds, dtype=np.int64), np.stack(poses), np.array(handles, dtype=bool))


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
