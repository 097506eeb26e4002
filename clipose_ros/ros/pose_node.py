"""The pose node: wiring and lifecycle, nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import Header

from clipose_ros.config import PoseNodeConfig
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.ros.conversions import FrameMessages, stamp_ns
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.frame_processor import FrameProcessor
from clipose_ros.ros.inputs import InputSubscriptions, input_topics
from clipose_ros.ros.parameters import NodeParameters
from clipose_ros.ros.publishers import Publishers
from clipose_ros.ros.services import DetectOnceService, EnableService, Outcome, refuse_invalid_transitions
from clipose_ros.ros.shutdown import until_shutdown
from clipose_ros.ros.transforms import Transforms
from clipose_ros.ros.worker import ExceptionRelay, Worker


@dataclass(frozen=True, slots=True)
class _Job:
    """A matched set on its way to the worker."""

    number: int
    messages: FrameMessages


@dataclass(frozen=True, slots=True)
class _Configured:
    """What the node holds from configuration to clean-up."""

    pipeline: PosePipeline
    transforms: Transforms
    publishers: Publishers
    poser: FrameProcessor


@dataclass(frozen=True, slots=True)
class _Active:
    """What the node holds from activation to deactivation."""

    worker: Worker[_Job]
    inputs: InputSubscriptions


class PoseNode(LifecycleNode):
    """RGB-D in, object poses out.

    Spin it with a ``SingleThreadedExecutor``: no callback waits for a frame, and an executor of several threads takes
    the interpreter from the worker so often that a frame takes twice as long.
    """

    def __init__(
        self, *, pipeline_factory: Callable[[PoseNodeConfig], PosePipeline] = PosePipeline.from_config, **kwargs: Any
    ) -> None:
        """Declare parameters, services and diagnostics; everything else waits for ``configure``.

        Args:
            pipeline_factory: Builds what poses frames.
            kwargs: As ``rclpy.lifecycle.LifecycleNode`` takes them.

        Raises:
            ConfigError: A parameter was given a value that it cannot have.
        """
        super().__init__("pose_node", **kwargs)
        self._make_pipeline = pipeline_factory
        self._configured: _Configured | None = None
        self._active: _Active | None = None
        self._alarm = ExceptionRelay(self)
        self._health = NodeDiagnostics(self.get_logger())
        self._detect_once = DetectOnceService(
            self
        )  # before the parameters: where they are refused, the node is destroyed as it is
        self.parameters = NodeParameters(self)
        self.parameters.restrict(is_configured=lambda: self._configured is not None, validate=self._check_categories)
        for warning in self.parameters.warnings:
            self.get_logger().warning(warning)
        EnableService(self)
        refuse_invalid_transitions(self, self._health)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # also while sim time rests
        self.create_timer(1.0, self._on_timer, clock=steady)

    def start(self) -> bool:
        """Configure and activate without a lifecycle manager.

        Returns:
            Whether the node is active now; the reason why not is in the log.
        """
        success = TransitionCallbackReturn.SUCCESS
        started = self.trigger_configure() == success and self.trigger_activate() == success
        self._alarm.check()
        return started

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and make the publishers; fail with one clear error where that cannot be."""
        with self._alarm:
            try:
                self._configured = self._acquire(self.parameters.config)
            except CliposeError as error:
                self._health.error("configure", f"cannot configure: {error}")
                return TransitionCallbackReturn.FAILURE
            self._health.resolved("configure")
            predictor = self._configured.pipeline.predictor
            self.get_logger().info(f"configured on {predictor.device} for {', '.join(predictor.categories.names)}")
            return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and begin to work."""
        with self._alarm:
            result = super().on_activate(state)
            self._begin()
            return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, let the frame in work end, delete the markers, fall silent."""
        with self._alarm:
            self._fall_silent()
            return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what ``configure`` acquired."""
        with self._alarm:
            self._release()
            return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything, whatever the state."""
        with self._alarm:
            self._fall_silent()
            self._release()
            return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything after a bug in a transition, which the alarm brings to light."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Give back everything, then the node itself."""
        self._release()
        super().destroy_node()

    def _acquire(self, config: PoseNodeConfig) -> _Configured:
        pipeline = self._make_pipeline(config)
        transforms = Transforms(self, config.tracking.frame, config.publish.target_frame)
        publishers = Publishers(self, pipeline.predictor.categories)
        topics = input_topics(self, config.sync.compressed)
        poser = FrameProcessor(pipeline, config, topics, transforms, publishers, self._health)
        return _Configured(pipeline, transforms, publishers, poser)

    def _begin(self) -> None:
        assert self._configured is not None
        config, poser = self.parameters.config, self._configured.poser
        poser.reset()
        self._configured.transforms.clear()  # nobody watched the time while the node was inactive
        self._detect_once.open()
        worker: Worker[_Job] = Worker(lambda job: self._work(job, poser), self._alarm)
        with_labels = config.segmentation.backend == "labels"
        on_jump = self._configured.transforms.clear
        inputs = InputSubscriptions(
            self, config.sync, with_labels, lambda messages: self._on_set(messages, worker), on_jump, self._health
        )
        self._active = _Active(worker, inputs)
        topics = inputs.topics
        names = [topics.color, topics.depth, topics.info, *([topics.labels] if with_labels else [])]
        self.get_logger().info(f"active, listening to {', '.join(names)}")

    def _fall_silent(self) -> None:
        """End the work, and delete the markers, which may have no end of their own."""
        was_active = self._active is not None
        self._end()
        if was_active and self._configured is not None:
            self._configured.publishers.delete_markers()

    def _end(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            active.inputs.close()
            active.worker.stop()
        self._detect_once.close()

    def _release(self) -> None:
        self._end()
        configured, self._configured = self._configured, None
        if configured is not None:
            configured.publishers.close()
            configured.transforms.close()

    def _on_set(self, messages: FrameMessages, worker: Worker[_Job]) -> None:
        """Store the newest matched set; no more is done in the executor's thread."""
        number, wanted = self._detect_once.number_frame()
        self._health.count("frames_received")
        if (self.parameters.config.enabled or wanted) and worker.offer(_Job(number, messages)):
            self._health.count("frames_dropped")

    def _work(self, job: _Job, poser: FrameProcessor) -> None:
        """Pose one frame. Here, and only here, the project's own exceptions about a frame are caught."""
        requests, config = self._detect_once.claim(job.number), self.parameters.config
        if not (config.enabled or requests):
            return
        try:
            poser.reconfigure(config)
            tracks = poser.pose(job.messages, at_once=bool(requests))
        except CliposeError as error:
            self._health.count("frames_failed")
            self._health.warning("frame", str(error))
            outcome = Outcome(False, str(error))
        else:
            self._health.count("frames_processed")
            self._health.count("objects_published", len(tracks))
            stamp = stamp_ns(job.messages.color.header.stamp)
            self._health.latency("latency", 1e-6 * (self.get_clock().now().nanoseconds - stamp))
            outcome = Outcome(
                True, f"{len(tracks)} objects" + (": " if tracks else "") + ", ".join(track.name for track in tracks)
            )
        self._detect_once.answer(requests, outcome)

    def _on_timer(self) -> None:
        """Once a second: look for silent topics, tell how it goes."""
        if not self.context.ok():
            return
        active, configured = self._active, self._configured
        if active is not None:
            active.inputs.check()
        config = self.parameters.config
        device = configured.pipeline.predictor.device if configured is not None else config.network.device
        label = "active" if active is not None else "unconfigured" if configured is None else "inactive"
        state = {
            "state": label,
            "enabled": str(config.enabled).lower(),
            "device": device,
            "model": config.network.model,
        }
        status = self._health.status(f"{self.get_fully_qualified_name()}: poses", device, state)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=[status]))

    def _check_categories(self, config: PoseNodeConfig) -> None:
        """Refuse categories that the loaded model does not know."""
        if self._configured is not None:
            for name in config.categories:
                self._configured.pipeline.predictor.categories[name]


