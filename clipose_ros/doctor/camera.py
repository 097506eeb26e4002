"""Checks of the camera topics, with the subscriptions, the matching and the frame checks of the pose node."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from clipose_ros.config import PoseNodeConfig
from clipose_ros.decoding.calibration import CalibrationReader
from clipose_ros.decoding.frame_checks import (
    describe_camera_axes,
    describe_camera_frame,
    describe_depth_unit,
    describe_shift,
)
from clipose_ros.decoding.frames import read_frame
from clipose_ros.decoding.messages import FrameMessages
from clipose_ros.doctor.row import Row, State
from clipose_ros.errors import CliposeError, FrameError, quoted
from clipose_ros.geometry.alignment import DepthShift, ShiftDetector
from clipose_ros.geometry.frame_checks import median_depth
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.inputs import InputCallbacks, InputSubscriptions
from clipose_ros.ros.transforms import Transforms
from clipose_ros.ros.transport import Transport
from clipose_ros.types import RgbdFrame
from clipose_ros.user_folders import ensure_ros_log_folder

DISCOVERY_S = 5.0
"""Longest wait for the first message, which takes longer the more nodes there are, seconds."""
_CHECK_PERIOD_S = 0.5
_TF_TIMEOUT_S = 0.5
_MIN_MATCHED = 0.5
"""Least fraction of the frames of the rarest topic that match without a problem, as in the node."""
_DETECT_ONCE = "/detect_once"
_NO_FRAME = "no usable frame arrived"


class ProblemCollector(NodeDiagnostics):
    """Diagnostics that are kept by kind, and not logged.

    Attributes:
        warnings: Newest problem of each kind.
        hints: Newest hint of each kind.
    """

    def __init__(self, node: Node) -> None:
        super().__init__(node.get_logger())
        self.warnings: dict[str, str] = {}
        self.hints: dict[str, str] = {}

    def warning(self, key: str, message: str) -> None:
        """Keep a problem."""
        self.warnings[key] = message

    def hint(self, key: str, message: str) -> None:
        """Keep a hint."""
        self.hints[key] = message

    def exception(self, key: str, what: str, error: Exception) -> str:
        """Keep an unexpected exception as a problem."""
        self.warnings[key] = f"{what} was left out: {type(error).__name__}: {error}"
        return self.warnings[key]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A usable frame and its messages."""

    frame: RgbdFrame
    messages: FrameMessages


