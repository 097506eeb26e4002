"""Frames of recordings in every storage, matched and converted as by the node."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from bag_files import (
    CAMERA_INFO,
    COLOR,
    DEPTH,
    FRAME,
    START_NS,
    STEP_NS,
    STORAGES,
    Item,
    Messages,
    camera_bag,
    make_frames,
    write_bag,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from clipose_ros.config import SyncConfig
from clipose_ros.data.bags.camera_topics import CameraTopics
from clipose_ros.data.bags.message_types import COMPRESSED, IMAGE, INFO, TRANSFORMS
from clipose_ros.data.bags.recording import open_recording
from clipose_ros.errors import DataError, FrameError


def read(path, **options):
    return list(open_recording(path).frames(**options))


def assert_same(item, frame):
    assert item.fault == "" and item.frame is not None
    assert (item.frame.stamp_ns, item.frame.frame_id) == (frame.stamp_ns, frame.frame_id)
    assert item.frame.intrinsics == frame.intrinsics
    np.testing.assert_array_equal(item.frame.rgb, frame.rgb)
    np.testing.assert_array_equal(item.frame.depth, frame.depth)


@pytest.mark.parametrize("storage", STORAGES)
def test_frames_pass_through_every_storage_bit_by_bit(tmp_path, storage):
    frames = make_frames(7)
    items = read(camera_bag(tmp_path / "bag", frames, storage))
    assert len(items) == len(frames)
    for item, frame in zip(items, frames, strict=True):
        assert_same(item, frame)
    progress = [item.progress for item in items]
    assert progress == sorted(progress) and progress[0] >= 0.0 and progress[-1] <= 1.0


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.sampled_from(STORAGES), st.permutations(range(3)),
    st.integers(0, 1000),
)  # fmt: skip
def test_any_size_and_order_of_the_messages_is_read_back(tmp_path_factory, count, width, height, storage, order, seed):
    frames = make_frames(count, width, height, seed)
    makers = Messages("ros1" if storage.startswith("ros1") else "cdr")
    items = [camera[place] for frame in frames for camera in [makers.camera(frame)] for place in order]
    path = write_bag(tmp_path_factory.mktemp("bag") / "bag", items, storage)
    found = read(path)
    assert len(found) == count
    for item, frame in zip(found, frames, strict=True):
        assert_same(item, frame)


def test_a_split_recording_is_read_in_the_order_of_its_numbers(tmp_path):
    frames = make_frames(11)
    for number, frame in enumerate(frames):
        bag = camera_bag(tmp_path / f"part_{number}", [frame])
        (bag / f"part_{number}.mcap").rename(tmp_path / f"run_{number}.mcap")
    assert [item.stamp_ns for item in read(tmp_path)] == [frame.stamp_ns for frame in frames]


def test_compressed_images_are_read(tmp_path):
    makers, frames, items = Messages(), make_frames(3), []
    for frame in frames:
        header, log_ns = makers.header(frame.stamp_ns), frame.stamp_ns
        millimetres = np.rint(frame.depth * 1000).astype(np.uint16)
        items += [
            Item(CAMERA_INFO, INFO, log_ns, makers.info(frame.intrinsics, header)),
            Item(f"{COLOR}/compressed", COMPRESSED, log_ns, makers.png(frame.rgb, header)),
            Item(f"{DEPTH}/compressedDepth", COMPRESSED, log_ns, makers.compressed_depth(millimetres, header)),
        ]
    found = read(write_bag(tmp_path / "bag", items))
    assert len(found) == 3
    for item, frame in zip(found, frames, strict=True):
        np.testing.assert_array_equal(item.frame.rgb, frame.rgb)
        np.testing.assert_allclose(item.frame.depth, frame.depth, atol=6e-4)


def test_distorted_colour_is_rectified_as_by_the_node(tmp_path):
    makers, (frame,) = Messages(), make_frames(1, 64, 48)
    items = makers.camera(frame, d=(0.1, -0.05, 0.0, 0.0, 0.0))
    path = write_bag(tmp_path / "bag", items)
    notes = []
    (auto,) = open_recording(path, report=notes.append).frames()
    (never,) = open_recording(path).frames(SyncConfig(rectify="never"))
    assert (auto.frame.rgb != frame.rgb).any() and (auto.frame.depth != frame.depth).any()
    np.testing.assert_array_equal(never.frame.rgb, frame.rgb)
    assert len([note for note in notes if "rectified here" in note]) == 1


def test_colour_images_without_depth_are_told_and_the_others_posed(tmp_path):
    makers, frames = Messages(), make_frames(6)
    items = [
        item for number, frame in enumerate(frames) for item in makers.camera(frame)
        if not (number in (0, 3) and item.topic == DEPTH)
    ]  # fmt: skip
    found = read(write_bag(tmp_path / "bag", items))
    assert [bool(item.frame) for item in found] == [False, True, True, False, True, True]
    assert all(DEPTH in item.fault and "0.02 s" in item.fault for item in found if item.frame is None)


def test_stamps_within_the_slop_match_and_others_do_not(tmp_path):
    makers, frames, items = Messages(), make_frames(4), []
    for number, frame in enumerate(frames):
        color, depth = makers.camera(frame)[1:], None
        late = makers.header(frame.stamp_ns + (5_000_000 if number % 2 else 15_000_000))
        depth = makers.image(frame.depth, "32FC1", late)
        items += [makers.camera(frame)[0], color[0], Item(DEPTH, IMAGE, frame.stamp_ns + 9, depth)]
    path = write_bag(tmp_path / "bag", items)
    assert [bool(i.frame) for i in read(path)] == [True] * 4
    assert [bool(i.frame) for i in read(path, sync=SyncConfig(slop_s=0.01))] == [False, True, False, True]
    assert [bool(i.frame) for i in read(path, sync=SyncConfig(exact=True))] == [False] * 4


def test_a_clock_that_was_set_back_begins_anew(tmp_path):
    frames = make_frames(6)
    found = read(camera_bag(tmp_path / "bag", [*frames, *frames]))
    assert [item.stamp_ns for item in found] == [frame.stamp_ns for frame in [*frames, *frames]]
    assert all(item.frame is not None for item in found)


def test_one_calibration_serves_all_frames(tmp_path):
    makers, frames = Messages(), make_frames(5)
    items = [i for n, f in enumerate(frames) for i in makers.camera(f) if i.topic != CAMERA_INFO or n == 2]
    assert all(item.frame is not None for item in read(write_bag(tmp_path / "bag", items)))


def two_cameras(makers, frame, names):
    return [
        Item(item.topic.replace("camera", name, 1), item.kind, item.log_ns, item.message)
        for name in names
        for item in makers.camera(make_frames(1)[0].__class__(**{**{
            field: getattr(frame, field) for field in ("rgb", "depth", "intrinsics", "stamp_ns")
        }, "frame_id": f"{name}_optical_frame"}))
    ]  # fmt: skip


def test_of_two_cameras_one_is_named(tmp_path):
    makers, frames = Messages(), make_frames(2)
    path = write_bag(tmp_path / "bag", [i for f in frames for i in two_cameras(makers, f, ("left", "right"))])
    with pytest.raises(DataError, match="2 sets.*--color /left/color/image_raw.*--color /right/color/image_raw"):
        open_recording(path)
    recording = open_recording(path, CameraTopics(color="/right/color/image_raw"))
    assert recording.topics.depth == "/right/aligned_depth/image_raw"
    assert all(item.frame.frame_id == "right_optical_frame" for item in recording.frames())


def test_rectified_and_raw_and_registered_topics_are_preferred(tmp_path):
    makers, (frame,) = Messages(), make_frames(1)
    items = makers.camera(frame)
    further = [
        Item("/camera/color/image_rect_color", IMAGE, items[1].log_ns, items[1].message),
        Item("/camera/color/image_rect_color/compressed", COMPRESSED, items[1].log_ns,
             makers.png(frame.rgb, makers.header(frame.stamp_ns))),
        Item("/pose_node/debug_image", IMAGE, items[1].log_ns, items[1].message),
        Item("/camera/other/image_raw", IMAGE, items[2].log_ns, items[2].message),
    ]  # fmt: skip
    topics = open_recording(write_bag(tmp_path / "bag", [*further, *items])).topics
    assert (topics.color, topics.depth, topics.info) == ("/camera/color/image_rect_color", DEPTH, CAMERA_INFO)


@pytest.mark.parametrize(
    ("left_out", "words"),
    [(COLOR, "no colour image"), (DEPTH, "no depth image"), (CAMERA_INFO, "no camera_info")],
)
def test_a_missing_topic_is_named_with_those_that_are_there(tmp_path, left_out, words):
    makers, (frame,) = Messages(), make_frames(1)
    path = write_bag(tmp_path / "bag", [item for item in makers.camera(frame) if item.topic != left_out])
    with pytest.raises(DataError) as error:
        open_recording(path)
    assert words in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


def test_depth_of_another_frame_is_told(tmp_path):
    makers, (frame,) = Messages(), make_frames(1)
    items = makers.camera(frame)
    depth = makers.image(frame.depth, "32FC1", makers.header(frame.stamp_ns, "depth_optical_frame"))
    path = write_bag(tmp_path / "bag", [*items[:2], Item(DEPTH, IMAGE, items[2].log_ns, depth)])
    with pytest.raises(DataError, match="registered.*align_depth"):
        open_recording(path)


def test_labels_are_read_where_they_are_asked_for(tmp_path):
    makers, frames, items = Messages(), make_frames(3), []
    for number, frame in enumerate(frames):
        header = makers.header(frame.stamp_ns)
        labels = np.full(frame.depth.shape, 1000 + number, np.uint16)
        items += [*makers.camera(frame), Item("/segmentation/labels", IMAGE, frame.stamp_ns + 9,
                                              makers.image(labels, "16UC1", header))]  # fmt: skip
    path = write_bag(tmp_path / "bag", items)
    assert [int(item.frame.labels[0, 0]) for item in read(path, with_labels=True)] == [1000, 1001, 1002]
    assert all(item.frame.labels is None for item in read(path))


def test_asking_for_labels_that_are_not_there_says_so(tmp_path):
    path = camera_bag(tmp_path / "bag", make_frames(1))
    with pytest.raises(DataError, match="--labels"):
        read(path, with_labels=True)


def turn(angle):
    return (0.0, 0.0, float(np.sin(angle / 2)), float(np.cos(angle / 2)))


def test_transforms_are_interpolated_and_never_extrapolated(tmp_path):
    makers, frames = Messages(), make_frames(3)
    items = [item for frame in frames for item in makers.camera(frame)]
    for number, name in ((0, "/tf"), (1, "/tf")):
        stamp = START_NS + number * 2 * STEP_NS
        message = makers.transform("world", "base", stamp, (2.0 * number, 0, 0), turn(1.2 * number))
        items.append(Item(name, TRANSFORMS[0], stamp, message))
    fixed = makers.transform("base", FRAME, START_NS, (0, 0, 1.0), turn(0))
    items.append(Item("/tf_static", TRANSFORMS[0], START_NS, fixed))
    tree = open_recording(write_bag(tmp_path / "bag", items)).transforms
    T = tree.lookup("world", FRAME, START_NS + STEP_NS)
    np.testing.assert_allclose(T[:3, 3], [1.0, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(T[:2, 0], [np.cos(0.6), np.sin(0.6)], atol=1e-6)
    np.testing.assert_allclose(tree.lookup(FRAME, "world", START_NS + STEP_NS) @ T, np.eye(4), atol=1e-9)
    np.testing.assert_array_equal(tree.lookup(FRAME, FRAME, 0), np.eye(4))
    with pytest.raises(FrameError, match="none at the image's"):
        tree.lookup("world", FRAME, START_NS - 1)
    with pytest.raises(FrameError, match="'odom'.*nowhere"):
        tree.lookup("odom", FRAME, START_NS)


def test_unusable_transforms_are_counted_and_told(tmp_path):
    makers, frames = Messages(), make_frames(1)
    items = makers.camera(frames[0])
    for xyz, quat in (((np.nan, 0, 0), turn(0)), ((0, 0, 0), (0, 0, 0, 0)), ((0, 0, 1e300), turn(0))):
        items.append(Item("/tf", TRANSFORMS[0], START_NS, makers.transform("world", FRAME, START_NS, xyz, quat)))
    notes = []
    recording = open_recording(write_bag(tmp_path / "bag", items), report=notes.append)
    assert recording.transforms.refused == 3
    assert any("3 transforms" in note for note in notes)


def test_metres_compressed_as_inverse_depth_are_restored(tmp_path):
    makers, (frame,) = Messages(), make_frames(1)
    a, b = np.float32(100.0 * 101.0), np.float32(1.0)
    packed = np.rint(a / frame.depth + b).astype(np.uint16)
    packed[0, 0] = 0
    data = np.int32(0).tobytes() + a.tobytes() + b.tobytes() + cv2.imencode(".png", packed)[1].tobytes()
    depth = makers.compressed(data, "32FC1; compressedDepth png", makers.header(frame.stamp_ns))
    items = [*makers.camera(frame)[:2], Item(f"{DEPTH}/compressedDepth", COMPRESSED, frame.stamp_ns, depth)]
    (found,) = read(write_bag(tmp_path / "bag", items))
    assert np.isnan(found.frame.depth[0, 0])
    np.testing.assert_allclose(found.frame.depth.ravel()[1:], frame.depth.ravel()[1:], rtol=2e-4)


@pytest.mark.parametrize("encoding", ["cdr", "ros1"])
@pytest.mark.parametrize("options", [
    {"compression": CompressionType.NONE, "use_chunking": False},
    {"compression": CompressionType.NONE, "enable_crcs": True},
    {"compression": CompressionType.LZ4, "enable_crcs": True, "chunk_size": 3000},
    {"compression": CompressionType.ZSTD, "enable_crcs": False, "use_statistics": False},
])  # fmt: skip
def test_files_of_the_writer_of_mcap_are_read(tmp_path, options, encoding):
    makers, frames, channels = Messages(encoding), make_frames(6), {}
    with (tmp_path / "run.mcap").open("wb") as stream:
        writer = McapWriter(stream, **options)
        writer.start(profile="ros1" if encoding == "ros1" else "ros2", library="another")
        for frame in frames:
            for item in makers.camera(frame):
                if item.topic not in channels:
                    name = item.kind.replace("/msg/", "/") if encoding == "ros1" else item.kind
                    schema = writer.register_schema(name, f"{encoding}msg", b"")
                    channels[item.topic] = writer.register_channel(item.topic, encoding, schema)
                writer.add_message(channels[item.topic], item.log_ns, bytes(makers.encode(item)), item.log_ns)
        writer.finish()
    found = read(tmp_path / "run.mcap")
    assert len(found) == len(frames)
    for item, frame in zip(found, frames, strict=True):
        assert_same(item, frame)
