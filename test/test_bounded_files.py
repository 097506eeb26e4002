"""Bounded readers: what is accepted, and what is refused in one line before it costs memory or time."""

import contextlib
import io
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.bounded_files import load_npy, parse_json, parse_yaml, read_bytes, read_json, read_npy, read_yaml
from clipose_ros.errors import UnreadableFileError, quoted

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=9), values, max_size=3),
    max_leaves=9,
)


def npy(header, data=b""):
    """Return a file in ``.npy`` format with a header of any text."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@given(PLAIN)
def test_json_reads_what_json_writes(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_byte_order_mark_is_skipped(parse):
    assert parse(b"\xef\xbb\xbf[1]") == parse("\ufeff[1]") == [1]


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("[" * 200_000, "nested deeper than 32 levels"),
        ("[" * 33 + "]" * 33, "nested deeper than 32 levels"),
        ('{"a": ' * 40 + "1" + "}" * 40, "nested deeper than 32 levels"),
        (b"\xff\xfe\x00seed: 1", "not UTF-8 text: byte 0 is 0xff"),
        ('{"seed": 1, "seed": 2}', "the key 'seed' is repeated"),
        ("[1, 2", "it is not"),
        ("9" * 5000, "it is not JSON|a number is too long"),
    ],
)
def test_text_is_refused_in_one_line(parse, data, reason):
    with pytest.raises(UnreadableFileError, match=reason) as caught:
        parse(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_nesting_of_32_levels_is_read():
    for text in ("[" * 32 + "]" * 32, "[" * 32 + "1" + "]" * 32):
        assert parse_json(text) == parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: !!python/object/apply:os.system ['true']", "line 1: .*could not determine a constructor"),
        ("a: 1\nb: *a\n", "line 2: .found undefined alias"),
        ("a: &a [*a]", "contains itself"),
        ("day: 2001-99-99", "it is not YAML"),
        ("number: 0b_", "it is not YAML"),
        ("? [1, 2]\n: 3", "unhashable key"),
        ("a: \x07", "it is not YAML"),
        ("angle: " + ":".join(["1"] * 9000), "a number is too long"),
        ("- a\n" * 10_001, "more than 10000 values"),
    ],
)
def test_yaml_is_refused_with_its_line(text, reason):
    with pytest.raises(UnreadableFileError, match=reason) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("template", ["{0}: &{0} [{1}]\n", "{0}: &{0} {{<<: [{1}]}}\n"])
def test_aliases_of_aliases_are_counted_before_they_are_expanded(template):
    lines = ["a: &a {x: 1, y: 2}\n"]
    lines += [template.format(chr(98 + i), ", ".join([f"*{chr(97 + i)}"] * 9)) for i in range(9)]
    with pytest.raises(UnreadableFileError, match="more than 10000 values"):
        parse_yaml("".join(lines))


def test_yaml_anchors_and_merges_are_read():
    assert parse_yaml("base: &base {rate: 1, seed: 2}\nrun: {<<: *base, seed: 3}\n") == {
        "base": {"rate": 1, "seed": 2},
        "run": {"rate": 1, "seed": 3},
    }


def test_files_that_are_missing_large_or_endless_are_refused(tmp_path):
    large, pipe = tmp_path / "large.json", tmp_path / "pipe"
    with large.open("wb") as stream:
        stream.truncate(1 << 40)
    os.mkfifo(pipe)
    cases = ((large, "larger than"), (pipe, "not a regular file"), (tmp_path, "not a regular file"))
    for path, reason in (*cases, ("/dev/zero", "not a regular file"), (tmp_path / "no", "No such file")):
        for read in (read_json, read_yaml, lambda path: read_bytes(path, 100)):
            with pytest.raises(UnreadableFileError, match=reason):
                read(path)
    with pytest.raises(UnreadableFileError, match="null byte"):
        read_json("a\0b")


@given(st.sampled_from(["f4", "<i8", "u1", "U3", "?"]), st.lists(st.integers(0, 4), max_size=3), st.booleans())
def test_npy_reads_what_numpy_writes(dtype, shape, fortran):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape, order="F" if fortran else "C").astype(dtype)
    stream = io.BytesIO()
    np.save(stream, array)
    stream.seek(0)
    read = load_npy(stream, len(stream.getvalue()))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 3), }", "states 1200000000"),
        ("{'descr': ('<f4', (99999999,)), 'fortran_order': False, 'shape': (9, ), }", "states 3600000"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, ), }", "shape '\\(-1,\\)'"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1, ), }", "type 'object'"),
        ("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999, ), }", "type '<U0'"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, ), }", "it has"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 5000, "not a NumPy array"),
        ("{'descr': 'unheard', 'fortran_order': False, 'shape': (1, ), }", "not a NumPy array"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': 'x', }", "not a NumPy array"),
        ("5", "not a NumPy array"),
    ],
)
def test_npy_header_is_checked_before_memory_is_reserved(header, reason, tmp_path):
    (tmp_path / "x.npy").write_bytes(npy(header, b"1234"))
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableFileError, match=reason) as caught:
            read_npy(tmp_path / "x.npy", 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("kind", ["<U1", ">U1", [("number", "<f4"), ("text", "<U2")]])
def test_npy_text_beyond_unicode_is_refused(kind):
    for code, is_text in ((0x10FFFF, True), (0x110000, False), (2**32 - 1, False)):
        codes = np.full(3, code, ">u4" if kind == ">U1" else "<u4")
        array = codes.view(kind) if isinstance(kind, str) else codes.view(kind)[:1]
        header = f"{{'descr': {array.dtype.descr if array.dtype.names else kind!r}, 'fortran_order': False, "
        content = npy(header + f"'shape': {array.shape}, }}", array.tobytes())
        with contextlib.nullcontext() if is_text else pytest.raises(UnreadableFileError, match="beyond Unicode"):
            load_npy(io.BytesIO(content), len(content))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    for parse in (parse_json, parse_yaml, lambda data: load_npy(io.BytesIO(data), len(data))):
        for text in (data, b"\x93NUMPY\x01\x00" + data):
            with contextlib.suppress(UnreadableFileError):
                parse(text)


def test_limits_hold_for_the_shipped_files():
    for path in (Path(__file__).parents[1] / "config").rglob("*.yaml"):
        assert read_yaml(path)


def test_quoted_text_is_short_and_printable():
    assert quoted("mug") == "'mug'" and quoted(5) == "'5'"
    assert quoted("a\x1b[2J\nb") == r"'a\x1b[2J\nb'"
    assert len(quoted("x" * 1000)) == 82 and quoted("x" * 1000).endswith("…'")
