"""WebDataset encoding of a cloud: ``points.npy``, ``truth.json`` and, if the cloud has an image, ``image.png``."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from webdataset import TarWriter

from clipose_ros.bounded_files import load_npy, parse_json
from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_checks import find_fault
from clipose_ros.data.cloud_sample import CloudSample, stack_samples
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.sampling import SampleMetadata
from clipose_ros.errors import CliposeError, DataError, quoted
from clipose_ros.image_files import decode_image
from clipose_ros.types import ByteArray, FloatArray

EncodedCloud = Mapping[str, Any]
"""Files of a cloud in a tar: bytes by suffix, with the cloud's ``__key__`` and the tar's ``__url__``."""
READ_ERRORS = (OSError, ValueError, KeyError, TypeError, tarfile.TarError, OverflowError, RecursionError, CliposeError)
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
            truth = _parse_truth(cloud["truth.json"])
            indices.append(categories.index(truth.category))
        except READ_ERRORS as error:
            raise _not_a_cloud(cloud, error) from error
        poses.append(truth.T_camera_object)
        handles.append(truth.handle_visible)
    return SampleMetadata(np.array(indices, dtype=np.int64), np.stack(poses), np.array(handles, dtype=bool))


def decode_clouds(encoded: Sequence[EncodedCloud], categories: CategorySet) -> CloudSamples:
    """Decode clouds, at least one.

    Raises:
        DataError: An entry is not a cloud, or its cloud is degenerate; the message names the tar and the key.
    """
    samples = stack_samples([_decode_cloud(each, categories) for each in encoded], categories)
    # All at once: single checks would take longer than the decoding.
    if fault := find_fault(samples.points, samples.T_camera_object, samples.size):
        raise _not_a_cloud(encoded[fault.row], DataError(fault.reason))
    return samples


def _decode_cloud(encoded: EncodedCloud, categories: CategorySet) -> CloudSample:
    """Decode a cloud and check the types of its values."""
    try:
        truth = _parse_truth(encoded["truth.json"])
        points = load_npy(io.BytesIO(encoded["points.npy"]), len(encoded["points.npy"]))
        if points.ndim != 2 or points.shape[1] != 3 or not len(points) or points.dtype != np.float32:
            raise DataError(f"its points must be (N, 3) float32, got {points.shape} {points.dtype!s:.80}")
        png = encoded.get("image.png")
        return CloudSample(
            points=points.astype(np.float32, copy=False),
            category=categories[truth.category].name,
            T_camera_object=truth.T_camera_object,
            size=truth.size,
            handle_visible=truth.handle_visible,
            visible_fraction=truth.visible_fraction,
            image=None if png is None else _decode_png(png),
        )
    except READ_ERRORS as error:
        raise _not_a_cloud(encoded, error) from error


class _Truth(NamedTuple):
    """Ground truth of a cloud; see ``CloudSample``."""

    category: str
    T_camera_object: FloatArray
    size: FloatArray
    handle_visible: bool
    visible_fraction: float


def _parse_truth(text: bytes) -> _Truth:
    """Parse a ``truth.json`` and check the types of its values."""
    values = parse_json(text)
    if not isinstance(values, dict):
        raise DataError("its truth must be a mapping")
    category, handle, visible = (values[name] for name in ("category", "handle_visible", "visible_fraction"))
    if not isinstance(category, str) or not isinstance(handle, bool) or not isinstance(visible, int | float):
        raise DataError(f"its category, visibility or handle has another type: {quoted([category, handle, visible])}")
    if not 0.0 <= visible <= 1.0 + 1e-6:
        raise DataError(f"its visible fraction is {visible}, expected 0 to 1")
    pose, size = (np.array(values[name], dtype=np.float32) for name in ("T_camera_object", "size"))
    if pose.shape != (4, 4) or size.shape != (3,):
        raise DataError(f"its pose must be (4, 4) and its size (3,), got {pose.shape} and {size.shape}")
    return _Truth(category, pose, size, handle, float(visible))


def _decode_png(png: bytes) -> ByteArray:
    """Decode an image to RGB."""
    bgr = np.asarray(decode_image(png, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(bgr[..., ::-1])


def _not_a_cloud(entry: EncodedCloud, error: Exception) -> DataError:
    """Return the error of a tar entry that cannot be decoded."""
    reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    return DataError(
        f"{entry['__url__']}: entry {quoted(entry['__key__'])} is not a usable cloud ({reason}): run `generate` again"
    )
