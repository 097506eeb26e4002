"""Reading of ROS 1 bags (version 2.0) from the first record on.

The index at the end of a bag is not needed, so bags that were not closed (``.bag.active``) are read as well. A record
is a header of fields ``name=value`` and data, each with its length before it. A chunk is a record that holds compressed
records. See http://wiki.ros.org/Bags/Format/2.0.
"""

from __future__ import annotations

import struct
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

MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _CHUNK, _CONNECTION = 0x02, 0x05, 0x07
_MAX_HEADER_BYTES = 1 << 20
_LENGTH = struct.Struct("<I")


class Rosbag1Scanner:
    """Reader of the messages of one bag, in the order of the file.

    Args:
        stream: The file.
        size: Its size, bytes.
        selects: Selects the channels.
        report: Receives what cannot be read.
    """

    def __init__(self, stream: IO[bytes], size: int, selects: Selection, report: Report) -> None:
        self._stream, self._size, self._selects, self._report = stream, size, selects, report
        self._selected: dict[int, Channel] = {}

    def messages(self) -> Iterator[RawMessage]:
        """Yield the messages of the selected channels."""
        place = len(MAGIC)
        while place < self._size:
            self._stream.seek(place)
            try:
                fields, length = self._read_head()
            except (UnreadableFileError, struct.error) as error:
                self._report(f"its record at byte {place} cannot be read, the rest is left out: {error}")
                return
            start = self._stream.tell()
            is_cut = start + length > self._size
            try:
                yield from self._record(fields, min(length, self._size - start), place, is_cut)
            except (UnreadableFileError, struct.error, UnicodeDecodeError, KeyError) as error:
                self._report(f"its record at byte {place} cannot be read and is left out: {error}")
            if is_cut:
                self._report(describe_cut_record(place, length, self._size - start))
            place = start + length

    def _read_head(self) -> tuple[dict[str, bytes], int]:
        """Read the header of a record and the length of its data."""
        (length,) = _LENGTH.unpack(self._stream.read(4))
        if length > _MAX_HEADER_BYTES:
            raise UnreadableFileError(f"its header states {length} bytes, at most {_MAX_HEADER_BYTES} are read")
        fields = _read_fields(self._stream.read(length))
        (data_length,) = _LENGTH.unpack(self._stream.read(4))
        return fields, data_length

    def _record(self, fields: dict[str, bytes], length: int, place: int, is_cut: bool) -> Iterator[RawMessage]:
        """Yield the messages of a record at the position of the stream."""
        operation = fields.get("op", b"\0")[0]
        if operation not in (_MESSAGE, _CHUNK, _CONNECTION):
            return
        limit = MAX_CHUNK_BYTES if operation == _CHUNK else MAX_MESSAGE_BYTES
        if length > limit:
            raise UnreadableFileError(f"it has {length} bytes, at most {limit} are read")
        data = self._stream.read(length)
        if operation == _CHUNK:
            yield from self._chunk(fields, data, place, is_cut)
        elif not is_cut:
            message = self._message(operation, fields, data, place)
            if message is not None:
                yield message

    def _chunk(self, fields: dict[str, bytes], data: bytes, place: int, is_cut: bool) -> Iterator[RawMessage]:
        """Yield the messages of a chunk."""
        (plain_size,) = _LENGTH.unpack(fields["size"])
        if plain_size > MAX_CHUNK_BYTES:
            raise UnreadableFileError(f"it states {plain_size} bytes, at most {MAX_CHUNK_BYTES} are read")
        plain = decompress(data, fields["compression"].decode(), plain_size, partial=is_cut)
        view, at = memoryview(plain), 0
        while at < len(view):
            try:
                header, at = _read_block(view, at)
                content, at = _read_block(view, at)
            except (UnreadableFileError, struct.error):
                if is_cut:
                    return
                raise
            inner = _read_fields(bytes(header))
            message = self._message(inner.get("op", b"\0")[0], inner, content, place)
            if message is not None:
                yield message

    def _message(
        self, operation: int, fields: dict[str, bytes], data: bytes | memoryview, place: int
    ) -> RawMessage | None:
        """Return a message of a selected channel; keep the channels."""
        if operation == _CONNECTION:
            (key,) = _LENGTH.unpack(fields["conn"])
            kind = message_type(_read_fields(bytes(data))["type"].decode())
            channel = Channel(fields["topic"].decode(), kind, "ros1")
            if self._selects(channel):
                self._selected[key] = channel
        elif operation == _MESSAGE:
            (key,) = _LENGTH.unpack(fields["conn"])
            if key in self._selected:
                seconds, nanoseconds = struct.unpack("<II", fields["time"])
                log_ns = seconds * 1_000_000_000 + nanoseconds
                return RawMessage(self._selected[key], log_ns, bytes(data), min(place / self._size, 1.0))
        return None


def _read_block(view: memoryview, at: int) -> tuple[memoryview, int]:
    """Return a block that begins with its length, and the place after it."""
    (length,) = _LENGTH.unpack_from(view, at)
    end = at + 4 + length
    if end > len(view):
        raise UnreadableFileError(f"a record in it states {length} bytes, {len(view) - at - 4} are left")
    return view[at + 4 : end], end


def _read_fields(header: bytes) -> dict[str, bytes]:
    """Return the fields of a header by name."""
    fields, at, view = {}, 0, memoryview(header)
    while at < len(header):
        field, at = _read_block(view, at)
        name, sign, value = bytes(field).partition(b"=")
        if not sign or (name == b"op" and len(value) != 1):
            raise UnreadableFileError("a field of its header is malformed")
        fields[name.decode("latin-1")] = value
    return fields