class CameraProbe:
    """Subscriber to the camera that examines each matched set as the pose node does.

    Args:
        node: Node that subscribes; its remappings hold.
        config: Settings of the pose node.
    """

    def __init__(self, node: Node, config: PoseNodeConfig) -> None:
        self._node, self._config = node, config
        self.problems = ProblemCollector(node)
        self.sets = 0
        self._seen: _Seen | None = None
        self._shift: DepthShift | None = None
        self._calibrations = CalibrationReader(config.sync.rectify, partial(self.problems.hint, "calibration"))
        self._shifts = ShiftDetector()
        frames = config.publish.target_frame, config.tracking.frame
        self._transforms = Transforms(node, *frames, report=partial(self.problems.warning, "tf"))
        callbacks = InputCallbacks(self._on_set, lambda: None)
        self._inputs = InputSubscriptions(node, config.sync, "", callbacks, self.problems)

    def listen(self, seconds: float) -> None:
        """Spin the node for so long after the first message; nothing that comes ends it."""
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        end_s, checked_s, has_begun = time.monotonic() + max(seconds, DISCOVERY_S), 0.0, False
        while (now_s := time.monotonic()) < end_s:
            if not has_begun and any(self._inputs.rates_hz().values()):
                has_begun, end_s = True, now_s + seconds
                self.problems.warnings.clear()  # of the silence before
            try:
                executor.spin_once(timeout_sec=0.1)
                if now_s - checked_s >= _CHECK_PERIOD_S:
                    checked_s = now_s
                    self._inputs.check()
            except ExternalShutdownException:
                break
            except Exception as error:  # noqa: BLE001 - a message that rclpy cannot convert
                self.problems.exception("callback", "a message", error)
        executor.shutdown(timeout_sec=0.0)

    def rows(self, seconds: float) -> Iterator[Row]:
        """Yield what was found; ``listen`` comes before."""
        yield from self._topic_rows()
        yield self._matching_row(seconds)
        yield from self._problem_rows()
        yield from self._frame_rows()

    def close(self) -> None:
        """Unsubscribe."""
        self._inputs.close()
        self._transforms.close()

    def _on_set(self, messages: FrameMessages) -> None:
        self.sets += 1
        try:
            frame = read_frame(messages, self._inputs.topics, self._calibrations)
            self._shift = self._shifts.update(frame)
        except FrameError as error:
            self.problems.warning("frame", str(error))
        except Exception as error:  # noqa: BLE001 - as in the node, one frame is left out
            self.problems.exception("frame", "a frame", error)
        else:
            self._seen = _Seen(frame, messages)

    def _topic_rows(self) -> Iterator[Row]:
        """Yield the rate of each topic, or why it is silent."""
        topics, rates = self._inputs.topics, self._inputs.rates_hz()
        color_type = CompressedImage if self._config.sync.compressed else Image
        transport = Transport(self._node, {topics.color: color_type, topics.depth: Image, topics.info: CameraInfo})
        for topic, rate_hz in rates.items():
            publishers = self._node.count_publishers(topic)
            found = f"{rate_hz:.1f} Hz, {publishers} publisher{'' if publishers == 1 else 's'}"
            if rate_hz == 0.0:
                advice = transport.explain_silence(topic, any(rates.values()))
                yield Row(f"topic {topic}", State.PROBLEM, found, advice)
            elif publishers > 1:
                yield Row(f"topic {topic}", State.HINT, found, "stop all publishers but one (ros2 topic info -v)")
            else:
                yield Row(f"topic {topic}", State.OK, found)

    def _matching_row(self, seconds: float) -> Row:
        """Return how many sets have matched, of those that the rarest topic allows."""
        expected = seconds * min(self._inputs.rates_hz().values())
        found = f"{self.sets} sets of colour, depth and camera_info in {seconds:g} s, of about {expected:.0f}"
        if self.sets and self.sets >= _MIN_MATCHED * expected:
            return Row("matched sets", State.OK, found)
        advice = (
            "see the other rows; synchronise the drivers, or raise sync.slop_s while it stays below the frame interval"
        )
        return Row("matched sets", State.PROBLEM, found, advice)

    def _problem_rows(self) -> Iterator[Row]:
        """Yield the problems and hints that the parts of the node have reported."""
        is_silent = not any(self._inputs.rates_hz().values())
        for kind, text in self.problems.warnings.items():
            if kind != "sync" or not is_silent:  # else the rows of the topics say so
                yield _split(kind, State.PROBLEM, text)
        if is_silent:
            yield Row("clock", State.UNKNOWN, _NO_FRAME, "see the rows of the topics")
        elif "clock" not in self.problems.warnings:
            hint = self.problems.hints.get("clock")
            fits = Row("clock", State.OK, "stamps fit the clock of this machine")
            yield _split("clock", State.HINT, hint) if hint else fits

    def _frame_rows(self) -> Iterator[Row]:
        """Yield the checks of the newest usable frame."""
        if self._seen is None:
            for check in ("images", "camera frame", "depth unit", "depth registration", "rectification"):
                yield Row(check, State.UNKNOWN, _NO_FRAME, "see the rows above")
            return
        frame, messages, topics = self._seen.frame, self._seen.messages, self._inputs.topics
        camera, encoding = frame.intrinsics, getattr(messages.color, "encoding", "compressed")
        encodings = f"{quoted(encoding)} and {quoted(messages.depth.encoding)}"
        found = f"{camera.width}x{camera.height}, {encodings}, fx {camera.fx:.1f}"
        yield Row("images", State.OK, found)
        yield from self._camera_frame_rows(frame)
        unit = describe_depth_unit(messages.depth, frame, topics.depth)
        median = f"median depth {median_depth(frame.depth):.3f} m"
        yield _split("depth unit", State.PROBLEM, unit) if unit else Row("depth unit", State.OK, median)
        if self._shift is None:
            yield Row("depth registration", State.OK, "no shift of depth against colour was found")
        else:
            text = describe_shift(self._shift.right, self._shift.down, topics.depth, topics.color)
            yield _split("depth registration", State.PROBLEM, text)
        for warning in self._calibrations.warnings:
            yield _split("calibration", State.PROBLEM, warning)
        note = self.problems.hints.get("calibration")
        rectified = Row("rectification", State.OK, "the images are taken as rectified: D is 0, or their topics say so")
        yield _split("rectification", State.HINT, note) if note else rectified

    def _camera_frame_rows(self, frame: RgbdFrame) -> Iterator[Row]:
        """Yield whether the frame of the images is an optical frame, by its name and by its axes in TF."""
        hint = describe_camera_frame(frame.frame_id)
        name = Row("camera frame", State.OK, quoted(frame.frame_id))
        yield _split("camera frame", State.HINT, hint) if hint else name
        settings = {
            "publish.target_frame": self._config.publish.target_frame, "tracking.frame": self._config.tracking.frame,
        }  # fmt: skip
        for parameter, target in settings.items():
            if not target:
                continue
            try:
                T = self._transforms.lookup(target, frame.frame_id, frame.stamp_ns, _TF_TIMEOUT_S, parameter)
            except CliposeError as error:
                yield _split(parameter, State.PROBLEM, str(error))
                continue
            turned = describe_camera_axes(frame.frame_id, target, T)
            found = Row(parameter, State.OK, f"{quoted(target)} is in TF")
            yield _split(parameter, State.PROBLEM, turned) if turned else found


