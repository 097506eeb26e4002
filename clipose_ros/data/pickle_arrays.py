"""NumPy arrays and scalars of pickles, built from descriptions that were checked.

A pickle describes an array by calls of NumPy's functions and by states. None of these calls is made and no state is
applied to an object of NumPy: type, shape and data are checked here, and the array is made from the bytes alone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clipose_ros.errors import UnreadableFileError, quoted

_TYPE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|[US](0|[1-9]\d{0,8}))")
"""Accepted types: booleans, integers, floating-point numbers and strings."""
_BYTE_ORDERS: dict[str, Literal["<", ">", "=", "|"]] = {"<": "<", ">": ">", "=": "=", "|": "|"}
_MAX_DIMENSIONS = 32
_MAX_EMPTY_SIDES = 1 << 24
"""Largest product of the sides above 0 of an array without values, such as masks (480, 640, 0)."""
_MAX_CODE_POINT = 0x10FFFF


@dataclass(frozen=True)
class Global:
    """A name that a pickle refers to; it is never imported.

    Attributes:
        module: Name of the module.
        name: Name in the module.
    """

    module: str
    name: str


@dataclass
class TypeDescription:
    """Type of an array; its byte order comes with a state that follows.

    Attributes:
        dtype: The type.
    """

    dtype: np.dtype[np.generic]


@dataclass
class PendingArray:
    """An array whose state follows.

    Attributes:
        array: The array, once its state was read.
    """

    array: NDArray[np.generic] | None = None


class Arguments(tuple[object, ...]):
    """A tuple that contains descriptions, which are no values by themselves."""

    __slots__ = ()


DESCRIPTIONS = (Global, TypeDescription, PendingArray, Arguments)
"""Types of the objects that only describe a value."""


def describe_type(arguments: tuple[object, ...]) -> TypeDescription:
    """Return the type that ``numpy.dtype(name, align, copy)`` makes.

    Raises:
        UnreadableFileError: The type holds anything but booleans, numbers or strings.
    """
    name = arguments[0] if arguments else None
    if not isinstance(name, str) or not _TYPE.fullmatch(name) or any(flag not in (0, 1) for flag in arguments[1:]):
        raise UnreadableFileError(f"it holds an array of type {quoted(name)}: only booleans, numbers and text are read")
    return TypeDescription(np.dtype(name))


def set_type_state(description: TypeDescription, state: object) -> None:
    """Apply the byte order of a state; the other entries must agree with the type.

    Raises:
        UnreadableFileError: The state describes fields, a sub-array, another size, or metadata.
    """
    dtype = description.dtype
    # (version, byte order, sub-array, names, fields, size, alignment, flags)
    if isinstance(state, tuple) and len(state) == 8:
        version, order, *structure, size, _, _ = state
        is_plain = structure == [None, None, None] and isinstance(size, int) and size in (-1, dtype.itemsize)
        if version == 3 and is_plain and isinstance(order, str) and order in _BYTE_ORDERS:
            description.dtype = dtype.newbyteorder(_BYTE_ORDERS[order])
            return
    raise UnreadableFileError(f"it describes the type {quoted(dtype)} with a state that does not fit")


def set_array_state(pending: PendingArray, state: object, limit: int) -> NDArray[np.generic]:
    """Make the array that a state ``(version, shape, type, is_fortran, data)`` describes.

    Args:
        pending: The array to complete.
        state: The state.
        limit: Largest number of values.

    Raises:
        UnreadableFileError: The state is malformed; see ``make_array``.
    """
    if pending.array is not None or not isinstance(state, Arguments) or len(state) != 5 or state[0] != 1:
        raise UnreadableFileError("it describes an array with a state that does not fit")
    _, shape, dtype, is_fortran, data = state
    if is_fortran not in (0, 1):
        raise UnreadableFileError("it describes an array with a state that does not fit")
    pending.array = make_array(shape, dtype, data, "F" if is_fortran else "C", limit)
    return pending.array


def make_from_buffer(arguments: tuple[object, ...], limit: int) -> NDArray[np.generic]:
    """Make the array of protocol 5: ``(data, type, shape, order)``, for order K with the order of the axes.

    Raises:
        UnreadableFileError: The arguments are malformed; see ``make_array``.
    """
    data, dtype, shape, order, *axes = arguments
    if order in ("C", "F") and axes in ([], [None]):
        return make_array(shape, dtype, data, str(order), limit)
    array = make_array(shape, dtype, data, "C", limit)
    if order != "K" or len(axes) != 1 or not isinstance(axes[0], tuple) or set(axes[0]) != set(range(array.ndim)):
        raise UnreadableFileError("it describes an array with an order that does not fit")
    return array.transpose(axes[0])


def make_scalar(arguments: tuple[object, ...]) -> np.generic:
    """Make the scalar that ``(type, data)`` describes.

    Raises:
        UnreadableFileError: The arguments are malformed; see ``make_array``.
    """
    dtype, data = arguments
    scalar: np.generic = make_array((), dtype, data, "C", 1).reshape(1)[0]
    return scalar


def make_array(shape: object, dtype: object, data: object, order: str, limit: int) -> NDArray[np.generic]:
    """Make an array from its bytes.

    Args:
        shape: Tuple of the sides.
        dtype: Type, as a description or by name.
        data: Content of the array. Python 2 stored it as text in Latin-1.
        order: ``C`` or ``F``, order of the content.
        limit: Largest number of values.

    Raises:
        UnreadableFileError: Shape or type is not accepted, or the content has another length or impossible values.
    """
    described = dtype if isinstance(dtype, TypeDescription) else describe_type((dtype,))
    sides = _check_shape(shape, limit)
    raw = data.encode("latin-1") if isinstance(data, str) else data
    expected = math.prod(sides) * described.dtype.itemsize
    if not isinstance(raw, bytes | bytearray) or len(raw) != expected:
        held = f"{len(raw)} bytes" if isinstance(raw, bytes | bytearray) else "no bytes"
        raise UnreadableFileError(f"an array of shape {sides} and type {described.dtype} has {held}, not {expected}")
    if not expected:
        return np.zeros(sides, described.dtype, order="F" if order == "F" else "C")
    array = np.frombuffer(raw, described.dtype)
    _check_content(array)
    return array.reshape(sides, order="F" if order == "F" else "C").copy(order="K")


def _check_shape(shape: object, limit: int) -> tuple[int, ...]:
    """Return a shape, or raise UnreadableFileError if it is none or has more than ``limit`` values."""
    if isinstance(shape, tuple) and len(shape) <= _MAX_DIMENSIONS:
        sides = tuple(side for side in shape if isinstance(side, int) and not isinstance(side, bool) and side >= 0)
        # An array without values can have long sides, over which a reader may iterate; others need as many bytes.
        if len(sides) == len(shape) and math.prod(max(side, 1) for side in sides) <= max(limit, _MAX_EMPTY_SIDES):
            return sides
    raise UnreadableFileError(f"it states an array of shape {quoted(shape)}, larger than the file")


def _check_content(array: NDArray[np.generic]) -> None:
    """Raise UnreadableFileError for booleans other than 0 and 1, and for text that is not Unicode."""
    kind = array.dtype.kind
    if kind == "b" and array.view(np.uint8).max() > 1:
        raise UnreadableFileError("a boolean is neither 0 nor 1")
    if kind == "U" and array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder)).max() > _MAX_CODE_POINT:
        raise UnreadableFileError("a text holds characters that do not exist")
