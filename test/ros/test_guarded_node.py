"""Programs without a lifecycle end on a signal without a trace, and their callbacks cannot end them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from std_msgs.msg import Empty, String

from clipose_ros.ros.guarded_node import GuardedNode

PROGRAMS = {
    "grasp_node": [],
    "collision_objects_main": [],
    "merge_node": ["--ros-args", "-p", "cameras:=[left]"],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_on_a_signal_without_a_trace(name):
    command = [sys.executable, "-m", f"clipose_ros.ros.{name}", *PROGRAMS[name]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    while lines[-1] and not any(word in lines[-1] for word in ("listening", "merging")):
        lines.append(process.stdout.readline())
    assert lines[-1], "".join(lines)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "Traceback" not in rest, rest


class Faulty(GuardedNode):
    """Answers each message, but for the first."""

    def __init__(self, **kwargs) -> None:
        super().__init__("faulty", **kwargs)
        self._answers = self.create_publisher(Empty, "answers", 10)
        self._is_first = True
        self.create_subscription(String, "questions", self._on_question, 10)

    def _on_question(self, message: String) -> None:
        if self._is_first:
            self._is_first = False
            raise ZeroDivisionError("a bug")
        self._answers.publish(Empty())


def test_an_exception_leaves_out_one_message_and_is_reported(ros, run_guarded):
    answers = ros.listen(Empty, "answers")
    running = run_guarded(Faulty)
    questions = ros.node.create_publisher(String, "questions", 10)
    ros.wait_for(lambda: answers, "an answer", lambda: questions.publish(String(data="?")))
    values = running.node.diagnostics.status("x", "", {"state": ""}).values
    (problem,) = [value.value for value in values if value.key.startswith("problem.callback")]
    assert "ZeroDivisionError" in problem
