"""Raw messages of recordings, their bounds, and bounded decompression."""

from __future__ import annotations

import bz2
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import lz4.frame

from clipose_ros.errors import UnreadableFileError, quoted

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_MESSAGE_BYTES = 1 << 28
"""Largest message that is read, bytes."""
MAX_CHUNK_BYTES = 1 << 29
"""Largest chunk of messages that is read, bytes after decompression."""
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

Report = Callable[[str], None]
"""Receives a sentence about each part of a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Topic of a recording.

    Attributes:
        topic: Name.
        kind: Type of the messages, such as ``sensor_msgs/msg/Image``.
        encoding: Encoding of the messages: ``cdr``, ``ros1``, or one that is not decoded.
    """

    topic: str
    kind: str
    encoding: str


Selection = Callable[[Channel], bool]
"""Returns True for the channels whose messages are read."""


class RawMessage(NamedTuple):
    """Message of a recording.

    Attributes:
        channel: Its topic.
        log_ns: Time of its recording, nanoseconds.
        data: The encoded message.
        progress: Fraction of the file up to this message, 0 to 1.
    """

    channel: Channel
    log_ns: int
    data: bytes
    progress: float


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...

    @property
    def eof(self) -> bool: ...


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "zstd": zstd.ZstdDecompressor,
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "bz2": bz2.BZ2Decompressor,
}


def decompress(data: bytes, method: str, max_bytes: int, *, partial: bool = False) -> bytes:
    """Decompress data without ever holding more than a limit.

    Args:
        data: Compressed data.
        method: ``zstd``, ``lz4`` or ``bz2``; empty or ``none`` for data that are not compressed.
        max_bytes: Limit, bytes after decompression.
        partial: Accept data that are cut short.

    Raises:
        UnreadableFileError: The method is unknown, the data are damaged, or there are more of them than the limit.
    """
    if method in ("", "none"):
        return data
    if method not in _DECOMPRESSORS:
        raise UnreadableFileError(f"its compression {quoted(method)} is none of {', '.join(_DECOMPRESSORS)}")
    decompressor = _DECOMPRESSORS[method]()
    try:
        plain = decompressor.decompress(data, max_bytes + 1)
    except (zstd.ZstdError, RuntimeError, OSError, EOFError, ValueError, MemoryError) as error:
        raise UnreadableFileError(f"its {method} data are damaged") from error
    if len(plain) > max_bytes:
        raise UnreadableFileError(f"its {method} data hold more than {max_bytes} bytes")
    if not (decompressor.eof or partial):
        raise UnreadableFileError(f"its {method} data are cut short")
    return plain


def message_type(name: str) -> str:
    """Return the name of a message type in the form of ROS 2: ``sensor_msgs/Image`` is ``sensor_msgs/msg/Image``."""
    package, slash, rest = name.partition("/")
    return f"{package}/msg/{rest}" if slash and "/" not in rest else name


def describe_cut_record(place: int, length: int, available: int) -> str:
    """Describe the last record of a file that was cut short.

    Args:
        place: Byte of the file at which the record begins.
        length: Length that the record states, bytes.
        available: Bytes of it that the file has.
    """
    return (
        f"it is cut short: its record at byte {place} should have {length} bytes, the file has {available}; what is "
        "before is used"
    )
