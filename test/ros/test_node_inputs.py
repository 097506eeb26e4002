"""Inputs of the node over DDS: encodings, bad input, silent topics, unmatched stamps, time jumps, overload."""

from __future__ import annotations

import array
import gc
import re
import resource
import threading

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image

from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.ros import diagnostics
from clipose_ros.ros.conversions import image_message, ros_stamp


def pixels(message: Image) -> np.ndarray:
    """Writable ``(H, W)`` or ``(H, W, 3)`` pixels of a message just built."""
    kind, shape = {"rgb8": ("u1", (-1, 3)), "16UC1": ("<u2", (-1,)), "32FC1": ("<f4", (-1,))}[message.encoding]
    return np.frombuffer(message.data, kind).reshape(message.height, message.width, *shape[1:])


def padded_big_endian(messages):
    """Depth and labels of the other byte order, rows padded."""
    for name in ("depth", "labels"):
        message = messages[name]
        wide = np.zeros((message.height, message.width + 3), ">u2")
        wide[:, : message.width] = pixels(message)
        message.is_bigendian, message.step, message.data = 1, 2 * wide.shape[1], array.array("B", wide.tobytes())


def metric_depth(messages):
    """Depth as 32FC1 with NaN for the wall."""
    depth = pixels(messages["depth"]).astype(np.float32) / 1000.0
    depth[depth > 1.5] = np.nan
    messages["depth"] = image_message(depth, "32FC1", messages["depth"].header)


def bgra(messages):
    color = messages["color"]
    four = np.dstack([pixels(color)[..., ::-1], np.full((color.height, color.width), 255, np.uint8)])
    color.encoding, color.step, color.data = "bgra8", 4 * color.width, array.array("B", four.tobytes())


def mono(messages):
    color = messages["color"]
    color.encoding, color.step, color.data = "mono8", color.width, array.array("B", pixels(color)[..., 0].tobytes())


def both(node):
    return [m for m in node.detections if len(m.detections) == 2]


@pytest.mark.parametrize("change", [padded_big_endian, metric_depth, bgra, mono])
def test_every_kind_of_image_gives_the_same_objects(ros, camera, start_node, change):
    node = start_node(tracking__smoothing=0.0)
    camera.wait_until_heard()
    plain = ros.wait_for(lambda: both(node), "plain frames", camera.send)[0]
    last_plain = camera.stamp_ns

    def after():
        return [m for m in both(node) if stamp_ns(m.header.stamp) > last_plain]

    changed = ros.wait_for(after, "changed frames", lambda: camera.send(change))[0]
    for a, b in zip(plain.detections, changed.detections, strict=True):
        assert a.id == b.id
        for axis in "xyz":
            assert getattr(a.bbox.center.position, axis) == pytest.approx(
                getattr(b.bbox.center.position, axis), abs=2e-3
            )


def test_compressed_colour_is_subscribed_under_the_raw_topics_name(ros, camera, start_node):
    node = start_node(sync__compressed=True)
    compressed = ros.node.create_publisher(CompressedImage, "rgb/image_rect_color/compressed", 10)
    ros.wait_for(compressed.get_subscription_count, "the subscription")

    def send():
        camera.send(leave_out=["color"])
        color = camera.scene()["color"]
        data = cv2.imencode(".jpg", pixels(color)[..., ::-1])[1].tobytes()
        compressed.publish(
            CompressedImage(header=color.header, format="rgb8; jpeg compressed bgr8", data=array.array("B", data))
        )

    ros.wait_for(lambda: both(node), "detections", send)


def bad_calibration(messages):
    messages["info"].p, messages["info"].k = [0.0] * 12, [0.0] * 9


def other_size(messages):
    color = messages["color"]
    messages["color"] = image_message(pixels(color)[:60], "rgb8", color.header)


def other_frame(messages):
    messages["depth"].header.frame_id = "infrared_optical"


def no_frame(messages):
    for message in messages.values():
        message.header.frame_id = ""


def no_frame_of_info(messages):
    messages["info"].header.frame_id = ""


