"""Memory does not grow with the number of frames."""

from __future__ import annotations

import gc
import sys

import pytest
from sensor_msgs.msg import Image, PointCloud2

from clipose_ros.ros import sync_monitor, topic_history

SETTLING = 130  # frames: figures for diagnostics look back on 120
FRAMES = 200


@pytest.mark.timeout(300)
def test_memory_stays_as_it_is(ros, camera, start_node, monkeypatch: pytest.MonkeyPatch) -> None:
    # The last seconds of arrivals are kept: as many as the machine has time for.
    monkeypatch.setattr(topic_history, "WINDOW_S", 0.2)
    monkeypatch.setattr(sync_monitor, "WINDOW_S", 0.2)
    # The buffer of transforms keeps ten seconds: as many as the machine has time for.
    node = start_node(publish__tf=False, segmentation__parallel="always")
    received = [
        node.detections,
        node.diagnostics,
        camera.sent,
        ros.listen(PointCloud2, "pose_node/object_cloud"),
        ros.listen(Image, "pose_node/debug_image"),
    ]
    camera.wait_until_heard()

    def answered(stamp_ns: int) -> bool:
        stamps = (message.header.stamp for message in node.detections[-3:])
        return any(stamp.sec * 1_000_000_000 + stamp.nanosec >= stamp_ns for stamp in stamps)

    def pose(frames: int) -> int:
        """Blocks of memory that Python holds after so many frames, without what this test itself received."""
        for _ in range(frames):
            stamp = camera.send()
            ros.wait_for(lambda stamp=stamp: answered(stamp), "the frame's answer", camera.send, every_s=2.0)
        for messages in received:
            messages.clear()
        gc.collect()
        return sys.getallocatedblocks()

    def held() -> int:
        """The least of some: a frame may be in work, or wait for its partners, at the moment of looking."""
        return min(pose(4) for _ in range(5))

    pose(SETTLING)
    before = held()
    pose(FRAMES)
    grown = held() - before
    # even a stamp that is kept takes more than a block a frame
    assert grown < FRAMES
