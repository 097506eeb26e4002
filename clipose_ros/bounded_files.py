"""Bounded reading of JSON, YAML and NumPy files, which may come from anywhere.

Size, nesting and number of values are checked before they cost memory or time. Every reader raises
``UnreadableFileError`` with a reason of one line; the caller adds the name of the file and the remedy.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from clipose_ros.errors import UnreadableFileError, quoted

MAX_JSON_BYTES = 1 << 24
"""Default size limit of JSON files, bytes."""
MAX_YAML_BYTES = 1 << 18
"""Size limit of YAML files, bytes. PyYAML reads about 100 KB in a second."""
MAX_YAML_VALUES = 10_000
"""Largest number of values in a YAML file. An alias counts as all values that it repeats."""
MAX_DEPTH = 32
"""Deepest nesting of lists and mappings in JSON and YAML."""
_CHUNK = 1 << 20
_MAX_NUMBER_LENGTH = 400
"""Longest number in YAML, characters. The conversion of longer ones takes quadratic time."""
_NPY_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class ByteStream(Protocol):
    """Stream of bytes that can be read."""

    def read(self, count: int = ..., /) -> bytes:
        """Read up to ``count`` bytes; no byte at the end."""
        ...


def read_bytes(path: str | Path, max_bytes: int) -> bytes:
    """Read a regular file.

    Raises:
        UnreadableFileError: The file is missing, is a device or a pipe, cannot be read, or has more than ``max_bytes``.
    """
    try:
        with open_regular(path) as stream:
            if os.fstat(stream.fileno()).st_size > max_bytes:
                raise UnreadableFileError(f"it is larger than {max_bytes} bytes")
            return read_stream(stream, max_bytes)
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from error


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        UnreadableFileError: The file is missing, is a device or a pipe, or cannot be opened.
    """
    try:
        # A pipe would block, a device may never end.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise UnreadableFileError("it is not a regular file")
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        raise UnreadableFileError(getattr(error, "strerror", None) or str(error)) from error


def read_stream(stream: ByteStream, max_bytes: int) -> bytes:
    """Read a stream to its end.

    Raises:
        UnreadableFileError: The stream has more than ``max_bytes``.
    """
    data = bytearray()
    # In chunks: one call would reserve memory for all the bytes that are allowed.
    while chunk := stream.read(_CHUNK):
        data += chunk
        if len(data) > max_bytes:
            raise UnreadableFileError(f"it is larger than {max_bytes} bytes")
    return bytes(data)


def read_json(path: str | Path, max_bytes: int = MAX_JSON_BYTES) -> object:
    """Read a JSON file of UTF-8 text; see ``parse_json``.

    Raises:
        UnreadableFileError: The file cannot be read, or its content is not accepted.
    """
    return parse_json(read_bytes(path, max_bytes))


def parse_json(data: bytes | str) -> object:
    """Parse JSON.

    Raises:
        UnreadableFileError: The text is not JSON or not UTF-8, is nested deeper than ``MAX_DEPTH``, or repeats a key.
    """
    text = _decode(data)
    try:
        value: object = json.loads(text, object_pairs_hook=_unique_keys)
    except RecursionError as error:
        raise UnreadableFileError(_depth_message()) from error
    except ValueError as error:
        raise UnreadableFileError(f"it is not JSON: {error}") from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise UnreadableFileError(_depth_message())
    return value


def read_yaml(path: str | Path) -> object:
    """Read a YAML file of UTF-8 text with one document; see ``parse_yaml``.

    Raises:
        UnreadableFileError: The file cannot be read, or its content is not accepted.
    """
    return parse_yaml(read_bytes(path, MAX_YAML_BYTES))


