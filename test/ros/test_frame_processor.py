"""One frame from messages to published poses, over DDS, without the node around it."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import pytest
from box_pose_node import BoxPredictor, box_pipeline
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from clipose_ros.config import PoseNodeConfig
from clipose_ros.decoding.messages import FrameMessages, Topics, stamp_ns
from clipose_ros.errors import FrameError, SegmentationError
from clipose_ros.geometry.alignment import EVERY_N
from clipose_ros.ros.conversions import image_message
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.frame_processor import FrameProcessor, RosInterfaces
from clipose_ros.ros.publishers import Publishers
from clipose_ros.ros.transforms import Transforms
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import TrackedObject

TOPICS = Topics("/color", "/depth", "/info", "/labels", "/boxes")
STAGES = ("conversion", "segmentation", "point_cloud", "network", "tracking", "publishing")


class Processing:
    """A frame processor with a lifecycle node for its publishers."""

    def __init__(self, ros, camera, config: PoseNodeConfig) -> None:
        self.camera, self.config = camera, config
        self.node = LifecycleNode("processor_test")
        self.diagnostics = NodeDiagnostics(self.node.get_logger())
        pipeline = box_pipeline(config, BoxPredictor())
        self.transforms = Transforms(self.node, config.tracking.frame, config.publish.target_frame)
        publishers = Publishers(self.node, pipeline.predictor.categories)
        interfaces = RosInterfaces(TOPICS, self.transforms, publishers, self.diagnostics)
        self.processor = FrameProcessor(pipeline, config, interfaces)
        self.node.trigger_configure()
        self.node.trigger_activate()
        self.detections = ros.listen(Detection3DArray, "processor_test/detections")
        topic = ros.node.resolve_topic_name("processor_test/detections")
        ros.wait_for(lambda: self.node.count_subscribers(topic) >= 1, "the subscription to the detections")

    def process(self, change=None, confirm: bool = False) -> list[str]:
        """Process the next frame of the camera, perhaps changed; return the names of the published tracks."""
        self.camera.stamp_ns += 33_000_000
        messages = self.camera.scene()
        if change is not None:
            change(messages)
        frame = FrameMessages(messages["color"], messages["depth"], messages["info"], messages["labels"])
        return [track.name for track in self.estimate(frame, confirm)]

    def estimate(self, frame: FrameMessages, confirm: bool) -> Sequence[TrackedObject]:
        """Both steps of a frame."""
        return self.processor.estimate(self.processor.detect(frame, self.config), confirm)

    def reconfigure(self, **sections) -> None:
        """Apply changed settings, given as ``tracking={"min_hits": 3}``."""
        for section, values in sections.items():
            changed = dataclasses.replace(getattr(self.config, section), **values)
            self.config = dataclasses.replace(self.config, **{section: changed})

    def values(self) -> dict[str, str]:
        """The diagnostics by key."""
        status = self.diagnostics.status("processor", "cpu", {"state": "active"})
        return {value.key: value.value for value in status.values}

    def stop(self) -> None:
        self.transforms.close()
        self.node.destroy_node()


@pytest.fixture
def start(ros, camera):
    """Makes processors; sections of settings are given by name."""
    started = []

    def make(**sections) -> Processing:
        config = PoseNodeConfig.from_mapping({"segmentation": {"backend": "labels"}, **sections})
        started.append(Processing(ros, camera, config))
        return started[-1]

    yield make
    for processing in started:
        processing.stop()


def without_mug(messages):
    pixels = np.frombuffer(messages["labels"].data, "<u2")
    pixels[pixels == 6001] = 0


def hollow_mug(messages):
    labels = np.frombuffer(messages["labels"].data, "<u2")
    np.frombuffer(messages["depth"].data, "<u2")[labels == 6001] = 0


def test_the_returned_tracks_are_published_under_the_stamp_of_the_image(ros, camera, start):
    processing = start(tracking={"min_hits": 1})
    assert sorted(processing.process()) == ["bowl_1", "mug_1"]
    (message,) = ros.wait_for(lambda: processing.detections, "the detections")
    assert {detection.id for detection in message.detections} == {"bowl_1", "mug_1"}
    assert stamp_ns(message.header.stamp) == camera.stamp_ns and message.header.frame_id == "camera_optical"
    values = processing.values()
    assert all(float(values[f"{stage}_ms_p50"]) >= 0.0 for stage in STAGES)
    assert values["last_problem"] == "" and "rejections" not in values


def test_objects_are_published_after_min_hits_unless_the_frame_was_requested(ros, start):
    processing = start(tracking={"min_hits": 3})
    assert processing.process() == []
    assert sorted(processing.process(confirm=True)) == ["bowl_1", "mug_1"]
    processing.processor.reset()
    assert [len(processing.process()) for _ in range(3)] == [0, 0, 2]


def test_reset_restarts_the_names(ros, camera, start):
    processing = start(tracking={"min_hits": 1, "max_age_s": 0.1})
    processing.process()
    for _ in range(5):
        assert processing.process(without_mug) == ["bowl_1"]
    assert sorted(processing.process()) == ["bowl_1", "mug_2"], "the first mug's track is older than max_age_s"
    processing.processor.reset()
    assert sorted(processing.process()) == ["bowl_1", "mug_1"]


def test_changed_settings_reach_pipeline_tracker_and_publication(ros, start):
    processing = start(tracking={"min_hits": 1, "max_age_s": 10.0})
    processing.process()
    assert processing.process(without_mug) == ["bowl_1"]
    processing.reconfigure(publish={"coasting": True})
    assert sorted(processing.process(without_mug)) == ["bowl_1", "mug_1"], "a coasting track is published"
    processing.config = dataclasses.replace(processing.config, categories=("mug",))
    processing.reconfigure(publish={"coasting": False})
    assert processing.process() == ["mug_1"]
    processing.reconfigure(tracking={"min_hits": 9})
    processing.processor.reset()
    assert processing.process() == []


def test_a_rejection_is_counted_and_described_with_topic_and_remedy(ros, start):
    processing = start(tracking={"min_hits": 1})
    assert processing.process(hollow_mug) == ["bowl_1"]
    values = processing.values()
    assert values["rejections"] == values["rejections.no_depth"] == "1"
    assert (
        values["last_problem"].startswith("'/depth': a mug got no pose")
        and "cloud.depth_min_m" in (values["last_problem"])
    )


def test_an_unknown_label_names_the_label_topic(ros, start):
    def mislabel(messages):
        np.frombuffer(messages["labels"].data, "<u2").reshape(120, 160)[:9, :9] = 42

    processing = start(tracking={"min_hits": 1})
    assert sorted(processing.process(mislabel)) == ["bowl_1", "mug_1"]
    assert processing.values()["last_problem"].startswith("'/labels': ") and "42" in processing.values()["last_problem"]


def test_a_low_score_is_counted_without_a_warning(ros, start):
    processing = start(tracking={"min_hits": 1}, check={"score_threshold": 0.95})
    assert processing.process() == []
    values = processing.values()
    assert values["rejections.low_score"] == "2" and values["last_problem"] == ""


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda messages: setattr(messages["color"], "encoding", "64FC1"), FrameError, "'/color' has encoding"),
        (lambda messages: messages.update(labels=None), SegmentationError, "'/color': backend 'labels' needs"),
    ],
)
def test_unusable_input_is_named_by_its_topic_and_nothing_is_published(ros, start, change, error, message):
    processing = start(tracking={"min_hits": 1})
    with pytest.raises(error, match=message):
        processing.process(change)
    processing.process()
    ros.wait_for(lambda: processing.detections, "the next frame's detections")
    assert len(processing.detections) == 1


@pytest.mark.parametrize("setting", [("tracking", "frame"), ("publish", "target_frame")])
def test_a_missing_transform_is_named_by_its_parameter(ros, start, setting):
    section, name = setting
    processing = start(**{section: {name: "base", **({"min_hits": 1} if section == "tracking" else {})}})
    with pytest.raises(FrameError, match=rf"'base' \({section}\.{name}\)"):
        processing.process()


@pytest.mark.parametrize("field", ["T_frame_object", "covariance", "size", "score"])
def test_an_object_with_a_value_that_is_not_finite_is_left_out(start, monkeypatch, field):
    processing = start(tracking={"min_hits": 1})
    update = Tracker.update

    def spoil(self, *arguments, **options):
        first, *others = update(self, *arguments, **options)
        value = getattr(first, field)
        return [dataclasses.replace(first, **{field: value * float("nan")}), *others]

    monkeypatch.setattr(Tracker, "update", spoil)
    assert len(processing.process()) == 1
    assert (
        processing.values()["objects_not_finite"] == "1" and "not finite" in processing.values()["problem.not_finite"]
    )


def in_millimetres(messages):
    depth = np.frombuffer(messages["depth"].data, "<u2").reshape(120, 160).astype(np.float32)
    messages["depth"] = image_message(depth, "32FC1", messages["depth"].header)


def test_depth_of_another_unit_is_named_with_its_median(start):
    processing = start()
    assert processing.process(in_millimetres) == []
    values = processing.values()
    assert "median depth of 2000 m: 32FC1 is metres" in values["problem.depth_unit"]
    assert "make sense as millimetres" in values["problem.depth_unit"] and "'/depth'" in values["problem.depth_unit"]
    assert re.search(r"\(median [58]24(\.5)? m\)", values["problem.rejection.no_depth"])


def test_a_doubtful_calibration_is_reported_with_every_frame(start):
    def off_centre(messages):
        messages["info"].p[2] = 10.0

    processing = start(tracking={"min_hits": 1})
    assert len(processing.process(off_centre)) == 2 and len(processing.process(off_centre)) == 2
    assert processing.values()["problem.calibration"].startswith("2 times")
    assert "principal point (10.0, 59.5)" in processing.values()["problem.calibration"]


def test_a_distorted_camera_gives_the_poses_of_the_rectified_one(start):
    """Colour, depth and labels are distorted alike, as by a driver that aligns depth to its raw colour image."""

    def distorted(messages):
        info = messages["info"]
        info.d, fx, cx, cy = [0.3, 0.1, 0.0, 0.0, 0.0], 120.0, 79.5, 59.5
        u, v = np.meshgrid(np.arange(160), np.arange(120))
        x, y = (u - cx) / fx, (v - cy) / fx
        there = x, y
        for _ in range(50):
            factor = 1 + 0.3 * (x * x + y * y) + 0.1 * (x * x + y * y) ** 2
            x, y = there[0] / factor, there[1] / factor
        source = np.clip(np.stack([x * fx + cx, y * fx + cy]).round().astype(int), 0, [[[159]], [[119]]])
        for name, kind in (("depth", "16UC1"), ("labels", "16UC1")):
            pixels = np.frombuffer(messages[name].data, "<u2").reshape(120, 160)
            messages[name] = image_message(pixels[source[1], source[0]], kind, messages[name].header)

    plain, bent, unaware = start(), start(), start(sync={"rectify": "never"})
    positions = []
    for processing, change in ((plain, None), (bent, distorted), (unaware, distorted)):
        messages = processing.camera.scene()
        if change is not None:
            change(messages)
        frame = FrameMessages(messages["color"], messages["depth"], messages["info"], messages["labels"])
        tracks = processing.estimate(frame, confirm=True)
        positions.append(np.array([track.T_frame_object[:3, 3] for track in tracks]))
    np.testing.assert_allclose(positions[1], positions[0], atol=0.004)
    assert np.abs(positions[2] - positions[0]).max() > 0.004


def test_an_x_forward_camera_frame_is_told_by_tf(ros, start):
    static = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    level = TransformStamped(child_frame_id="camera_link")
    level.header.frame_id, level.transform.rotation.w = "base", 1.0
    broadcaster = ros.node.create_publisher(TFMessage, "/tf_static", static)
    broadcaster.publish(TFMessage(transforms=[level]))
    processing = start(tracking={"frame": "base"})
    ros.executor.add_node(processing.node)

    def rename(messages):
        for message in messages.values():
            message.header.frame_id = "camera_link"

    def send():
        with contextlib.suppress(FrameError):  # until TF has arrived
            processing.process(rename)

    ros.wait_for(lambda: "problem.camera_frame" in processing.values(), "the warning", send)
    ros.executor.remove_node(processing.node)
    assert "'camera_link' points upward in 'base'" in processing.values()["problem.camera_frame"]


def test_depth_that_is_shifted_against_colour_is_told_after_some_frames(start):
    def shifted(messages):
        pixels = np.frombuffer(messages["depth"].data, "<u2").reshape(120, 160)
        messages["depth"] = image_message(np.roll(pixels, 4, axis=1), "16UC1", messages["depth"].header)

    processing = start()
    for change in (None, shifted):
        assert "problem.alignment" not in processing.values()
        for _ in range(5 * EVERY_N):
            processing.process(change)
    warning = processing.values()["problem.alignment"]
    assert "'/depth' lie 4 pixels right of and 0 pixels below those of '/color'" in warning and "align_depth" in warning
