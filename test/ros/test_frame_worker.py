"""The threads of the frames, against a model that knows what is detected, what is posed and what waits.

Each step of a frame waits at a gate, so that every order of events can be played and observed.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import rclpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rclpy.executors import SingleThreadedExecutor

from clipose_ros.config import PoseNodeConfig
from clipose_ros.errors import FrameError
from clipose_ros.inference.pipeline import DetectedFrame
from clipose_ros.ros.diagnostics import NodeDiagnostics
from clipose_ros.ros.frame_worker import FrameServices, FrameWorker
from clipose_ros.ros.worker import ExceptionRelay
from clipose_ros.types import StageTimes

LONGEST_S = 30.0
FAILURES = {"ok": None, "unusable": FrameError("no depth"), "bug": ZeroDivisionError("a bug")}


def wait_until(condition, what):
    end = time.monotonic() + LONGEST_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.0005)


def spin(executor):
    while True:
        executor.spin_once(timeout_sec=LONGEST_S)


class Gate:
    """Holds one frame until it is let go with an exception to raise, or None."""

    def __init__(self):
        self.frame, self.passed = None, []
        self._go, self._failure = threading.Semaphore(0), None

    def enter(self, frame):
        assert self.frame is None, "two frames in one step at once"
        self.frame = frame
        assert self._go.acquire(timeout=LONGEST_S)
        failure, self.frame = self._failure, None
        self.passed.append(frame)
        if failure is not None:
            raise failure

    def let_go(self, failure=None):
        self._failure = failure
        self._go.release()


class GatedProcessor:
    """Frame processor whose steps wait at gates; the messages of a frame are its number."""

    def __init__(self, is_parallel):
        self.is_parallel = is_parallel
        self.detecting, self.estimating, self.confirmed, self.resets = Gate(), Gate(), [], 0

    def detect(self, messages, config):
        self.detecting.enter(messages)
        return DetectedFrame(SimpleNamespace(stamp_ns=messages), config, (), (), StageTimes(0.0, 0.0, 0.0))

    def estimate(self, detected, confirm):
        self.estimating.enter(detected.frame.stamp_ns)
        self.confirmed.append((detected.frame.stamp_ns, confirm))
        return []

    def reset(self):
        self.resets += 1


class Requests:
    """Stands for ``~/detect_once``: hands out the waiting requests, keeps the answers."""

    def __init__(self):
        self.waiting, self.answers = [], {}

    def claim(self, number):
        claimed, self.waiting = [r for r in self.waiting if r < number], [r for r in self.waiting if r >= number]
        return claimed

    def answer(self, requests, outcome):
        self.answers.update(dict.fromkeys(requests, outcome))


@pytest.fixture(scope="module")
def node(ros_context):
    made = rclpy.create_node("frame_worker_test")
    yield made
    made.destroy_node()


@pytest.fixture(scope="module", autouse=True)
def eager_threads():
    """Let other threads run at every opportunity, so that a thread that should wait and does not is seen."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Running:
    """A frame worker with gates."""

    def __init__(self, node, is_parallel, enabled=True):
        self.processor, self.requests = GatedProcessor(is_parallel), Requests()
        self.diagnostics, self.relay = NodeDiagnostics(node.get_logger()), ExceptionRelay(node)
        self.config = PoseNodeConfig(enabled=enabled)
        services = FrameServices(self.requests, self.diagnostics, lambda: self.config, self.relay)
        self.worker = FrameWorker(node, self.processor, services)

    def in_work(self):
        return self.processor.detecting.frame, self.processor.estimating.frame

    def outcomes(self):
        counters = self.diagnostics.counters()
        return counters["frames_processed"], counters["frames_failed"], self.processor.resets

    def stop(self):
        """Stop while frames may be held at the gates."""
        stopper = threading.Thread(target=self.worker.stop)
        stopper.start()
        while stopper.is_alive():
            for gate in (self.processor.detecting, self.processor.estimating):
                if gate.frame is not None:
                    gate.let_go()
                    wait_until(lambda gate=gate: gate.frame is None, "the frame to pass")
            stopper.join(0.001)


@dataclass
class Model:
    """What the worker should be doing."""

    is_parallel: bool
    waiting: int | None = None
    detecting: int | None = None
    detected: int | None = None
    estimating: int | None = None
    processed: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    resets: int = 0

    def offer(self, number):
        replaced, self.waiting = self.waiting is not None, number
        self.advance()
        return replaced

    def advance(self):
        if self.estimating is None and self.detected is not None:
            self.estimating, self.detected = self.detected, None
        busy = self.detecting is not None or self.detected is not None
        if not busy and (self.is_parallel or self.estimating is None):
            self.detecting, self.waiting = self.waiting, None

    def finish_detection(self, outcome):
        number, self.detecting = self.detecting, None
        if outcome == "ok":
            self.detected = number
        else:
            self.failed.append(number)
        self.advance()

    def finish_estimation(self, outcome):
        number, self.estimating = self.estimating, None
        (self.processed if outcome == "ok" else self.failed).append(number)
        self.resets += outcome == "bug"
        self.advance()


