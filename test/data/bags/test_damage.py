"""Recordings that were cut short, damaged or made to do harm: what can be read is used, the rest is told."""

from __future__ import annotations

import bz2
import random
import re
import resource
import sqlite3
import struct
import time

import lz4.frame
import numpy as np
import pytest
from bag_files import (
    CAMERA_INFO,
    COLOR,
    DEPTH,
    START_NS,
    STORAGES,
    Item,
    Messages,
    camera_bag,
    make_frames,
    scene_items,
    the_file,
    write_bag,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from clipose_ros.data.bags import records
from clipose_ros.data.bags.camera_topics import CameraTopics
from clipose_ros.data.bags.message_types import COMPRESSED, IMAGE, INFO
from clipose_ros.data.bags.recording import open_recording
from clipose_ros.data.bags.records import decompress, zstd
from clipose_ros.data.bags.storage import find_files, read_messages
from clipose_ros.errors import CliposeError, DataError, UnreadableFileError

MAGIC = b"\x89MCAP0\r\n"


def read(path, notes=None):
    return list(open_recording(path, report=(notes if notes is not None else []).append).frames())


def usable(items):
    return [item for item in items if item.frame is not None]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_recording_that_was_cut_short_is_read_up_to_there(tmp_path, storage):
    frames = make_frames(160, 64, 48)  # of more than one chunk
    file = the_file(camera_bag(tmp_path / "bag", frames, storage))
    data = file.read_bytes()
    file.write_bytes(data[: int(0.6 * len(data))])
    notes: list[str] = []
    if storage.startswith("sqlite3"):
        # Pages of a table are found through its root, so a database may lose all or nothing before the cut.
        try:
            found = usable(read(file, notes))
        except DataError as error:
            notes, found = [str(error)], []
    else:
        found = usable(read(file, notes))
        assert found
    assert len(found) < len(frames)
    for item, frame in zip(found, frames, strict=False):
        np.testing.assert_array_equal(item.frame.rgb, frame.rgb)
    assert len(notes) == 1 and str(file) in notes[0] and "cut short" in notes[0] and "\n" not in notes[0]


def test_a_recording_without_index_is_read_whole(tmp_path):
    frames = make_frames(9)
    file = the_file(camera_bag(tmp_path / "bag", frames))
    data = file.read_bytes()
    end = data.rindex(b"\x0c", 0, data.rindex(b"rosbag2"))
    file.write_bytes(data[: data.index(b"serialized_metadata") - 30] if end < 0 else data[:end])
    assert [item.stamp_ns for item in usable(read(file))] == [frame.stamp_ns for frame in frames]


def test_a_ros1_recording_that_was_never_closed_is_read(tmp_path):
    frames = make_frames(9)
    file = the_file(camera_bag(tmp_path / "bag", frames, "ros1"))
    data = bytearray(file.read_bytes())
    place = data.index(b"index_pos=") + len(b"index_pos=")
    data[place : place + 8] = bytes(8)
    file.write_bytes(data)
    assert [item.stamp_ns for item in usable(read(file))] == [frame.stamp_ns for frame in frames]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (MAGIC, "no topic.*cut short"),
        (b"#ROSBAG V2.0\n", "no topic"),
        (b"SQLite format 3\0", "cannot be opened|damaged|no tables"),
        (b"#ROSBAG V1.2\n", "no recording"),
        (b"PK\x03\x04" + bytes(40), "no recording"),
        (zstd.compress(MAGIC), "compressed as a whole.*zstd -d"),
    ],
)
def test_a_file_without_messages_is_told_in_one_line(tmp_path, content, words):
    file = tmp_path / "run.mcap"
    file.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        open_recording(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_an_empty_recording_of_each_storage_is_told(tmp_path):
    for number, storage in enumerate(("mcap", "sqlite3", "ros1")):
        path = write_bag(tmp_path / str(number), [], storage)
        with pytest.raises(DataError, match="no readable message"):
            open_recording(path)


def test_missing_folders_and_folders_without_recording_are_told(tmp_path):
    with pytest.raises(DataError, match="no such recording"):
        open_recording(tmp_path / "none")
    with pytest.raises(DataError, match="no file of a recording"):
        open_recording(tmp_path)
    (tmp_path / "run.db3.zstd").write_bytes(b"x")
    with pytest.raises(DataError, match="zstd -d"):
        open_recording(tmp_path)


def test_a_database_of_something_else_is_told(tmp_path):
    with sqlite3.connect(tmp_path / "other.db3") as database:
        database.execute("CREATE VIEW messages AS SELECT 1")
        database.execute("CREATE TABLE topics (id)")
    with pytest.raises(DataError, match="no recording of rosbag2"):
        open_recording(tmp_path / "other.db3")


def test_a_recording_of_other_messages_names_their_types(tmp_path):
    store = get_typestore(Stores.ROS2_HUMBLE)
    text = store.types["std_msgs/msg/String"](data="hello")
    path = write_bag(tmp_path / "bag", [Item("/chatter", "std_msgs/msg/String", START_NS, text)])
    with pytest.raises(DataError, match="std_msgs/msg/String"):
        open_recording(path)


# What is made to do harm.


def record(operation: int, content: bytes) -> bytes:
    return struct.pack("<BQ", operation, len(content)) + content


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def chunk(packed: bytes, method: bytes, plain_size: int) -> bytes:
    head = struct.pack("<QQQI", 0, 0, plain_size, 0)
    return record(0x06, head + text(method) + struct.pack("<Q", len(packed)) + packed)


def address_space() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("method", "compress"),
    [("zstd", zstd.compress), ("lz4", lz4.frame.compress), ("bz2", bz2.compress)],
)
def test_a_decompression_bomb_is_never_unpacked(method, compress):
    bomb = compress(bytes(1 << 26))
    before = address_space()
    with pytest.raises(UnreadableFileError, match="more than 1000 bytes"):
        decompress(bomb, method, 1000)
    assert address_space() - before < 1 << 25
    assert decompress(compress(b"x" * 1000), method, 1000) == b"x" * 1000
    with pytest.raises(UnreadableFileError, match="cut short|damaged"):
        decompress(compress(random.Random(0).randbytes(9999))[:-20], method, 10_000)


