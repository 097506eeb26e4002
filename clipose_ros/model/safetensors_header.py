"""Headers of safetensors files, which are checked before any array is read.

A header states its own length, the names, types and shapes of the arrays, and text. The statements are compared with
the size of the file first, so that no file makes the reader reserve more memory than the file has bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import torch

from clipose_ros.bounded_files import parse_json
from clipose_ros.errors import UnreadableFileError, quoted

MAX_HEADER_BYTES = 1 << 20
"""Longest header, bytes; that of ``clipose_small`` has 15 thousand."""
MAX_FILE_BYTES = 1 << 30
"""Largest file, bytes: ten times a model of the paper's widths."""
DTYPES = {"F32": torch.float32, "I64": torch.int64}
"""Types of the arrays that checkpoints hold, by their names in the header."""


@dataclass(frozen=True)
class TensorHeader:
    """Type and shape of an array."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes of the array."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """Header of a file.

    Attributes:
        metadata: Text by key.
        tensors: Type and shape of each array by name.
        file_bytes: Number of bytes of the file.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, TensorHeader]
    file_bytes: int


def read_header(stream: BinaryIO, file_bytes: int) -> SafetensorsHeader:
    """Read the header at the start of a stream.

    Args:
        stream: The file, at its start.
        file_bytes: Number of bytes of the file.

    Raises:
        UnreadableFileError: The header is malformed, has array types other than ``DTYPES``, or does not describe a file
            of this size.
    """
    length = int.from_bytes(stream.read(8), "little")
    if file_bytes > MAX_FILE_BYTES:
        raise UnreadableFileError(f"it has {file_bytes} bytes, expected at most {MAX_FILE_BYTES}")
    if not 2 <= length <= min(MAX_HEADER_BYTES, file_bytes - 8):
        raise UnreadableFileError(f"it states a header of {length} bytes, the file has {file_bytes}")
    entries = parse_json(stream.read(length))
    if not isinstance(entries, dict):
        raise UnreadableFileError("its header is no mapping")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UnreadableFileError("its metadata are not text")
    tensors = {name: _parse_tensor(name, entry) for name, entry in entries.items()}
    expected = 8 + length + sum(tensor.size_bytes for tensor in tensors.values())
    if expected != file_bytes:
        raise UnreadableFileError(f"its header states {expected} bytes, the file has {file_bytes}")
    return SafetensorsHeader(metadata, tensors, file_bytes)


def _parse_tensor(name: str, entry: object) -> TensorHeader:
    """Return the type and shape in the entry of an array; safetensors itself checks the offsets."""
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise UnreadableFileError(f"the type of {quoted(name)} is {dtype!r:.80}, expected {' or '.join(DTYPES)}")
    # type() rather than isinstance(): bool is a subclass of int.
    if not isinstance(shape, list) or len(shape) > 8 or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise UnreadableFileError(f"the shape of {quoted(name)} is {shape!r:.80}, expected a list of lengths")
    return TensorHeader(DTYPES[dtype], tuple(shape))
