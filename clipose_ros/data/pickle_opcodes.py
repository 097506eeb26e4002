"""Reader of pickles that makes plain values and NumPy arrays, and nothing else.

A pickle is a program for a stack machine. This machine has the opcodes that plain values and arrays need, of protocols
0 to 5. It imports nothing, calls nothing that a file names, and makes no object but ``None``, booleans, integers of 64
bits, floats, text, bytes, lists, tuples, dictionaries, arrays and NumPy scalars.

References:
    Python's ``Lib/pickletools.py`` documents the opcodes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from clipose_ros.data.pickle_arrays import (
    DESCRIPTIONS,
    Arguments,
    Global,
    PendingArray,
    TypeDescription,
    describe_type,
    make_array,
    make_from_buffer,
    make_scalar,
    set_array_state,
    set_type_state,
)
from clipose_ros.data.pickle_literals import (
    decode_latin1,
    decode_utf8,
    parse_float,
    parse_integer,
    parse_integer_or_bool,
    parse_long,
    parse_string,
)
from clipose_ros.errors import UnreadableFileError, quoted

MAX_OPCODES = 1 << 23
"""Largest number of opcodes: about ten seconds."""
_COPY_RATIO = 4
"""Bytes of arrays that a file may make, relative to its size. Text and bytes of an array both count."""
_COPY_MARGIN = 4096
_PROTOCOLS = range(6)


class PickleMachine:
    """Stack machine for one pickle.

    Args:
        data: Content of the file.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self._copied = 0

    def run(self) -> object:
        """Return the value of the pickle.

        Raises:
            UnreadableFileError: The pickle is malformed, or asks for anything but plain values and arrays.
        """
        for _ in range(MAX_OPCODES):
            code = self.take(1)
            if code == b".":
                return self._finish()
            handler = _HANDLERS.get(code)
            if handler is None:
                raise UnreadableFileError(f"it holds the opcode {code!r} at byte {self._place - 1}: {_ONLY_PLAIN}")
            handler(self)
        raise UnreadableFileError(f"it has more than {MAX_OPCODES} opcodes")

    def _finish(self) -> object:
        if self._place != len(self._data):
            raise UnreadableFileError(f"{len(self._data) - self._place} bytes follow the value")
        if self._marks or len(self._stack) != 1:
            raise UnreadableFileError("it ends with unfinished values")
        return _check_value(self._stack[0])

    def check_length(self, length: int) -> None:
        """Raise UnreadableFileError if fewer bytes follow."""
        if length > len(self._data) - self._place:
            raise UnreadableFileError("it is cut short")

    def take(self, length: int) -> bytes:
        """Return the next bytes."""
        self.check_length(length)
        end = self._place + length
        taken, self._place = self._data[self._place : end], end
        return taken

    def take_line(self) -> bytes:
        """Return the bytes up to the next newline, which is dropped."""
        end = self._data.find(b"\n", self._place)
        if end < 0:
            raise UnreadableFileError("it is cut short")
        line, self._place = self._data[self._place : end], end + 1
        return line

    def push(self, value: object) -> None:
        """Push a value."""
        self._stack.append(value)

    def pop(self) -> object:
        """Pop the last value; those before the last mark stay."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise UnreadableFileError("it takes more values than it makes")
        return self._stack.pop()

    def pop_to_mark(self) -> list[object]:
        """Pop all values after the last mark, and the mark."""
        if not self._marks:
            raise UnreadableFileError("it takes more values than it makes")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def mark(self) -> None:
        """Mark a place in the stack."""
        self._marks.append(len(self._stack))

    def remember(self, key: int) -> None:
        """Store the last value in the memo."""
        value = self.pop()
        if self._memo.setdefault(key, value) is not value or key < 0:
            raise UnreadableFileError("it overwrites a value of its memo")
        self.push(value)

    def remember_next(self) -> None:
        """Store the last value under the next number of the memo."""
        self.remember(len(self._memo))

    def recall(self, key: int) -> None:
        """Push a value of the memo."""
        if key not in self._memo:
            raise UnreadableFileError("it refers to a value that it does not hold")
        value = self._memo[key]
        self.push(value.array if isinstance(value, PendingArray) and value.array is not None else value)

    def append(self, values: list[object]) -> None:
        """Append values to the list on the stack."""
        target = self.pop()
        if type(target) is not list:
            raise UnreadableFileError("it appends to a value that is no list")
        target.extend(_check_value(value) for value in values)
        self.push(target)

    def set_items(self, values: list[object]) -> None:
        """Set keys and values, which alternate, in the dictionary on the stack."""
        target = self.pop()
        if type(target) is not dict:
            raise UnreadableFileError("it sets entries of a value that is no dictionary")
        _fill(target, values)
        self.push(target)

    def reduce(self) -> None:
        """Push what a call would return."""
        arguments, called = self.pop(), self.pop()
        if not isinstance(called, Global) or not isinstance(arguments, tuple):
            raise UnreadableFileError(f"it calls a value: {_ONLY_PLAIN}")
        try:
            self.push(self._call(called, arguments))
        except (TypeError, ValueError) as error:
            raise UnreadableFileError(f"it calls {called.module}.{called.name} with wrong arguments") from error

    def build(self) -> None:
        """Apply the state of a type or of an array."""
        state, target = self.pop(), self.pop()
        if isinstance(target, TypeDescription):
            set_type_state(target, state)
            self.push(target)
        elif isinstance(target, PendingArray):
            self.push(self._count(set_array_state(target, state, len(self._data))))
        else:
            raise UnreadableFileError(f"it sets the state of a value: {_ONLY_PLAIN}")

    def _call(self, called: Global, arguments: tuple[object, ...]) -> object:
        """Return the value or description that a call stands for."""
        name = called.name
        if name == "dtype":
            return describe_type(arguments)
        if name == "_reconstruct":
            return _pending_array(arguments)
        if name == "scalar":
            return self._count(make_scalar(arguments))
        if name == "_frombuffer":
            return self._count(make_from_buffer(arguments, len(self._data)))
        if name == "ndarray":
            shape, dtype, data = arguments
            return self._count(make_array(shape, dtype, data, "C", len(self._data)))
        if name == "encode":
            return self._encode(arguments)
        return b"" if name == "bytes" and not arguments else self._make_dictionary(arguments)

    def _encode(self, arguments: tuple[object, ...]) -> bytes:
        """Return the bytes that protocols 0 to 2 store as text in Latin-1."""
        text, encoding = arguments
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise UnreadableFileError("it encodes text other than Latin-1")
        self._spend(len(text))
        return text.encode("latin-1")

    def _make_dictionary(self, arguments: tuple[object, ...]) -> dict[object, object]:
        """Return the dictionary of an OrderedDict; Python 2 gives its pairs as arguments."""
        made: dict[object, object] = {}
        for pairs in arguments:
            if type(pairs) is not list or len(arguments) > 1:
                raise UnreadableFileError("it makes a dictionary of a value that is no list of pairs")
            self._spend(16 * len(pairs))
            for key, value in pairs:
                _fill(made, [key, value])
        return made

    def _count(self, made: np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic) -> object:
        """Count the bytes of an array; a file can refer to the same bytes many times."""
        self._spend(made.nbytes)
        return made

    def _spend(self, count: int) -> None:
        self._copied += count
        if self._copied > _COPY_RATIO * len(self._data) + _COPY_MARGIN:
            raise UnreadableFileError("its arrays are larger than the file: it repeats the same bytes")


_ONLY_PLAIN = "only plain values and arrays are read"
_NUMPY_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
}
_GLOBALS = (
    {("numpy", "dtype"), ("numpy", "ndarray"), ("_codecs", "encode"), ("collections", "OrderedDict")}
    | {("__builtin__", "bytes"), ("builtins", "bytes")}
    | _NUMPY_GLOBALS
    | {(module.replace("numpy.core", "numpy._core"), name) for module, name in _NUMPY_GLOBALS}
)
"""Accepted names: those by which NumPy 1 and 2 and Python 2 and 3 describe arrays, bytes and dictionaries."""


def _check_value(value: object) -> object:
    """Return a value, or raise UnreadableFileError if it is an unfinished description."""
    if isinstance(value, DESCRIPTIONS):
        raise UnreadableFileError(f"it holds a name or an unfinished array as a value: {_ONLY_PLAIN}")
    return value


def _fill(target: dict[object, object], values: list[object]) -> None:
    """Set keys and values, which alternate."""
    if len(values) % 2:
        raise UnreadableFileError("a dictionary has a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        # Other keys, such as tuples, can be made to collide, which takes quadratic time.
        if not isinstance(key, str | bytes | int | np.integer | None):
            raise UnreadableFileError(f"a dictionary has a key of type {type(key).__name__}")
        if key in target:
            raise UnreadableFileError(f"the key {quoted(key)} is repeated")
        target[key] = _check_value(value)


def _pending_array(arguments: tuple[object, ...]) -> PendingArray:
    """Return the empty array of ``_reconstruct(numpy.ndarray, (0,), b"b")``."""
    if len(arguments) != 3 or arguments[0] != Global("numpy", "ndarray") or arguments[1] != (0,):
        raise UnreadableFileError("it makes an array in a way that NumPy does not")
    return PendingArray()


def _make_tuple(values: list[object]) -> tuple[object, ...]:
    """Return a tuple; one that contains descriptions is a description itself."""
    return Arguments(values) if any(isinstance(value, DESCRIPTIONS) for value in values) else tuple(values)


def _make_dict(values: list[object]) -> dict[object, object]:
    made: dict[object, object] = {}
    _fill(made, values)
    return made


def _make_global(module: object, name: object) -> Global:
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in _GLOBALS:
        raise UnreadableFileError(f"it requests {quoted(f'{module}.{name}')}: {_ONLY_PLAIN}")
    return Global(module, name)


def _check_protocol(machine: PickleMachine) -> None:
    if machine.take(1)[0] not in _PROTOCOLS:
        raise UnreadableFileError("its protocol is unknown")


def _global_of_stack(machine: PickleMachine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(_make_global(module, name))


def _duplicate(machine: PickleMachine) -> None:
    value = machine.pop()
    machine.push(value)
    machine.push(value)


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


Handler: TypeAlias = Callable[[PickleMachine], object]


def _fixed(form: str) -> Handler:
    layout = struct.Struct(form)
    return lambda machine: machine.push(layout.unpack(machine.take(layout.size))[0])


def _sized(length_bytes: int, convert: Callable[[bytes], object]) -> Handler:
    return lambda machine: machine.push(convert(machine.take(int.from_bytes(machine.take(length_bytes), "little"))))


def _line(convert: Callable[[bytes], object]) -> Handler:
    return lambda machine: machine.push(convert(machine.take_line()))


def _tuple_of(length: int) -> Handler:
    return lambda machine: machine.push(_make_tuple([machine.pop() for _ in range(length)][::-1]))


_HANDLERS: dict[bytes, Handler] = {
    # framing, stack and memo
    b"\x80": _check_protocol,
    b"\x95": lambda machine: machine.check_length(int.from_bytes(machine.take(8), "little")),
    b"(": PickleMachine.mark,
    b"0": PickleMachine.pop,
    b"1": PickleMachine.pop_to_mark,
    b"2": _duplicate,
    b"p": lambda machine: machine.remember(parse_integer(machine.take_line())),
    b"q": lambda machine: machine.remember(machine.take(1)[0]),
    b"r": lambda machine: machine.remember(int.from_bytes(machine.take(4), "little")),
    b"\x94": PickleMachine.remember_next,
    b"g": lambda machine: machine.recall(parse_integer(machine.take_line())),
    b"h": lambda machine: machine.recall(machine.take(1)[0]),
    b"j": lambda machine: machine.recall(int.from_bytes(machine.take(4), "little")),
    # numbers
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"I": _line(parse_integer_or_bool),
    b"L": _line(parse_integer),
    b"F": _line(parse_float),
    b"J": _fixed("<i"),
    b"K": _fixed("<B"),
    b"M": _fixed("<H"),
    b"G": _fixed(">d"),
    b"\x8a": _sized(1, parse_long),
    b"\x8b": _sized(4, parse_long),
    # text and bytes; Python 2 stored both as strings
    b"S": _line(parse_string),
    b"T": _sized(4, decode_latin1),
    b"U": _sized(1, decode_latin1),
    b"V": _line(lambda line: line.decode("raw-unicode-escape")),
    b"X": _sized(4, decode_utf8),
    b"\x8c": _sized(1, decode_utf8),
    b"\x8d": _sized(8, decode_utf8),
    b"B": _sized(4, bytes),
    b"C": _sized(1, bytes),
    b"\x8e": _sized(8, bytes),
    b"\x96": _sized(8, bytearray),
    # containers
    b")": lambda machine: machine.push(()),
    b"t": lambda machine: machine.push(_make_tuple(machine.pop_to_mark())),
    b"\x85": _tuple_of(1),
    b"\x86": _tuple_of(2),
    b"\x87": _tuple_of(3),
    b"]": lambda machine: machine.push([]),
    b"l": lambda machine: machine.push([_check_value(value) for value in machine.pop_to_mark()]),
    b"a": lambda machine: machine.append([machine.pop()]),
    b"e": lambda machine: machine.append(machine.pop_to_mark()),
    b"}": lambda machine: machine.push({}),
    b"d": lambda machine: machine.push(_make_dict(machine.pop_to_mark())),
    b"s": _set_item,
    b"u": lambda machine: machine.set_items(machine.pop_to_mark()),
    # descriptions of arrays
    b"c": lambda machine: machine.push(
        _make_global(decode_utf8(machine.take_line()), decode_utf8(machine.take_line()))
    ),
    b"\x93": _global_of_stack,
    b"R": PickleMachine.reduce,
    b"b": PickleMachine.build,
}
