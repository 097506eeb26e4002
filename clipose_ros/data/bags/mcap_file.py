"""Reading of MCAP files from the first record on.

The index at the end of a file is not needed, so files that were cut short are read up to their end. A file is a magic
number and records: operation (1 byte), length (8), content. A chunk is a record that holds compressed records. See
https://mcap.dev/spec.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from clipose_ros.data.bags.records import (
    MAX_CHUNK_BYTES,
    MAX_MESSAGE_BYTES,
    Channel,
    RawMessage,
    Report,
    Selection,
    decompress,
    describe_cut_record,
    message_type,
)
from clipose_ros.errors import UnreadableFileError

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x03, 0x04, 0x05, 0x06
_DATA_END, _FOOTER, _LAST = 0x0F, 0x02, 0x0F
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_CHUNK_OVERHEAD = 128  # header of a chunk, with the name of its compression


class McapScanner:
    """Reader of the messages of one file, in the order of the file.

    Args:
        stream: The file.
        size: Its size, bytes.
        selects: Selects the channels.
        report: Receives what cannot be read.
    """

    def __init__(self, stream: IO[bytes], size: int, selects: Selection, report: Report) -> None:
        self._stream, self._size, self._selects, self._report = stream, size, selects, report
        self._schemas: dict[int, str] = {}
        self._channels: dict[int, Channel] = {}
        self._selected: dict[int, Channel] = {}

    def messages(self) -> Iterator[RawMessage]:
        """Yield the messages of the selected channels."""
        self._stream.seek(len(MAGIC))
        while True:
            head = self._stream.read(_HEAD.size)
            place = self._stream.tell()
            if len(head) < _HEAD.size:
                self._report(f"it is cut short after {self._size} bytes, and has no index: what it holds is used")
                return
            operation, length = _HEAD.unpack(head)
            if operation in (_DATA_END, _FOOTER):
                return
            if not 0 < operation <= _LAST:
                self._report(f"its record at byte {place} is of the unknown kind {operation}: the rest is left out")
                return
            content = self._read(operation, length, place)
            if content is not None:
                yield from self._records(operation, content, place, place + length > self._size)
            if place + length > self._size:
                self._report(describe_cut_record(place, length, self._size - place))
                return
            self._stream.seek(place + length)

    def _read(self, operation: int, length: int, place: int) -> bytes | None:
        """Return the content of a record that is needed, or what the file has of it; None for others."""
        if operation not in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK):
            return None
        limit = MAX_CHUNK_BYTES if operation == _CHUNK else MAX_MESSAGE_BYTES
        available = min(length, self._size - place)
        if available > limit + _CHUNK_OVERHEAD:
            self._report(f"its record at byte {place} has {length} bytes, at most {limit} are read: it is left out")
            return None
        return self._stream.read(available)

    def _records(self, operation: int, content: bytes, place: int, is_cut: bool) -> Iterator[RawMessage]:
        """Yield the messages of a record; a damaged record is reported and ends there."""
        try:
            if operation == _CHUNK:
                yield from self._chunk(content, place, is_cut)
            elif not is_cut:
                message = self._record(operation, memoryview(content), place)
                if message is not None:
                    yield message
        except (UnreadableFileError, struct.error, UnicodeDecodeError) as error:
            self._report(f"its record at byte {place} cannot be read and is left out: {error}")

    def _chunk(self, content: bytes, place: int, is_cut: bool) -> Iterator[RawMessage]:
        """Yield the messages of a chunk."""
        _, _, plain_size, checksum = _CHUNK_HEAD.unpack_from(content)
        method, at = _read_text(content, _CHUNK_HEAD.size)
        (packed_size,) = struct.unpack_from("<Q", content, at)
        packed = content[at + 8 : at + 8 + packed_size]
        if plain_size > MAX_CHUNK_BYTES:
            raise UnreadableFileError(f"it states {plain_size} bytes, at most {MAX_CHUNK_BYTES} are read")
        plain = decompress(packed, method, plain_size, partial=is_cut)
        if checksum and not is_cut and zlib.crc32(plain) != checksum:
            raise UnreadableFileError("its checksum is wrong")
        view, at = memoryview(plain), 0
        while at + _HEAD.size <= len(view):
            operation, length = _HEAD.unpack_from(view, at)
            start, at = at + _HEAD.size, at + _HEAD.size + length
            if at > len(view):
                if is_cut:
                    return
                raise UnreadableFileError(f"a record in it states {length} bytes, {len(view) - start} are left")
            message = self._record(operation, view[start:at], place)
            if message is not None:
                yield message

    def _record(self, operation: int, content: memoryview, place: int) -> RawMessage | None:
        """Return a message of a selected channel; keep schemas and channels."""
        if operation == _MESSAGE:
            key, _, log_ns, _ = _MESSAGE_HEAD.unpack_from(content)
            channel = self._selected.get(key)
            if channel is None:
                return None
            return RawMessage(channel, log_ns, bytes(content[_MESSAGE_HEAD.size :]), min(place / self._size, 1.0))
        if operation == _SCHEMA:
            (key,) = struct.unpack_from("<H", content)
            self._schemas[key] = message_type(_read_text(content, 2)[0])
        elif operation == _CHANNEL:
            key, schema = struct.unpack_from("<HH", content)
            topic, at = _read_text(content, 4)
            channel = Channel(topic, self._schemas.get(schema, ""), _read_text(content, at)[0])
            self._channels[key] = channel
            self._selected.pop(key, None)
            if self._selects(channel):
                self._selected[key] = channel
        return None


def _read_text(content: bytes | memoryview, at: int) -> tuple[str, int]:
    """Return a text that begins with its length, and the place after it."""
    (length,) = struct.unpack_from("<I", content, at)
    text = bytes(content[at + 4 : at + 4 + length])
    if len(text) < length:
        raise UnreadableFileError(f"a text in it states {length} bytes, {len(text)} are left")
    return text.decode(), at + 4 + length