@pytest.mark.parametrize(
    "content",
    [
        chunk(zstd.compress(bytes(1 << 24)), b"zstd", 100),
        chunk(zstd.compress(b"x"), b"zstd", 1 << 60),
        chunk(b"", b"\x1b[31mrot13", 100),
        chunk(record(0x05, b"ab"), b"", 11),
        chunk(struct.pack("<BQ", 0x05, 1 << 63), b"", 9),
        record(0x04, struct.pack("<HHI", 1, 1, 0xFFFFFFFF)),
        record(0x03, b"\x01\x00" + text(b"\xff\xfe")),
    ],
)
def test_hostile_records_are_left_out_and_the_next_ones_read(tmp_path, content):
    file = the_file(camera_bag(tmp_path / "bag", make_frames(3)))
    data = file.read_bytes()
    header_end = len(MAGIC) + 9 + struct.unpack_from("<Q", data, len(MAGIC) + 1)[0]
    file.write_bytes(data[:header_end] + content + data[header_end:])
    notes: list[str] = []
    assert len(usable(read(file, notes))) == 3
    assert len(notes) == 1 and str(file) in notes[0] and notes[0].isprintable()


def test_a_record_of_giant_declared_size_ends_the_reading(tmp_path):
    file = tmp_path / "run.mcap"
    file.write_bytes(MAGIC + struct.pack("<BQ", 0x06, (1 << 63) + 5) + bytes(100))
    with pytest.raises(DataError, match="9223372036854775813 bytes"):
        open_recording(file)


def with_changed_color(tmp_path, changes):
    makers, (first, second) = Messages(), make_frames(2)
    info, color, depth = makers.camera(second)
    for name, value in changes.items():
        setattr(color.message, name, value)
    return write_bag(tmp_path / "bag", [*makers.camera(first), info, color, depth])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step": 0}, "step of 0"),
        ({"step": 0xFFFFFFFF}, "step of 4294967295"),
        ({"height": 0xFFFFFFFF, "width": 0xFFFFFFFF}, "4294967295x4294967295"),
        ({"width": 0}, "is empty"),
        ({"encoding": "\x1b[2Jrgb\n8"}, r"\\x1b"),
        ({"data": np.zeros(0, np.uint8)}, "holds 0 bytes"),
    ],
)
def test_impossible_images_cost_their_frame_only(tmp_path, changes, words):
    found = read(with_changed_color(tmp_path, changes))
    assert [bool(item.frame) for item in found] == [True, False]
    assert re.search(words, found[1].fault) and COLOR in found[1].fault and found[1].fault.isprintable()