STEPS = st.tuples(
    st.sampled_from(["offer", "offer", "request", "detected", "detected", "estimated"]),
    st.sampled_from(["ok", "ok", "ok", "unusable", "bug"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(is_parallel=st.booleans(), steps=st.lists(STEPS, max_size=30))
def test_frames_pass_in_order_newest_first_and_each_is_accounted_for(node, is_parallel, steps):
    running, model, number, requested = Running(node, is_parallel), Model(is_parallel), 0, {}
    gates = running.processor.detecting, running.processor.estimating
    try:
        for step, outcome in steps:
            if step == "offer":
                number += 1
                assert running.worker.offer(number, number) == model.offer(number)
            elif step == "request":
                requested[number] = None
                running.requests.waiting = [*{*running.requests.waiting, number}]
            elif step == "detected" and model.detecting is not None:
                gates[0].let_go(FAILURES[outcome])
                model.finish_detection(outcome)
            elif step == "estimated" and model.estimating is not None:
                gates[1].let_go(FAILURES[outcome])
                model.finish_estimation(outcome)
            wait_until(lambda: running.in_work() == (model.detecting, model.estimating), "the model's state")
            counts = len(model.processed), len(model.failed), model.resets
            wait_until(lambda counts=counts: running.outcomes() == counts, "the counts")
        assert gates[1].passed == sorted(gates[1].passed), "out of order"
        assert [frame for frame, _ in running.processor.confirmed] == model.processed
    finally:
        running.stop()
    assert gates[1].passed == sorted(gates[1].passed)
    assert running.relay.error is None


def test_no_frame_is_detected_while_a_detected_one_waits(node):
    running = Running(node, is_parallel=True)
    detecting, estimating = running.processor.detecting, running.processor.estimating
    try:
        for number in (1, 2):
            running.worker.offer(number, number)
            wait_until(lambda number=number: detecting.frame == number, "detection")
            detecting.let_go()
            wait_until(lambda: detecting.frame is None and estimating.frame == 1, "the first frame in estimation")
        for number in range(3, 100):
            assert running.worker.offer(number, number) == (number > 3), "frame 3 was begun"
            assert detecting.frame is None
        estimating.let_go()
        wait_until(lambda: running.in_work() == (99, 2), "the newest frame in detection")
    finally:
        running.stop()


@pytest.mark.parametrize("is_parallel", [False, True])
@pytest.mark.parametrize("outcome", list(FAILURES))
@pytest.mark.parametrize("failing", ["detecting", "estimating"])
def test_a_request_is_answered_by_the_first_frame_after_it(node, is_parallel, failing, outcome):
    running = Running(node, is_parallel, enabled=False)
    try:
        running.worker.offer(1, 1)
        running.requests.waiting = [1]
        running.worker.offer(2, 2)
        for name in ("detecting", "estimating"):
            gate = getattr(running.processor, name)
            wait_until(lambda gate=gate: gate.frame == 2, f"frame 2 in {name}")
            gate.let_go(FAILURES[outcome] if name == failing else None)
            if name == failing and outcome != "ok":
                break
        wait_until(lambda: 1 in running.requests.answers, "the answer")
        assert running.requests.answers[1].success == (outcome == "ok")
        assert running.processor.confirmed == ([(2, True)] if outcome == "ok" else [])
        # an exception of detection does not touch the tracks
        assert running.processor.resets == (failing == "estimating" and outcome == "bug")
        assert running.processor.detecting.passed == [2], "a frame without a request is not detected while disabled"
    finally:
        running.stop()


@pytest.mark.parametrize("held", [("detecting",), ("estimating",), ("estimating", "detecting")])
def test_stop_finishes_the_frame_that_is_posed_and_no_other(node, held):
    """The frame behind is held in detection, or it waits, detected, for the frame that is posed."""
    running = Running(node, is_parallel=True)
    detecting, estimating = running.processor.detecting, running.processor.estimating
    number = 0
    if "estimating" in held:
        number += 1
        running.worker.offer(number, number)
        wait_until(lambda: detecting.frame == number, "detection")
        detecting.let_go()
        wait_until(lambda: estimating.frame == number, "estimation")
    number += 1
    running.worker.offer(number, number)
    wait_until(lambda: detecting.frame == number, "detection of the last frame")
    if "detecting" not in held:
        detecting.let_go()
        wait_until(lambda: detecting.frame is None, "a frame that waits for the estimation")
    running.worker.offer(number + 1, number + 1)
    running.stop()
    assert estimating.passed == ([1] if "estimating" in held else [])
    assert running.worker.offer(9, 9) is False
    assert detecting.passed == list(range(1, number + 1)) and running.relay.error is None


@pytest.mark.parametrize("step", ["detecting", "estimating"])
def test_an_exception_outside_of_frames_is_relayed_and_stop_returns(node, step):
    """``KeyboardInterrupt`` and the like are no exceptions of a frame."""
    running = Running(node, is_parallel=True)
    running.worker.offer(1, 1)
    for name in ("detecting", "estimating"):
        gate = getattr(running.processor, name)
        wait_until(lambda gate=gate: gate.frame == 1, name)
        gate.let_go(SystemExit(7) if name == step else None)
        if name == step:
            break
    wait_until(lambda: running.relay.error is not None, "the relayed exception")
    if step == "estimating":  # a detected frame finds nobody to pose it
        running.worker.offer(2, 2)
        wait_until(lambda: running.processor.detecting.frame == 2, "detection")
        running.processor.detecting.let_go()
    running.stop()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        with pytest.raises(SystemExit):
            spin(executor)
    finally:
        executor.remove_node(node)
        executor.shutdown()