def run(node: PoseNode) -> int:
    """Spin a node until ROS goes down; 1 where it could not start, and a bug's exception where it met one."""
    executor = SingleThreadedExecutor()
    try:
        with until_shutdown(node.context):
            if node.parameters.config.autostart and not node.start():
                return 1 if node.context.ok() else 0  # told to end while it was starting
            executor.add_node(node)
            executor.spin()
    finally:
        # Humble would wait here for the callers of ~/detect_once, whose callbacks await and are never resumed once
        # nobody spins. There is nothing else to wait for: this is the executor's only thread.
        executor.shutdown(timeout_sec=0.0)
        node.destroy_node()
    return 0


def main(args: list[str] | None = None) -> int:
    """Entry point of ``ros2 run clipose_ros pose_node``; gives the exit status."""
    # Threads that spin while they wait take the cores from the camera's driver. torch, not yet loaded, reads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The network is hundreds of short calls, and each waits this long for the interpreter behind the executor.
    sys.setswitchinterval(2e-4)
    # Masks and pictures are small: a second thread of OpenCV's costs more to wake than it saves, and takes a core.
    cv2.setNumThreads(1)
    rclpy.init(args=args)
    try:
        return run(PoseNode())
    except ConfigError as error:
        rclpy.logging.get_logger("pose_node").error(str(error))
        return 1
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