def check_camera(arguments: Sequence[str], seconds: float, config: PoseNodeConfig) -> Iterator[Row]:
    """Listen to the camera topics and yield what was found, and which pose nodes there are.

    Args:
        arguments: Arguments of ROS, such as remappings.
        seconds: Time to listen, seconds.
        config: Settings of the pose node.
    """
    ensure_ros_log_folder()
    context = rclpy.Context()
    # Ctrl-C ends the command, not only ROS.
    try:
        rclpy.init(args=list(arguments), context=context, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # RCLError has no public name
        advice = "check the arguments after --ros-args, and that ROS_LOG_DIR, or HOME, is a writable folder"
        yield Row("camera", State.PROBLEM, f"ROS cannot be initialised: {error}", advice)
        return
    try:
        node = Node("doctor", context=context, enable_rosout=False, start_parameter_services=False)
        sync = replace(config.sync, timeout_s=max(0.5, 0.5 * seconds))  # silence is told within the time to listen
        probe = CameraProbe(node, replace(config, sync=sync))
        probe.listen(seconds)
        yield from probe.rows(seconds)
        yield _find_pose_nodes(node)
        probe.close()
        node.destroy_node()
    finally:
        with contextlib.suppress(RuntimeError):
            rclpy.shutdown(context=context)


def _find_pose_nodes(node: Node) -> Row:
    names = [name for name, _ in node.get_service_names_and_types() if name.endswith(_DETECT_ONCE)]
    nodes = ", ".join(sorted(name.removesuffix(_DETECT_ONCE) for name in names))
    return Row("pose node", State.OK, nodes or "none runs")


def _split(check: str, state: State, text: str) -> Row:
    """Return a row of a message of this package, whose first colon stands between what was found and the remedy."""
    found, _, advice = text.partition(": ")
    return Row(check, state, found, advice)
