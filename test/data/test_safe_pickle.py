"""Safe pickles: plain values and arrays are read, everything else is refused."""

import os
import pickle
import struct
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from clipose_ros.data.safe_pickle import as_numbers, parse_pickle, read_pickle
from clipose_ros.errors import DataError, UnreadableFileError

PROTOCOLS = st.integers(0, pickle.HIGHEST_PROTOCOL)
DTYPES = st.one_of(
    st_numpy.boolean_dtypes(),
    st_numpy.integer_dtypes(endianness="?"),
    st_numpy.unsigned_integer_dtypes(endianness="?"),
    st_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    st_numpy.byte_string_dtypes(max_len=5),
    st_numpy.unicode_string_dtypes(endianness="?", max_len=5),
)
ARRAYS = st_numpy.arrays(DTYPES, st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
NUMBERS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
LEAVES = NUMBERS | st.text(max_size=20) | st.binary(max_size=20)
KEYS = st.text(max_size=8) | st.integers(-(2**63), 2**63)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def same(left, right):
    """Return True if two values are equal, with equal types; NaN equals NaN."""
    if isinstance(left, np.ndarray | np.generic):
        assert type(left) is type(right) and left.dtype == right.dtype and left.shape == right.shape
        return left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return isinstance(right, dict) and list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and (left == right or (left != left and right != right))


@given(value=VALUES, protocol=PROTOCOLS)
def test_plain_values_are_restored(value, protocol):
    assert same(parse_pickle(pickle.dumps(value, protocol=protocol)), value)


@given(array=ARRAYS, protocol=PROTOCOLS, layout=st.sampled_from(["C", "F", "reversed", "transposed"]))
def test_arrays_are_restored_with_type_shape_and_order(array, protocol, layout):
    changed = {"C": array, "F": np.asfortranarray(array), "reversed": array[::-1] if array.ndim else array}
    array = changed.get(layout, np.moveaxis(array, 0, -1) if array.ndim else array)
    read = parse_pickle(pickle.dumps({"a": array, "again": array}, protocol=protocol))
    assert same(read["a"], array)
    assert read["again"] is read["a"] and read["a"].flags.writeable


@pytest.mark.parametrize("protocol", range(6))
def test_masks_of_an_image_without_detections_are_restored(protocol):
    assert parse_pickle(pickle.dumps(np.zeros((480, 640, 0), bool), protocol=protocol)).shape == (480, 640, 0)


@given(array=st_numpy.arrays(DTYPES, ()), protocol=PROTOCOLS)
def test_scalars_are_restored(array, protocol):
    scalar = array[()]
    assert same(parse_pickle(pickle.dumps([scalar, array.dtype.type()], protocol=protocol))[0], scalar)


@pytest.mark.parametrize("home", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_of_numpy_1_and_2_are_restored(home):
    data = pickle.dumps(np.arange(3.0), protocol=2)
    for known in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        data = data.replace(b"c" + known, b"c" + home)
    np.testing.assert_array_equal(parse_pickle(data), np.arange(3.0))


ARRAY_2 = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
FLOAT_2 = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"


def python_2_array(values, text):
    """Return the opcodes of an array as Python 2 wrote them; ``text`` writes its strings."""
    return (
        ARRAY_2 + b"(I1\n(I%d\nt" % len(values) + FLOAT_2 + b"I00\n" + text(np.array(values, "<f8").tobytes()) + b"tb"
    )


def string(data):
    return b"S'" + b"".join(b"\\x%02x" % byte for byte in data) + b"'\n"


def short_string(data):
    return b"U" + bytes([len(data)]) + data


def long_string(data):
    return b"T" + struct.pack("<i", len(data)) + data


@pytest.mark.parametrize("text", [string, short_string, long_string])
def test_python_2_strings_hold_text_and_arrays(text):
    data = (
        b"(dp0\n" + text(b"gt_RTs") + python_2_array([1.5, -2.0], text) + b"s" + text(b"path") + text(b"a\xe9") + b"s."
    )
    read = parse_pickle(data)
    np.testing.assert_array_equal(read["gt_RTs"], [1.5, -2.0])
    assert read["path"] == "a\xe9"


def test_python_2_escapes_longs_and_ordered_dictionaries():
    assert parse_pickle(rb"S'a\'b\\n\n\t\r'" + b"\n.") == "a'b\\n\n\t\r"
    assert parse_pickle(b"(L12345678901L\nI01\nI00\nF0.5\nt.") == (12345678901, True, False, 0.5)
    assert parse_pickle(b"ccollections\nOrderedDict\n((l(S'a'\nI1\nlatR.") == {"a": 1}
    value = OrderedDict(a=1, b=[2])
    assert parse_pickle(pickle.dumps(value, protocol=2)) == value == parse_pickle(pickle.dumps(value, protocol=5))


class CodeInPickle:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_refused_by_name_without_running_it(tmp_path, protocol):
    (tmp_path / "code.pkl").write_bytes(pickle.dumps({"a": CodeInPickle(tmp_path / "ran")}, protocol=protocol))
    with pytest.raises(DataError, match=r"code\.pkl.*mkdir"):
        read_pickle(tmp_path / "code.pkl")
    assert not (tmp_path / "ran").exists()


def forged_type(name, state):
    return b"cnumpy\ndtype\n(S'%s'\nI00\nI01\ntR" % name + state + b"b"


OBJECT = forged_type(b"O8", b"(I3\nS'|'\nNNNI8\nI8\nI0\nt")
OBJECT_IN_FIELD = forged_type(b"V8", b"(I3\nS'|'\nN(S'a'\nt(dS'a'\n(" + OBJECT + b"I0\ntsI8\nI1\nI0\nt")
SCALAR = b"cnumpy.core.multiarray\nscalar\n("
BUFFER = b"cnumpy.core.numeric\n_frombuffer\n(S'AAAAAAAA'\n"
REPEATED = b"]q\x000" + b"".join(b"](" + b"h%c" % i * 10 + b"eq%c0" % (i + 1) for i in range(20)) + b"h\x14."
MEGABYTE = b"B" + struct.pack("<i", 1 << 20) + bytes(1 << 20)

ATTACKS = {
    "a call by opcode R": b"cos\nsystem\n(S'true'\ntR.",
    "a call by opcode i": b"(S'true'\nios\nsystem\n.",
    "a call by opcode o": b"(cos\nsystem\nS'true'\no.",
    "an attribute of an accepted name": b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pfoo\n.",
    "a new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
    "an object type": ARRAY_2 + b"(I1\n(I1\nt" + OBJECT + b"I00\nS'BBBBBBBB'\ntb.",
    "an object type in a field": ARRAY_2 + b"(I1\n(I1\nt" + OBJECT_IN_FIELD + b"I00\nS'AAAAAAAA'\ntb.",
    "an object type by its state": forged_type(b"f8", b"(I3\nS'|'\nN(S'a'\nt(dI8\nI1\nI63\nt") + b".",
    "an object type of a buffer": BUFFER + OBJECT + b"(I1\ntS'C'\ntR.",
    "an object type of a scalar": SCALAR + OBJECT + b"S'AAAAAAAA'\ntR.",
    "a scalar of another length": SCALAR + FLOAT_2 + b"S'AAAA'\ntR.",
    "a type of gigabytes": SCALAR + b"cnumpy\ndtype\n(S'S2000000000'\nI00\nI01\ntRS'AAAA'\ntR.",
    "an array of terabytes": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS'b'\ntR.",
    "a state of terabytes": ARRAY_2 + b"(I1\n(I999999999999\nt" + FLOAT_2 + b"I00\nS'AAAAAAAA'\ntb.",
    "no values in endless rows": ARRAY_2 + b"(I1\n(I999999999999\nI0\nt" + FLOAT_2 + b"I00\nS''\ntb.",
    "text without length in endless rows": ARRAY_2
    + b"(I1\n(I999999999999\nt"
    + forged_type(b"S0", b"(I3\nS'|'\nNNNI0\nI1\nI0\nt")
    + b"I00\nS''\ntb.",
    "a negative side": ARRAY_2 + b"(I1\n(I-1\nt" + FLOAT_2 + b"I00\nS'AAAAAAAA'\ntb.",
    "less data than the shape": ARRAY_2 + b"(I1\n(I3\nt" + FLOAT_2 + b"I00\nS'AAAAAAAA'\ntb.",
    "an array without its state": ARRAY_2 + b".",
    "two states of an array": ARRAY_2
    + b"2(I1\n(t"
    + FLOAT_2
    + b"I00\nS'AAAAAAAA'\ntb0(I1\n(t"
    + FLOAT_2
    + b"I00\nS''\ntb.",
    "a boolean of 2": ARRAY_2 + b"(I1\n(I1\ntcnumpy\ndtype\n(S'b1'\nI0\nI1\ntRI00\nS'\\x02'\ntb.",
    "characters that do not exist": ARRAY_2 + b"(I1\n(I1\ntcnumpy\ndtype\n(S'<U1'\nI0\nI1\ntRI00\nS'AAAA'\ntb.",
    "items set in an array": b"cnumpy\nndarray\n((I1\ntS'<f8'\nS'AAAAAAAA'\ntR(I0\nI5\nu.",
    "a name as a value": b"(lcnumpy\ndtype\na.",
    "a type as a value": FLOAT_2 + b".",
    "a name in a tuple as a value": b"(cnumpy\ndtype\nt\x85.",
    "deep tuples": b"(" * 200_000 + b"t" * 200_000 + b".",
    "deep lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "a list of itself": b"]q\x00h\x00a.",
    "lists that repeat each other": REPEATED,
    "one buffer in many arrays": MEGABYTE + b"q\x000(" + b"cnumpy\nndarray\n((I131072\ntS'<f8'\nh\x00tR" * 200 + b"l.",
    "one array in a list a million times": b"cnumpy\nndarray\n((I131072\ntS'<f8'\n"
    + MEGABYTE
    + b"tRq\x000("
    + b"h\x00" * 1_000_000
    + b"l.",
    "a long number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "a number of digits": b"I" + b"9" * 100_000 + b"\n.",
    "a memo of gigabytes": b"\x80\x04Nr\xff\xff\xff\x7fj\xff\xff\xff\x7e.",
    "a frame of exabytes": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
    "a byte array of terabytes": b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.",
    "a tuple as a key": b"}I1\nI2\n\x86I3\ns.",
    "a repeated key": b"}I1\nI2\nsI1\nI3\ns.",
    "two values": b"I1\nI2\n.",
    "bytes after the value": b"I1\n.I2\n.",
    "an unfinished mark": b"(I1\n.",
    "an unknown protocol": b"\x80\x06N.",
    "a memo that is overwritten": b"I1\nq\x00I2\nq\x00t.",
    "values that are missing": b"0.",
    "a mark that is missing": b"t.",
    "nothing": b"",
    "text": b"no pickle",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_in_one_line(tmp_path, attack):
    (tmp_path / "attack.pkl").write_bytes(ATTACKS[attack])
    with pytest.raises(DataError, match=r"attack\.pkl") as caught:
        read_pickle(tmp_path / "attack.pkl")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_missing_cut_and_special_files_are_named(tmp_path):
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(np.arange(100))[:50])
    os.mkfifo(tmp_path / "pipe.pkl")
    for name in ("cut.pkl", "pipe.pkl", "missing.pkl"):
        with pytest.raises(DataError, match=name):
            read_pickle(tmp_path / name)


@given(data=st.binary(max_size=60))
def test_random_bytes_raise_or_are_plain_values(data):
    with suppress(UnreadableFileError):
        assert not isinstance(parse_pickle(data), np.ndarray)


RECORD = {
    "gt_RTs": np.arange(32.0).reshape(2, 4, 4),
    "gt_class_ids": np.array([1, 6], np.int32),
    "image_path": "scene_1/0000",
    "pred_masks": np.asfortranarray(np.eye(5, 4, dtype=bool)),
    "obj_list": ["a", "b"],
    "score": np.float32(0.5),
}


@pytest.mark.parametrize("protocol", range(6))
def test_files_that_are_cut_short_are_refused(protocol):
    data = pickle.dumps(RECORD, protocol=protocol)
    for length in range(len(data)):
        with pytest.raises(UnreadableFileError):
            parse_pickle(data[:length])


@settings(max_examples=1000, deadline=None)
@given(protocol=PROTOCOLS, changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3))
def test_corrupted_files_raise_or_hold_bounded_plain_values(protocol, changes):
    data = bytearray(pickle.dumps(RECORD, protocol=protocol))
    for place, byte in changes:
        data[place % len(data)] = byte
    try:
        value = parse_pickle(bytes(data))
    except UnreadableFileError:
        return
    # A changed letter, number or name of an entry goes unnoticed; the values stay plain and no larger than the file.
    pickle.dumps(value)
    for each in value.values() if isinstance(value, dict) else ():
        if isinstance(each, np.ndarray):
            assert each.dtype.kind in "biufUS" and each.nbytes <= len(data)


def test_as_numbers_converts_lists_and_refuses_text_and_ragged_rows():
    np.testing.assert_array_equal(as_numbers([[1, 2.5], (np.float32(3), True)]), [[1.0, 2.5], [3.0, 1.0]])
    assert as_numbers(np.eye(2, dtype=bool)).dtype == bool
    assert as_numbers([]).size == 0
    for value in ("1", ["1", "2"], [1, None], None, np.array(["1"]), {}, [b"1"]):
        with pytest.raises(UnreadableFileError, match="must hold numbers"):
            as_numbers(value)
    with pytest.raises(UnreadableFileError, match="differ in length"):
        as_numbers([[1, 2], [3]])
