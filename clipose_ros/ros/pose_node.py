"""Lifecycle node that estimates object poses from RGB-D images."""

from __future__ import annotations

if __name__ == "__main__":  # before the other imports, which take seconds
    import sys

    from clipose_ros.ros.main import main as run_main

    sys.exit(run_main())

import gc
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
from rclpy.qos import qos_profile_parameters
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Header

from clipose_ros.config import PoseNodeConfig
from clipose_ros.decoding.messages import FrameMessages
from clipose_ros.errors import CliposeError, ConfigError, one_line
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.plugins import BUILTIN_SEGMENTERS
from clipose_ros.ros.callback_guard import CallbackGuard
from clipose_ros.ros.conversions import ros_stamp
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.frame_processor import FrameProcessor, RosInterfaces
from clipose_ros.ros.frame_worker import FrameServices, FrameWorker
from clipose_ros.ros.inputs import InputCallbacks, InputSubscriptions, input_topics
from clipose_ros.ros.parameters import NodeParameters
from clipose_ros.ros.publishers import Publishers
from clipose_ros.ros.rclpy_compat import destroy_state_machine, wrap_builtin_services
from clipose_ros.ros.services import DetectOnceService, EnableService, ResetService, refuse_invalid_transitions
from clipose_ros.ros.shutdown import until_shutdown
from clipose_ros.ros.signals import TerminationSignals, receive_termination_signals
from clipose_ros.ros.transforms import Transforms
from clipose_ros.ros.worker import ExceptionRelay


@dataclass(frozen=True, slots=True)
class _ConfiguredResources:
    """Resources of the node from configuration to clean-up."""

    pipeline: PosePipeline
    transforms: Transforms
    publishers: Publishers
    processor: FrameProcessor


@dataclass(frozen=True, slots=True)
class _ActiveResources:
    """Resources of the node from activation to deactivation."""

    worker: FrameWorker
    inputs: InputSubscriptions


def _make_pipeline(config: PoseNodeConfig) -> PosePipeline:
    """Build the pipeline of a node, whose detector and network share the cores if they run at the same time."""
    return PosePipeline.from_config(config, live=True)


