"""View of a recording: the frames of a camera with the poses of a pose node, by a time slider."""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import viser

from clipose_ros.client.objects import DetectedObjects, read_detections
from clipose_ros.data.bags.message_types import DETECTIONS, decode
from clipose_ros.data.bags.recording import Recording, open_recording
from clipose_ros.data.bags.storage import find_files, read_messages
from clipose_ros.errors import CliposeError, DataError, FrameError
from clipose_ros.geometry.se3 import invert_transform
from clipose_ros.ros_tools.view.canvas import DISTANCE_M, Canvas, scaled
from clipose_ros.ros_tools.view.panel import Panel
from clipose_ros.ros_tools.view.scene import ColoredPoints, Lines, build_scene, colored_points, moved
from clipose_ros.ros_tools.view.status import note_html
from clipose_ros.ros_tools.view.trails import Trails
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray, RgbdFrame, TrackedObject
from clipose_ros.visualization.draw import draw_tracks

MAX_FRAMES = 300
"""Largest number of frames that are kept; of a longer recording, every second, fourth, eighth … is."""
_MAX_DETECTIONS = 20_000
_MAX_POINTS = 20_000
_MAX_DEPTH_M = 4.0
_IMAGE_WIDTH = 640
_HISTORY_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class BagFrame:
    """One frame of a recording, reduced to what is drawn.

    Attributes:
        stamp_ns: Stamp of the image, nanoseconds.
        detected: Objects; None if there are no poses of this image.
        trails: History of the objects.
        cloud: Points in the frame of the poses.
        rgb: ``(H, W, 3)`` annotated image.
        intrinsics: Camera of the whole image.
        T_frame_camera: ``(4, 4)`` pose of the camera in the frame of the poses.
    """

    stamp_ns: int
    detected: DetectedObjects | None
    trails: Lines
    cloud: ColoredPoints
    rgb: ByteArray
    intrinsics: CameraIntrinsics
    T_frame_camera: FloatArray


class FrameStore:
    """Frames of a recording of unknown length, evenly thinned out as it grows.

    Attributes:
        frames: Frames that are kept, in order.
    """

    def __init__(self) -> None:
        self.frames: list[BagFrame] = []
        self._stride, self._count = 1, 0

    def keeps_next(self) -> bool:
        """Count a frame, and return True if it is to be added."""
        self._count += 1
        return (self._count - 1) % self._stride == 0

    def add(self, frame: BagFrame) -> None:
        """Add the frame that was counted last."""
        self.frames.append(frame)
        if len(self.frames) > MAX_FRAMES:
            self.frames, self._stride = self.frames[::2], 2 * self._stride


