"""A recording, a folder of frames and the live node give the same poses."""

from __future__ import annotations

import numpy as np
from bag_files import FRAME, START_NS, STEP_NS, Messages, scene, write_bag
from box_pose_node import BoxPredictor
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.data.bags.recording import open_recording
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.decoding.messages import INPUT_TOPICS, stamp_ns
from clipose_ros.evaluation.runs.recording_poses import RecordingProcessor
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.ros.conversions import camera_info_message, image_message, ros_stamp
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import InstanceMask

FRAMES = 6


class ColourSegmenter:
    """Finds the blocks of the scene by their colour: folders of frames have no labels."""

    def reconfigure(self, config):
        pass

    def segment(self, frame):
        block = frame.rgb[..., 1] == 200
        left = np.arange(160) < 70
        return [InstanceMask.from_full(name, 0.9, block & side) for name, side in (("mug", left), ("bowl", ~left))]


SETTINGS = {"tracking.min_hits": 1, "network.budget_ms": 0.0}


def make_pipeline(config):
    return PosePipeline(ColourSegmenter(), BoxPredictor(), config)


def poses_of_recording(path):
    config = PoseNodeConfig.from_mapping(nest(SETTINGS))
    processor = RecordingProcessor(open_recording(path), make_pipeline(config), config)
    return {
        item.stamp_ns: {t.name: (t.T_frame_object, t.size) for t in item.published.tracks} for item in processor.run()
    }


def poses_of_folder(folder):
    config = PoseNodeConfig.from_mapping(nest(SETTINGS))
    pipeline, tracker, frames, found = make_pipeline(config), Tracker(config.tracking, NOCS_CATEGORIES), None, {}
    frames = open_rgbd_folder(folder)
    for number in range(len(frames)):
        stamp = START_NS + number * STEP_NS
        result = pipeline.process(
            frames.read(number, stamp_ns=stamp, frame_id=FRAME), lambda clouds: tracker.compute_doubt(clouds, np.eye(4))
        )
        found[stamp] = {t.name: (t.T_frame_object, t.size) for t in tracker.update(result, stamp, np.eye(4)) if t.seen}
    return found


def test_recording_folder_and_live_node_give_the_same_poses(tmp_path, ros, start_node):
    frames = [scene(START_NS + number * STEP_NS) for number in range(FRAMES)]
    makers = Messages()
    bag = write_bag(tmp_path / "bag", [item for frame in frames for item in makers.camera(frame)])
    writer = RgbdFolderWriter(tmp_path / "folder")
    for frame in frames:
        writer.write(frame)
    by_bag, by_folder = poses_of_recording(bag), poses_of_folder(tmp_path / "folder")

    node = start_node(started=False, segmentation__backend="yolo", network__budget_ms=0.0)
    node.make_pipeline = make_pipeline
    assert node.node.start()
    publish = {
        "color": ros.node.create_publisher(Image, INPUT_TOPICS.color, 10),
        "depth": ros.node.create_publisher(Image, INPUT_TOPICS.depth, 10),
        "info": ros.node.create_publisher(CameraInfo, INPUT_TOPICS.info, 10),
    }
    ros.wait_for(lambda: all(p.get_subscription_count() for p in publish.values()), "the node's subscriptions")
    by_node = {}
    for number, frame in enumerate(frames):
        header = Header(stamp=ros_stamp(frame.stamp_ns), frame_id=FRAME)
        publish["info"].publish(camera_info_message(frame.intrinsics, header))
        publish["color"].publish(image_message(frame.rgb, "rgb8", header))
        publish["depth"].publish(image_message(frame.depth, "32FC1", header))
        ros.wait_for(lambda count=number: len(node.detections) > count, "the answer to a frame")
    for message in node.detections:
        by_node[stamp_ns(message.header.stamp)] = {d.id: d.bbox for d in message.detections}

    assert set(by_bag) == set(by_folder) == set(by_node) == {frame.stamp_ns for frame in frames}
    for stamp, tracks in by_bag.items():
        assert set(tracks) == set(by_folder[stamp]) == set(by_node[stamp]) == {"mug_1", "bowl_1"}
        for name, (T, size) in tracks.items():
            np.testing.assert_allclose(T, by_folder[stamp][name][0], atol=1e-9)
            np.testing.assert_allclose(size, by_folder[stamp][name][1], atol=1e-9)
            box = by_node[stamp][name]
            centre, extent = box.center.position, box.size
            np.testing.assert_allclose(T[:3, 3], [centre.x, centre.y, centre.z], atol=1e-9)
            np.testing.assert_allclose(size, [extent.x, extent.y, extent.z], atol=1e-9)