class PoseNode(LifecycleNode):
    """Subscribes to RGB-D images and publishes object poses.

    Spin it with a ``SingleThreadedExecutor``. No callback waits for a frame, and the threads of a
    ``MultiThreadedExecutor`` compete with the worker for the interpreter, which doubles the time per frame.

    Attributes:
        diagnostics: Counters, latencies and problems.
        detect_once: Service ``~/detect_once``.
        parameters: Current settings.
    """

    def __init__(
        self, *, pipeline_factory: Callable[[PoseNodeConfig], PosePipeline] = _make_pipeline, **kwargs: Any
    ) -> None:
        """Declare parameters, services and diagnostics; everything else is created by ``configure``.

        Args:
            pipeline_factory: Builds the pipeline from the settings.
            kwargs: Keyword arguments of ``rclpy.lifecycle.LifecycleNode``.

        Raises:
            ConfigError: A parameter has an invalid value.
        """
        # Before rclpy creates its own subscriptions and services through the methods below.
        self._callback_guard = CallbackGuard(
            kwargs.get("context") or rclpy.get_default_context(), lambda: self.diagnostics
        )
        super().__init__("pose_node", **kwargs)
        self._pipeline_factory = pipeline_factory
        self._configured: _ConfiguredResources | None = None
        self._active: _ActiveResources | None = None
        self._relay = ExceptionRelay(self)
        self.diagnostics = NodeDiagnostics(self.get_logger())
        # Before the parameters: if they are refused, ``destroy_node`` runs on the node as it is here.
        self.detect_once = DetectOnceService(self)
        self.parameters = NodeParameters(self)
        # Functions, not values: parameters can be set in any state of the node.
        self.parameters.restrict(is_configured=lambda: self._configured is not None, validate=self._check_categories)
        for warning in self.parameters.warnings:
            self.get_logger().warning(warning)
        EnableService(self)
        ResetService(self, self._reset_tracks)
        refuse_invalid_transitions(self, self.diagnostics)
        wrap_builtin_services(self, self._callback_guard.wrap_service)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # runs while simulated time is paused
        self.create_timer(1.0, self._on_timer, clock=steady)

    def create_subscription(self, msg_type: Any, topic: str, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """Create a subscription whose callback cannot end the node; rclpy and tf2 subscribe through it, too."""
        guarded = self._callback_guard.wrap(callback, topic)
        return super().create_subscription(msg_type, topic, guarded, *args, **kwargs)

    def create_service(self, srv_type: Any, srv_name: str, callback: Any, **kwargs: Any) -> Any:
        """Create a service whose callback cannot end the node, with a queue for many callers at once."""
        guarded = self._callback_guard.wrap_service(callback, srv_name)
        return super().create_service(srv_type, srv_name, guarded, **{"qos_profile": qos_profile_parameters, **kwargs})

    def create_timer(self, timer_period_sec: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
        """Create a timer whose callback cannot end the node."""
        guarded = self._callback_guard.wrap(callback, "timer")
        return super().create_timer(timer_period_sec, guarded, *args, **kwargs)

    def start(self) -> bool:
        """Configure and activate without a lifecycle manager.

        Returns:
            True if the node is active; otherwise the log has the reason.
        """
        success = TransitionCallbackReturn.SUCCESS
        # rclpy turns exceptions of transitions into a failed transition; the relay has kept them.
        started = self.trigger_configure() == success and self.trigger_activate() == success
        self._relay.check()
        return started

    def spin_once(self, executor: SingleThreadedExecutor) -> None:
        """Execute one callback. Only an exception that the relay has kept is raised."""
        self._callback_guard.spin_once(executor, self._relay)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers; an error is logged and fails the transition."""
        # Errors of this package are the user's to correct and fail the transition; all others are bugs, which the relay
        # raises.
        with self._relay:
            try:
                self._configured = self._create_resources(self.parameters.config)
            except CliposeError as error:
                self.diagnostics.error("configure", f"cannot configure: {error}")
                return TransitionCallbackReturn.FAILURE
            self.diagnostics.resolved("configure")
            # To visit all that is loaded takes the garbage collector a quarter of a second, in which no frame goes on.
            gc.freeze()
            predictor = self._configured.pipeline.predictor
            self.get_logger().info(f"configured on {predictor.device} for {', '.join(predictor.categories.names)}")
            return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the inputs and start the worker."""
        with self._relay:
            # Publishers drop messages while inactive, so they are activated before the first frame can arrive.
            result = super().on_activate(state)
            self._start_processing()
            return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, finish the current frame, delete the markers and stop publishing."""
        with self._relay:
            # In the reverse order: the messages that delete the markers need active publishers.
            self._deactivate()
            return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the resources that ``configure`` created."""
        with self._relay:
            self._release_resources()
            return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release all resources, in any state."""
        with self._relay:
            self._deactivate()
            self._release_resources()
            return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release all resources after a bug in a transition, which the relay raises from ``spin``."""
        self._release_resources()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Release all resources, then destroy the node and, if it is the only one of the process, the participant."""
        self._release_resources()
        super().destroy_node()
        destroy_state_machine(self)

    def _create_resources(self, config: PoseNodeConfig) -> _ConfiguredResources:
        pipeline = self._pipeline_factory(config)
        transforms = Transforms(
            self,
            config.tracking.frame,
            config.publish.target_frame,
            report=lambda reason: self.diagnostics.warning("tf", reason),
        )
        publishers = Publishers(self, pipeline.predictor.categories)
        interfaces = RosInterfaces(input_topics(self, config.sync.compressed), transforms, publishers, self.diagnostics)
        processor = FrameProcessor(pipeline, config, interfaces)
        return _ConfiguredResources(pipeline, transforms, publishers, processor)

    def _start_processing(self) -> None:
        assert self._configured is not None
        config, processor = self.parameters.config, self._configured.processor
        # Objects may have moved while the node was inactive, so tracks do not continue.
        processor.reset()
        self._configured.transforms.clear()  # the time may have jumped while the node was inactive
        self.detect_once.open()
        services = FrameServices(self.detect_once, self.diagnostics, lambda: self.parameters.config, self._relay)
        worker = FrameWorker(self, processor, services)
        row = BUILTIN_SEGMENTERS.get(config.segmentation.backend)
        frame_input = row.frame_input if row else ""
        callbacks = InputCallbacks(lambda messages: self._on_set(messages, worker), self._configured.transforms.clear)
        inputs = InputSubscriptions(self, config.sync, frame_input, callbacks, self.diagnostics)
        self._active = _ActiveResources(worker, inputs)
        topics = inputs.topics
        names = [topics.color, topics.depth, topics.info, *([getattr(topics, frame_input)] if frame_input else [])]
        self.get_logger().info(f"active, listening to {', '.join(names)}")

    def _reset_tracks(self) -> bool:
        """Forget all tracks before the next frame; return False if the node is not configured."""
        if self._configured is None:
            return False
        # Requested, not done: the tracker belongs to a thread of the worker.
        self._configured.processor.request_reset()
        return True

    def _deactivate(self) -> None:
        """Stop processing and delete the markers, which may have no lifetime."""
        was_active = self._active is not None
        self._stop_processing()
        if was_active and self._configured is not None:
            self._configured.publishers.delete_markers()

    def _stop_processing(self) -> None:
        active, self._active = self._active, None
        # Inputs first, so that the worker gets no further frame; open requests are answered last, with a failure.
        if active is not None:
            active.inputs.close()
            active.worker.stop()
        self.detect_once.close()

    def _release_resources(self) -> None:
        self._stop_processing()
        configured, self._configured = self._configured, None
        if configured is not None:
            configured.publishers.close()
            configured.transforms.close()
            gc.unfreeze()

    def _on_set(self, messages: FrameMessages, worker: FrameWorker) -> None:
        """Pass a matched set to the worker. Processing takes place in the worker's threads only."""
        number, is_requested = self.detect_once.number_frame()
        self.diagnostics.count("frames_received")
        # The worker keeps only the newest set: a late pose is of less use to a robot than the next one.
        if (self.parameters.config.enabled or is_requested) and worker.offer(number, messages):
            self.diagnostics.count("frames_dropped")

    def _on_timer(self) -> None:
        """Check the inputs and publish diagnostics, once a second."""
        # The timer may fire once more during shutdown, when publishing would raise.
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
        if active is not None:
            state |= {f"received_hz.{topic}": f"{rate_hz:.2f}" for topic, rate_hz in active.inputs.rates_hz().items()}
        status = self.diagnostics.status(f"{self.get_fully_qualified_name()}: poses", device, state)
        header = Header(stamp=ros_stamp(self.get_clock().now().nanoseconds))
        self._diagnostics_publisher.publish(DiagnosticArray(header=header, status=[status]))

    def _check_categories(self, config: PoseNodeConfig) -> None:
        """Raise ``ConfigError`` for categories that the loaded model was not trained on."""
        if self._configured is not None:
            for name in config.categories:
                self._configured.pipeline.predictor.categories[name]


def run(node: PoseNode, executor: SingleThreadedExecutor, signals: TerminationSignals) -> int:
    """Spin a node until a termination signal arrives or ROS shuts down, then destroy it and its executor.

    The signal only wakes the executor. To shut down ROS at the signal would destroy the node in the thread of the
    signals, under a lock of the context for which the worker may wait.

    Returns:
        Exit status: 1 if the node could not start, otherwise 0. Exceptions of bugs are raised.
    """
    try:
        with until_shutdown(node.context):
            if node.parameters.config.autostart and not node.start():
                return 1 if node.context.ok() else 0  # ROS shut down during the start
            executor.add_node(node)
            signals.call(executor.wake)
            while node.context.ok() and not signals.received:
                node.spin_once(executor)
    finally:
        signals.hold()
        # Humble would wait here for the callers of ~/detect_once, whose callbacks await and are never resumed once
        # nobody spins. There is nothing else to wait for: this is the executor's only thread.
        executor.shutdown(timeout_sec=0.0)
        node.destroy_node()
    return 0


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM, SIGHUP or a shutdown of ROS; return the exit status."""
    # Threads that spin while waiting take cores from the camera driver. torch reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The network is hundreds of short calls, and each waits this long for the interpreter behind the executor.
    sys.setswitchinterval(2e-4)
    # Images are small: waking a second OpenCV thread costs more than it saves, and takes a core.
    cv2.setNumThreads(1)
    return run_process(PoseNode, args)


def run_process(make_node: Callable[[], PoseNode], args: list[str] | None) -> int:
    """Initialise ROS, run a node, and end on a termination signal; return the exit status."""
    signals = receive_termination_signals()
    signals.hold()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # RCLError has no public name; the log may be what cannot be initialised
        message = f"ROS cannot be initialised: {error}: check that ROS_LOG_DIR, or HOME, is a writable folder"
        print(f"[ERROR] [pose_node]: {one_line(message)}", file=sys.stderr)
        return 1
    try:
        return run(make_node(), SingleThreadedExecutor(), signals)
    except ConfigError as error:
        rclpy.logging.get_logger("pose_node").error(str(error))
        return 1
    finally:
        rclpy.try_shutdown()