class BagView(FrameStore):
    """Page with the frames of a recording, which grows while the recording is read.

    Args:
        server: Server of the page.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        super().__init__()
        self._canvas = Canvas(server)
        self.panel = Panel(server, (), self._canvas.show_layer)
        self._time = server.gui.add_slider("time, s", 0.0, 0.01, 0.01, 0.0, disabled=True, order=-1.0)
        self._time.on_update(lambda _: self.show())
        self._lock = threading.Lock()

    def add(self, frame: BagFrame) -> None:
        """Add a frame; the first one is shown."""
        with self._lock:
            super().add(frame)
        self._time.max = max(math.ceil(1e-7 * (frame.stamp_ns - self.frames[0].stamp_ns)) / 100.0, 0.01)
        if len(self.frames) == 1:
            self.show()
        else:
            self._time.disabled = False

    def seek(self, seconds: float) -> None:
        """Show the frame at a time after the first frame, seconds."""
        setattr(self._time, "value", seconds)  # noqa: B010 - mypy does not see the setter of viser
        self.show()

    def show(self) -> None:
        """Draw the frame at the time of the slider."""
        with self._lock:
            start_ns = self.frames[0].stamp_ns
            stamps = [frame.stamp_ns - start_ns for frame in self.frames]
            frame = self.frames[
                max(bisect.bisect_right(stamps, round(1e9 * float(self._time.value)) + 5_000_000) - 1, 0)
            ]
            detected = frame.detected
            self._canvas.show_scene(build_scene(detected or ()), frame.trails)
            self._canvas.show_points(frame.cloud)
            self._canvas.show_camera(frame.intrinsics, frame.T_frame_camera, frame.rgb)
            T = frame.T_frame_camera
            ahead = T @ np.array([0.0, 0.0, DISTANCE_M, 1.0])
            self._canvas.look(np.array_equal(T, np.eye(4)), T[:3, 3], ahead[:3])
            self.panel.show_image(frame.rgb)
            count = "no poses of this image" if detected is None else f"{len(detected)} objects"
            self.panel.show_status(note_html(f"{1e-9 * frame.stamp_ns:.3f} s: {count}"))


def load_frames(path: Path, poses: Path | None, store: FrameStore, report: Callable[[str], None]) -> None:
    """Read a recording and store its frames; those without poses are left out if others have some.

    Args:
        path: Recording with the topics of a camera.
        poses: Recording with ``~/detections``, such as ``process`` writes; None for ``path``.
        store: Receives the frames.
        report: Receives a line about each part that cannot be read.

    Raises:
        DataError: The recording has no camera, or no frame that can be used.
    """
    recording = open_recording(path, report=report)
    detections = read_detections_of(poses or path, report)
    trails, faults = Trails(), 0
    for recorded in recording.frames():
        detected = detections.get(recorded.stamp_ns)
        if detected is not None:
            trails.add(detected.stamp_ns, detected.frame_id, detected)
        faults += recorded.frame is None
        is_posed = detected is not None or not detections  # the node drops frames when it is slower than the camera
        if recorded.frame is None or not is_posed or not store.keeps_next():
            continue
        try:
            T = _camera_pose(recording, recorded.frame, detected)
        except FrameError as error:
            report(str(error))
            continue
        store.add(_reduce(recorded.frame, detected, T, trails.lines(_HISTORY_S)))
    if not store.frames:
        raise DataError(
            f"'{path}' has no frame that can be shown; {faults} cannot be used: see `process` for the reasons"
        )


def read_detections_of(path: Path, report: Callable[[str], None]) -> Mapping[int, DetectedObjects]:
    """Return the detections of a pose node in a recording by their stamps, at most ``_MAX_DETECTIONS``."""
    found: dict[str, dict[int, DetectedObjects]] = {}
    for message in read_messages(find_files(path), lambda channel: channel.kind == DETECTIONS, report):
        stored = found.setdefault(message.channel.topic, {})
        if len(stored) < _MAX_DETECTIONS:
            try:
                detected = read_detections(decode(message))
            except CliposeError as error:
                report(str(error))
                continue
            stored[detected.stamp_ns] = detected
    # The camera of the demo publishes the truth in the same type.
    names = sorted(found, key=lambda topic: ("truth" in topic, topic))
    return found[names[0]] if names and "truth" not in names[0] else {}


def _camera_pose(recording: Recording, frame: RgbdFrame, detected: DetectedObjects | None) -> FloatArray:
    if detected is None or detected.frame_id == frame.frame_id:
        return np.eye(4)
    return recording.transforms.lookup(detected.frame_id, frame.frame_id, frame.stamp_ns)


def _reduce(frame: RgbdFrame, detected: DetectedObjects | None, T: FloatArray, trails: Lines) -> BagFrame:
    """Return what is drawn of a frame."""
    T_camera_frame = invert_transform(T)
    tracks = [
        TrackedObject(
            k, item.category, T_camera_frame @ item.T_frame_object, item.size, item.score, item.covariance, 0.0, True
        )
        for k, item in enumerate(detected or ())
    ]
    rgb = scaled(draw_tracks(frame.rgb, tracks, frame.intrinsics), _IMAGE_WIDTH)
    cloud = moved(colored_points(frame, _MAX_POINTS, _MAX_DEPTH_M), T)
    return BagFrame(frame.stamp_ns, detected, trails, cloud, rgb, frame.intrinsics, T)