def other_info(messages):
    messages["info"].width, messages["info"].height = 640, 480
    messages["info"].p[2], messages["info"].p[6] = 320.0, 240.0


def no_stamp(messages):
    messages["info"].header.stamp = ros_stamp(0)


def stamp_before_all_time(messages):
    messages["depth"].header.stamp.sec = -5


def unknown_encoding(messages):
    messages["color"].encoding = "yuv444"


def cut_short(messages):
    messages["depth"].data = messages["depth"].data[:-2]


def no_depth(messages):
    pixels(messages["depth"])[:] = 0


def all_nan(messages):
    depth = np.full((120, 160), np.nan, np.float32)
    messages["depth"] = image_message(depth, "32FC1", messages["depth"].header)


def thin_mask(messages):
    labels = pixels(messages["labels"])
    labels[labels == 6001] = 0
    labels[30:33, 20:23] = 6001


def hollow_mask(messages):
    pixels(messages["depth"])[pixels(messages["labels"]) == 6001] = 0


def wrong_labels(messages):
    pixels(messages["labels"])[0:9, 0:9] = 42


@pytest.mark.parametrize(
    ("change", "topic", "words"),
    [
        (bad_calibration, "/rgb/camera_info", ["not calibrated"]),
        (other_size, "/rgb/image_rect_color", ["160x60", "160x120", "registered"]),
        (other_frame, "/depth_registered/image_rect", ["infrared_optical", "camera_optical", "registered"]),
        (no_frame, "/rgb/image_rect_color", ["empty frame_id", "driver"]),
        (no_frame_of_info, "/rgb/camera_info", ["empty frame_id", "optical frame"]),
        (other_info, "/rgb/camera_info", ["640x480", "160x120", "another camera or resolution"]),
        (no_stamp, "/rgb/camera_info", ["stamp 0 s", "driver must fill in header.stamp"]),
        (stamp_before_all_time, "/depth_registered/image_rect", ["stamp -", "driver must fill in header.stamp"]),
        (unknown_encoding, "/rgb/image_rect_color", ["yuv444", "rgb8", "remap"]),
        (cut_short, "/depth_registered/image_rect", ["38398 bytes", "320", "driver"]),
        (no_depth, "/depth_registered/image_rect", ["no valid depth", "19200 are 0", "sensor"]),
        (all_nan, "/depth_registered/image_rect", ["no valid depth", "19200 not finite", "sensor"]),
        (thin_mask, "/depth_registered/image_rect", ["mug", "too few valid depth points", "cloud.min_points"]),
        (hollow_mask, "/depth_registered/image_rect", ["mug", "no valid depth under the mask", "cloud.depth_min_m"]),
        (wrong_labels, "/segmentation/labels", ["42", "category id"]),
    ],
)
def test_bad_input_is_warned_of_by_name_and_remedy_and_loses_nothing_else(
    ros, camera, start_node, capfd, change, topic, words
):
    node = start_node()
    camera.wait_until_heard()
    ros.wait_for(lambda: both(node), "good frames", camera.send)
    ros.wait_for(
        lambda: f"'{topic}'" in node.value("last_problem"), f"the report on {topic}", lambda: camera.send(change)
    )
    status = node.diagnostics[-1].status[0]
    assert all(word in node.value("last_problem") for word in words), node.value("last_problem")
    assert status.level in (DiagnosticStatus.WARN, DiagnosticStatus.ERROR)
    assert any(v.key.startswith("problem.") and topic in v.value for v in status.values)
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line and f"'{topic}'" in line]
    assert len(warnings) in (1, 2) and all(word in warnings[0] for word in words), (
        warnings
    )  # once in LOG_EVERY_S, not once a frame
    last_bad = camera.stamp_ns
    ros.wait_for(
        lambda: [m for m in both(node) if stamp_ns(m.header.stamp) > last_bad], "good frames again", camera.send
    )