@pytest.mark.parametrize(("sec", "nanosec"), [(-1, 0), (0, 0), (5, 1_000_000_000), (5, 0xFFFFFFFF), (-(2**31), 7)])
def test_stamps_that_are_no_time_are_told(tmp_path, sec, nanosec):
    makers, (frame,) = Messages(), make_frames(1)
    header = makers.header(START_NS)
    header.stamp.sec, header.stamp.nanosec = sec, nanosec
    items = [*makers.camera(frame), Item(COLOR, IMAGE, START_NS + 99, makers.image(frame.rgb, "rgb8", header))]
    found = read(write_bag(tmp_path / "bag", items))
    assert sorted(bool(item.frame) for item in found) == [False, True]
    (fault,) = [item.fault for item in found if item.frame is None]
    assert f"{sec} s {nanosec} ns" in fault


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -5.0])
def test_calibrations_that_are_none_cost_their_frames(tmp_path, value):
    makers, (frame,) = Messages(), make_frames(1)
    items = makers.camera(frame)
    items[0].message.p[0] = value
    (found,) = read(write_bag(tmp_path / "bag", items))
    assert found.frame is None and CAMERA_INFO in found.fault


def test_an_image_that_claims_a_giant_size_is_not_decoded(tmp_path):
    makers, frames, items = Messages(), make_frames(2), []
    for number, frame in enumerate(frames):
        header = makers.header(frame.stamp_ns)
        png = makers.png(frame.rgb, header)
        if number:
            data = bytearray(png.data.tobytes())
            data[16:24] = struct.pack(">II", 60_000, 60_000)
            png = makers.compressed(bytes(data), "png", header)
        items += [
            Item(CAMERA_INFO, INFO, frame.stamp_ns, makers.info(frame.intrinsics, header)),
            Item(f"{COLOR}/compressed", COMPRESSED, frame.stamp_ns, png),
            Item(DEPTH, IMAGE, frame.stamp_ns, makers.image(frame.depth, "32FC1", header)),
        ]
    found = read(write_bag(tmp_path / "bag", items))
    assert [bool(item.frame) for item in found] == [True, False] and "60000x60000" in found[1].fault


def test_definitions_of_the_file_are_never_compiled(tmp_path, monkeypatch):
    file = the_file(camera_bag(tmp_path / "bag", make_frames(2)))
    data = file.read_bytes()
    assert b"uint32 height" in data
    file.write_bytes(data.replace(b"uint32 height", b"string[]heigh"))
    assert len(usable(read(file))) == 2


def test_messages_of_another_type_under_the_same_name_are_not_taken_for_images(tmp_path):
    makers, frames = Messages(), make_frames(3)
    items = [item for frame in frames for item in makers.camera(frame)]
    items += [Item(topic, INFO, item.log_ns, item.message) for item in items[::3] for topic in (COLOR, DEPTH)]
    items += [Item(CAMERA_INFO, IMAGE, item.log_ns, item.message) for item in items[1:9:3]]
    chosen = CameraTopics(COLOR, DEPTH, CAMERA_INFO)
    assert len(usable(open_recording(write_bag(tmp_path / "bag", items), chosen).frames())) == 3


def test_names_that_are_none_of_ros_are_left_out(tmp_path):
    makers, (frame,) = Messages(), make_frames(1)
    items = makers.camera(frame)
    names = ("/a\x1b[31m", "/\u202e", "", "/" + 300 * "x", "/a b", "/a\nb")
    wrong = [Item(name, IMAGE, items[1].log_ns, items[1].message) for name in names]
    recording = open_recording(write_bag(tmp_path / "bag", [*wrong, *items]))
    assert recording.topics.color == COLOR
    with pytest.raises(DataError, match="no topic") as error:
        open_recording(write_bag(tmp_path / "only", wrong))
    assert str(error.value).isprintable()


