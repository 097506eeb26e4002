"""WebDataset encoding of a cloud: ``points.npy``, ``truth.json`` and, if the cloud has an image, ``image.png``."""

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
from clipose_ros.data.sampling import SampleMetadata
from clipose_ros.errors import CliposeError, DataError

EncodedCloud = Mapping[str, Any]
"""Files of a cloud in a tar: bytes by suffix, with the cloud's ``__key__`` and the tar's ``__url__``."""
READ_ERRORS = (OSError, ValueError, KeyError, TypeError, tarfile.TarError, CliposeError)
"""Exceptions raised by a shard or manifest that is missing, truncated or of another format."""


def iter_tar_bytes(samples: Iterable[tuple[str, CloudSample]]) -> Iterator[bytes]:
    """Yield the bytes of a tar archive of keyed clouds in chunks. Equal clouds give equal bytes."""
    buffer = io.BytesIO()
    # A constant modification time makes the bytes, and therefore the hash, reproducible.
    with TarWriter(buffer, encoder=False, mtime=0.0) as tar:
        for key, sample in samples:
            tar.write({"__key__": key, **encode_cloud(sample)})
            yield buffer.getvalue()
            # The buffer holds one cloud at a time.
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def encode_cloud(sample: CloudSample) -> dict[str, bytes]:
    """Encode a cloud as files by suffix."""
    points = io.BytesIO()
    np.save(points, np.asarray(sample.points, dtype=np.float32), allow_pickle=False)
    truth = {
        "category": sample.category,
        # float32 values survive the conversion to decimal text and back without change.
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


def decode_metadata(clouds: Sequence[EncodedCloud], categories: CategorySet) -> SampleMetadata:
    """Decode category, pose and handle visibility of clouds; points and images stay encoded.

    Raises:
        DataError: An entry is not a cloud; the message names the tar and the key.
    """
    indices, poses, handles = [], [], []
    for cloud in clouds:
        try:
            truth = json.loads(cloud["truth.json"])
            indices.append(categories.index(truth["category"]))
            poses.append(np.array(truth["T_camera_object"], dtype=np.float32).reshape(4, 4))
            handles.append(bool(truth["handle_visible"]))
        except READ_ERRORS as error:
            raise _not_a_cloud(cloud, error) from error
    return SampleMetadata(np.array(indices, dtype=np.int64), np.stack(poses), np.array(handles, dtype=bool))


def decode_cloud(encoded: EncodedCloud) -> CloudSample:
    """Decode a cloud.

    Raises:
        DataError: The entry is not a cloud; the message names the tar and the key.
    """
    try:
        truth = json.loads(encoded["truth.json"])
        png = encoded.get("image.png")
        image = None if png is None else cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_COLOR)
        return CloudSample(
            points=np.load(io.BytesIO(encoded["points.npy"]), allow_pickle=False),
            category=truth["category"],
            T_camera_object=np.array(truth["T_camera_object"], dtype=np.float32),
            size=np.array(truth["size"], dtype=np.float32),
            handle_visible=truth["handle_visible"],
            visible_fraction=truth["visible_fraction"],
            image=None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8),
        )
    except (*READ_ERRORS, cv2.error) as error:
        raise _not_a_cloud(encoded, error) from error


def _not_a_cloud(entry: EncodedCloud, error: Exception) -> DataError:
    """Return the error of a tar entry that cannot be decoded."""
    return DataError(f"{entry['__url__']}: entry {entry['__key__']} is not a cloud ({error}): run `generate` again")