def test_wrong_labels_cost_no_object(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()
    ros.wait_for(lambda: both(node), "both objects beside wrong labels", lambda: camera.send(wrong_labels))


@pytest.mark.parametrize("change", [thin_mask, hollow_mask])
def test_a_mask_without_depth_costs_no_other_object(ros, camera, start_node, change):
    node = start_node()
    camera.wait_until_heard()
    messages = ros.wait_for(
        lambda: [m for m in node.detections if m.detections], "the bowl", lambda: camera.send(change)
    )
    assert {d.results[0].hypothesis.class_id for d in messages[0].detections} == {"bowl"}
    ros.wait_for(lambda: int(node.value("rejections") or 0) > 0, "the count", lambda: camera.send(change))


@pytest.mark.parametrize(
    ("silent", "topic"),
    [
        ("color", "/rgb/image_rect_color"),
        ("depth", "/depth_registered/image_rect"),
        ("info", "/rgb/camera_info"),
        ("labels", "/segmentation/labels"),
    ],
)
def test_a_silent_topic_is_named(ros, camera, start_node, silent, topic):
    node = start_node(sync__silence_s=0.5)
    camera.wait_until_heard()
    ros.wait_for(
        lambda: "nothing on" in node.value("last_problem"), "the complaint", lambda: camera.send(leave_out=[silent])
    )
    ros.wait_for(
        lambda: node.value("last_problem").startswith(f"nothing on '{topic}' for"),
        "only that topic",
        lambda: camera.send(leave_out=[silent]),
    )
    assert node.diagnostics[-1].status[0].level == DiagnosticStatus.ERROR


@pytest.mark.parametrize("exact", [False, True])
def test_stamps_that_never_match_are_named_with_their_distance(ros, camera, start_node, exact):
    def late(messages):
        messages["depth"].header.stamp = ros_stamp(camera.stamp_ns + 400_000_000 + 7_000_000)

    node = start_node(sync__silence_s=0.5, sync__slop_s=0.001, sync__exact=exact)
    camera.wait_until_heard()
    # 407 ms = 12 frames + 11 ms: as many must have come
    ros.wait_for(lambda: "11.0 ms apart" in node.value("last_problem"), "the complaint", lambda: camera.send(late))
    complaint = node.value("last_problem")
    assert "'/rgb/image_rect_color' and '/depth_registered/image_rect' have not matched" in complaint
    assert f"{0.0 if exact else 1.0} ms are allowed" in complaint and "sync.slop_s" in complaint


def test_stamps_within_the_slop_match_and_beyond_exact_do_not(ros, camera, start_node):
    def late(messages):
        messages["depth"].header.stamp = ros_stamp(camera.stamp_ns + 5_000_000)

    node = start_node(sync__slop_s=0.01)
    camera.wait_until_heard()
    message = ros.wait_for(lambda: both(node), "detections", lambda: camera.send(late))[0]
    assert stamp_ns(message.header.stamp) in camera.sent


def test_time_that_jumps_back_starts_over(ros, camera, start_node):
    node = start_node(tracking__max_age_s=3600.0)
    camera.wait_until_heard()
    ros.wait_for(lambda: both(node), "detections", camera.send)
    camera.stamp_ns -= 500_000_000_000
    start = camera.stamp_ns
    node.detections.clear()

    def old():
        return [m for m in both(node) if stamp_ns(m.header.stamp) < start + 100_000_000_000]

    message = ros.wait_for(old, "detections of the new time", camera.send)[0]
    assert stamp_ns(message.header.stamp) > start
    assert {d.id for d in message.detections} == {"mug_1", "bowl_1"}
    ros.wait_for(lambda: "jumped back by" in node.value("last_problem"), "the report of the jump", camera.send)
    assert re.search(r"jumped back by .* s to \d+\.\d{3} s: .*has restarted", node.value("last_problem"))


def test_depth_that_comes_too_late_for_the_queue_is_named(ros, camera, start_node):
    node = start_node(sync__silence_s=0.5, sync__queue_size=2)

    def late(messages):
        messages["depth"].header.stamp = ros_stamp(camera.stamp_ns - 5 * 33_000_000)

    camera.wait_until_heard()
    ros.wait_for(lambda: "sync.queue_size" in node.value("last_problem"), "the complaint", lambda: camera.send(late))
    late_ms = re.match(r"'/depth_registered/image_rect' arrives (\d+) ms late", node.value("last_problem"))
    assert late_ms is not None and 100 < int(late_ms[1]) < 300, node.value("last_problem")


def test_a_slop_near_the_frames_period_is_warned_of(ros, camera, start_node):
    node = start_node(sync__slop_s=0.03)
    camera.wait_until_heard()
    ros.wait_for(lambda: "sync.exact" in node.value("last_problem"), "the warning", camera.send)
    assert "33.0 ms apart" in node.value("last_problem")


def test_overload_keeps_latency_and_memory_bounded_and_counts_what_it_skips(ros, camera, start_node):
    """The network processes one frame at a time while the camera continues: each time it gets the newest frame."""
    node = start_node()
    gate, begun = threading.Semaphore(0), threading.Semaphore(0)

    def hold():
        begun.release()
        assert gate.acquire(timeout=60.0)

    node.predictor.before_each = hold
    camera.wait_until_heard()
    ros.wait_for(lambda: begun.acquire(blocking=False), "the first frame", camera.send)
    gc.collect()
    memory_kb, counters = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, node.node.diagnostics.counters
    behind = []
    for _ in range(5):
        goal = counters()["frames_received"] + 20
        ros.wait_for(
            lambda goal=goal: counters()["frames_received"] >= goal, "frames on top", camera.send, every_s=0.002
        )
        newest, posed = camera.stamp_ns, len(node.detections)
        gate.release()
        ros.wait_for(lambda: begun.acquire(blocking=False), "the next frame", None)
        ros.wait_for(lambda posed=posed: len(node.detections) > posed, "the frame's detections")
        behind.append((newest, stamp_ns(node.detections[-1].header.stamp)))
    node.predictor.before_each = lambda: None
    gate.release()
    ros.wait_for(lambda: len(node.detections) >= 6, "the last frame")
    for (newest, _), (_, following) in zip(
        behind, [*behind[1:], (0, stamp_ns(node.detections[5].header.stamp))], strict=True
    ):
        assert newest - following <= 5 * 33_000_000  # the newest frame that had arrived, not the oldest of twenty

    def all_frames_counted():
        count = counters()
        done = count["frames_processed"] + count["frames_dropped"] + count["frames_failed"]
        return done == count["frames_received"]

    ros.wait_for(all_frames_counted, "an account of every frame")
    count = counters()
    assert count["frames_dropped"] >= 80
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb < 50_000
    ros.wait_for(lambda: node.value("frames_dropped") == str(count["frames_dropped"]), "diagnostics to say so")


def test_diagnostics_tell_rates_latencies_and_device(ros, camera, start_node):
    node = start_node()
    camera.wait_until_heard()
    ros.wait_for(lambda: float(node.value("frames_processed_hz") or 0) > 0, "a rate", camera.send)
    status = node.diagnostics[-1].status[0]
    assert status.hardware_id == "cpu" and status.level == DiagnosticStatus.OK and node.value("state") == "active"
    for stage in ("conversion", "segmentation", "point_cloud", "network", "tracking", "publishing", "latency"):
        assert float(node.value(f"{stage}_ms_p50")) <= float(node.value(f"{stage}_ms_p95"))
    assert node.value("device") == "cpu" and node.value("last_problem") == ""


def test_a_problem_is_logged_once_in_a_while_but_counted_each_time(ros, capfd):
    health = diagnostics.NodeDiagnostics(ros.node.get_logger())
    for number in range(30):
        health.warning("frame", f"'/depth' holds {number} bytes")
    health.warning("frame", "'/rgb' has encoding 'x'")
    lines = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    assert len(lines) == 1 and "0 bytes" in lines[0]
    values = {v.key: v.value for v in health.status("n", "cpu", {"state": "active"}).values}
    assert values["problem.frame"].startswith("31 times") and values["last_problem"] == "'/rgb' has encoding 'x'"