def test_many_damaged_messages_give_few_lines(tmp_path):
    frames = make_frames(40)
    file = the_file(camera_bag(tmp_path / "bag", frames, "sqlite3"))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE messages SET data = 'text' WHERE id > 6")
    notes: list[str] = []
    assert len(usable(read(file, notes))) == 2
    assert 2 < len(notes) <= 20 and "further damage is not listed" in notes[-1]


def test_a_message_that_is_too_large_is_left_out(tmp_path, monkeypatch):
    from clipose_ros.data.bags import sqlite_file

    file = the_file(camera_bag(tmp_path / "bag", make_frames(2), "sqlite3"))
    monkeypatch.setattr(sqlite_file, "MAX_MESSAGE_BYTES", 900)
    notes: list[str] = []
    messages = list(read_messages(find_files(file), lambda channel: True, notes.append))
    assert {message.channel.topic for message in messages} == {CAMERA_INFO}
    assert len(notes) == 4 and "900 bytes" in notes[0]


# Fuzzing. Whatever the bytes are, reading ends in frames, faults, or one line.


def check_never_fails(file, limit_s=20.0):
    begin = time.monotonic()
    notes: list[str] = []
    try:
        recording = open_recording(file, report=notes.append)
        for item in recording.frames(with_labels=recording.topics.labels is not None):
            assert (item.frame is None) != (item.fault == "")
            notes.append(item.fault)
        assert recording.transforms.refused >= 0
    except CliposeError as error:
        notes.append(str(error))
    assert all("\n" not in note for note in notes)
    assert time.monotonic() - begin < limit_s


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes with some of them changed, removed, repeated or cut off."""
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        place = rng.randrange(len(mutated))
        kind = rng.randrange(6)
        if kind == 0:
            mutated[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            mutated[place : place + 4] = rng.choice((b"\xff" * 4, bytes(4), b"\x00\x00\x00\x80"))
        elif kind == 2:
            mutated[place : place + 8] = struct.pack("<Q", rng.choice((2**63, 2**64 - 1, 2**32, 0)))
        elif kind == 3:
            del mutated[place : place + rng.randrange(1, 200)]
        elif kind == 4:
            mutated[place:place] = mutated[place : place + rng.randrange(1, 200)]
        else:
            del mutated[max(place, 20) :]
        if len(mutated) < 2:
            break
    return bytes(mutated)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small recording in each storage, with labels, truths and transforms where it is of ROS 2."""
    folder = tmp_path_factory.mktemp("whole")
    small = [item for item in scene_items(2) if item.topic not in (COLOR, DEPTH)]
    files = {}
    for storage in STORAGES:
        if storage.startswith("ros1"):
            files[storage] = the_file(camera_bag(folder / storage, make_frames(3), storage))
        else:
            items = [item for frame in make_frames(3) for item in Messages().camera(frame)]
            files[storage] = the_file(write_bag(folder / storage, [*items, *small], storage))
    return {storage: file.read_bytes() for storage, file in files.items()}


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(STORAGES), st.integers(0, 2**32))
def test_mutated_recordings_are_read_or_told(whole, tmp_path_factory, storage, seed):
    file = tmp_path_factory.getbasetemp() / f"mutated_{storage}.bin"
    file.write_bytes(mutate(whole[storage], random.Random(seed)))
    check_never_fails(file)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("storage", STORAGES)
def test_thousands_of_mutated_recordings_are_read_or_told(whole, tmp_path, storage):
    rng = random.Random(storage)
    for _ in range(2000):
        (tmp_path / "mutated.bin").write_bytes(mutate(whole[storage], rng))
        check_never_fails(tmp_path / "mutated.bin")


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([IMAGE, COMPRESSED, INFO, "vision_msgs/msg/Detection3DArray", "tf2_msgs/msg/TFMessage"]),
       st.sampled_from(["cdr", "ros1", "protobuf"]), st.binary(max_size=300))  # fmt: skip
def test_any_bytes_decode_or_are_told(kind, encoding, data):
    from clipose_ros.data.bags.message_types import decode
    from clipose_ros.errors import FrameError

    message = records.RawMessage(records.Channel("/topic", kind, encoding), 0, b"\0\1\0\0" + data, 0.0)
    told = ""
    try:
        decode(message)
    except FrameError as error:
        told = str(error)
    assert not told or ("'/topic'" in told and "\n" not in told)
