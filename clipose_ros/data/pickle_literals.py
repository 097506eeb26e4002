"""Numbers and texts of pickles, which are stored in digits, bytes, or quotes with escapes.

Each function raises ``UnreadableFileError`` or ``ValueError`` for malformed content.
"""

from __future__ import annotations

import re

from clipose_ros.errors import UnreadableFileError

_MAX_NUMBER_LENGTH = 32
"""Longest number in decimal digits, characters."""
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[\\'\"nrt]|.?)", re.DOTALL)
_NAMED_ESCAPES = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def parse_integer(line: bytes) -> int:
    """Parse an integer in decimal digits."""
    if len(line) > _MAX_NUMBER_LENGTH:
        raise UnreadableFileError("a number is too long")
    return int(line.removesuffix(b"L"))


def parse_integer_or_bool(line: bytes) -> int:
    """Parse an integer in decimal digits, or a boolean as 00 or 01."""
    return line == b"01" if line in (b"00", b"01") else parse_integer(line)


def parse_float(line: bytes) -> float:
    """Parse a float in decimal digits."""
    if len(line) > _MAX_NUMBER_LENGTH:
        raise UnreadableFileError("a number is too long")
    return float(line)


def parse_string(line: bytes) -> str:
    """Return the text of a quoted string of Python 2."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise UnreadableFileError("a string has no quotes")
    return _ESCAPE.sub(_unescape, line[1:-1]).decode("latin-1")


def _unescape(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if escape[:1] == b"x" and len(escape) == 3:
        return bytes([int(escape[1:], 16)])
    if escape not in _NAMED_ESCAPES:
        raise UnreadableFileError("a string has an unknown escape")
    return _NAMED_ESCAPES[escape]


def parse_long(data: bytes) -> int:
    """Parse an integer of at most 64 bits in two's complement."""
    if len(data) > 9:
        raise UnreadableFileError("a number has more than 64 bits")
    return int.from_bytes(data, "little", signed=True)


def decode_utf8(data: bytes) -> str:
    """Decode text of Python 3."""
    return data.decode("utf-8", "surrogatepass")


def decode_latin1(data: bytes) -> str:
    """Decode a string of Python 2."""
    return data.decode("latin-1")
