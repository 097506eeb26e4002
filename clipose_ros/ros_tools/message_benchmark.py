"""Message stages of a frame as callables for benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from std_msgs.msg import Header

from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import INPUT_TOPICS, FrameMessages
from clipose_ros.ros.conversions import image_message
from clipose_ros.ros.markers import Markers
from clipose_ros.ros.messages import ObjectMessages
from clipose_ros.ros_tools.camera_publisher import camera_messages
from clipose_ros.types import RgbdFrame, TrackedObject

_LIFETIME_S = 0.5


def message_stages(frame: RgbdFrame, tracks: Sequence[TrackedObject]) -> dict[str, Callable[[], object]]:
    """Return the callable of each stage by name.

    Args:
        frame: Frame with a ``frame_id``.
        tracks: Tracks to publish.
    """
    camera = camera_messages(frame)
    incoming = FrameMessages(camera.color, camera.depth, camera.info, camera.labels)
    header, objects, markers = Header(frame_id=frame.frame_id), ObjectMessages(), Markers()

    def outgoing() -> None:
        objects.fill(header, tracks, "")
        markers.update(header, tracks, objects.poses.poses, (), _LIFETIME_S)

    return {
        "read messages": lambda: read_frame(incoming, INPUT_TOPICS),
        "write messages": outgoing,
        "write image message": lambda: image_message(frame.rgb, "rgb8", header),
    }