def parse_yaml(data: bytes | str) -> object:
    """Parse YAML of plain values.

    Raises:
        UnreadableFileError: The text is not YAML or not UTF-8, requests an object of Python, repeats a key, is nested
            deeper than ``MAX_DEPTH``, or has more than ``MAX_YAML_VALUES`` values.
    """
    try:
        # The loader is a subclass of SafeLoader.
        value: object = yaml.load(_decode(data), Loader=_BoundedLoader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UnreadableFileError(f"it is not YAML: {place}{quoted(error.problem)}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UnreadableFileError(f"it is not YAML: {quoted(error)}") from error
    return value


class _BoundedLoader(yaml.SafeLoader):
    """Loader of plain values with limited nesting and number of values. Repeated keys are errors."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._values = 0
        self._value_counts: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node and count its values; an alias counts as often as it occurs."""
        is_alias = self.check_event(yaml.AliasEvent)
        before, self._depth = self._values, self._depth + 1
        if self._depth > MAX_DEPTH and self.check_event(yaml.CollectionStartEvent):
            raise UnreadableFileError(_depth_message())
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias:
            self._values += 1
            self._value_counts[id(node)] = self._values - before
        elif id(node) not in self._value_counts:
            raise UnreadableFileError("a value contains itself")
        else:
            self._values += self._value_counts[id(node)]
        if self._values > MAX_YAML_VALUES:
            raise UnreadableFileError(f"it has more than {MAX_YAML_VALUES} values")
        _check_node(node)
        return node


def _check_node(node: yaml.Node | None) -> None:
    """Raise ``UnreadableFileError`` for a number that is too long and for a mapping with a repeated key."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if (repeated := _first_repeated(keys)) is not None:
            raise UnreadableFileError(f"line {node.start_mark.line + 1}: the key {quoted(repeated)} is repeated")
    is_number = isinstance(node, yaml.ScalarNode) and node.tag.endswith((":int", ":float"))
    if is_number and node is not None and len(node.value) > _MAX_NUMBER_LENGTH:
        raise UnreadableFileError(f"line {node.start_mark.line + 1}: a number is too long: {quoted(node.value)}")


def read_npy(path: str | Path, max_bytes: int) -> NDArray[np.generic]:
    """Read a ``.npy`` file; see ``load_npy``.

    Raises:
        UnreadableFileError: The file cannot be read, is larger than ``max_bytes``, or its header is not accepted.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > max_bytes:
                raise UnreadableFileError(f"it is larger than {max_bytes} bytes")
            return load_npy(stream, size)
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from error


def load_npy(stream: IO[bytes], size: int) -> NDArray[np.generic]:
    """Read an array in ``.npy`` format. No memory is reserved unless the stream holds what its header states.

    Args:
        stream: Stream at the start of the array.
        size: Number of bytes of the stream.

    Returns:
        The array. Its type and shape are those of the header, so callers check them.

    Raises:
        UnreadableFileError: The header is malformed or states another size than the stream's, or objects of Python; or
            a text has a character beyond Unicode.
    """
    try:
        read_header = _NPY_HEADER_READERS[np.lib.format.read_magic(stream)]
        shape, is_fortran, dtype = read_header(stream)
        content = dtype.itemsize * math.prod(shape)
        expected = stream.tell() + content
    except (ValueError, TypeError, LookupError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise UnreadableFileError(f"it is not a NumPy array: {quoted(error)}") from error
    if dtype.hasobject or not dtype.itemsize or min(shape, default=0) < 0:
        raise UnreadableFileError(f"it states an array of type {quoted(dtype)} and shape {quoted(shape)}")
    if expected != size:
        raise UnreadableFileError(f"its header states {expected} bytes for shape {quoted(shape)}, it has {size}")
    # A bytearray, unlike bytes, makes an array that can be written.
    data = bytearray(stream.read(content))
    if len(data) != content:
        raise UnreadableFileError(f"it is cut short after {len(data)} of {content} bytes")
    array: NDArray[np.generic] = np.ndarray(shape, dtype, data, order="F" if is_fortran else "C")
    if _has_invalid_character(array):
        raise UnreadableFileError("it has text with a character beyond Unicode")
    return array


def _has_invalid_character(array: NDArray[Any]) -> bool:  # fields have types of their own
    """Return True if a text of the array cannot become a string of Python, which raises SystemError."""
    if array.dtype.names is not None:
        return any(_has_invalid_character(array[name]) for name in array.dtype.names)
    if array.dtype.kind != "U" or not array.dtype.itemsize or not array.size:
        return False
    codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    return bool(codes.max() > sys.maxunicode)


def _decode(data: bytes | str) -> str:
    """Decode UTF-8 text, with or without a byte order mark."""
    try:
        return data.removeprefix("\ufeff") if isinstance(data, str) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"it is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from error


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object, or raise ``UnreadableFileError`` if a key is repeated."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise UnreadableFileError(f"the key {quoted(_first_repeated([key for key, _ in pairs]))} is repeated")
    return values


def _first_repeated(keys: list[str]) -> str | None:
    """Return the first key that occurs more than once, or None."""
    counts = Counter(keys)
    return next((key for key in keys if counts[key] > 1), None)


def _is_deeper(value: object, limit: int) -> bool:
    """Return True if lists and mappings are nested deeper than ``limit``."""
    # Level by level: recursion would fail at the depth that it looks for.
    level = [value]
    for _ in range(limit):
        level = [child for container in level for child in _children(container)]
    return any(isinstance(each, dict | list) for each in level)


def _children(value: object) -> Iterator[object]:
    """Yield the values of a list or mapping; nothing for other values."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _depth_message() -> str:
    return f"it is nested deeper than {MAX_DEPTH} levels"
