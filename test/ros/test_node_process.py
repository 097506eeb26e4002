"""The node as a process: it brings itself up, ends cleanly on Ctrl-C, fails with one clear line or a bug's trace."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from lifecycle_msgs.srv import GetState
from std_msgs.msg import Empty
from std_srvs.srv import Trigger
from vision_msgs.msg import Detection3DArray

from clipose_ros.ros import main

LABELS = ("-p", "segmentation.backend:=labels", "-p", "tracking.min_hits:=1")
BOX_NODE = str(Path(__file__).with_name("box_pose_node.py"))


@pytest.fixture
def ros_context(own_domain: int) -> Iterator[None]:
    """A domain for each test: discovery remembers a killed process for longer than the next one takes to start."""
    rclpy.init()
    yield
    rclpy.try_shutdown()


@pytest.fixture
def spawn(ros) -> Iterator:
    """Starts processes; none outlives its test."""
    processes: list[subprocess.Popen] = []

    def start(*command: str, **environment: str) -> subprocess.Popen:
        processes.append(
            subprocess.Popen(
                [sys.executable, *command],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)} | environment,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        process.wait(60.0)
        process.stdout.close()


def wait_for_a_frame(ros) -> None:
    """Call ~/detect_once and see to it that the call has arrived and waits."""
    waiting = ros.listen(Empty, "somebody_waits")
    client = ros.node.create_client(Trigger, "pose_node/detect_once")
    ros.wait_for(client.service_is_ready, "the service")
    client.call_async(Trigger.Request())
    ros.wait_for(lambda: waiting, "the request's arrival")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_brings_itself_up_and_ends_cleanly_in_the_middle_of_work(ros, camera, spawn, number):
    others = shared_memory(os.getpid())
    process = spawn(BOX_NODE, "--ros-args", *LABELS)
    detections = ros.listen(Detection3DArray, "pose_node/detections")
    camera.wait_until_heard()
    ros.wait_for(lambda: len(detections) >= 3, "detections", camera.send)
    segments = shared_memory(process.pid) - others
    process.send_signal(number)
    ros.wait_for(lambda: process.poll() is not None, "the end of the process", camera.send, every_s=0.005)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert segments and not any(path.exists() for path in segments)
    assert "Traceback" not in output and "rror" not in output, output


def test_ends_cleanly_while_somebody_waits_for_a_frame(ros, spawn):
    process = spawn(BOX_NODE, "--ros-args", *LABELS)
    wait_for_a_frame(ros)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60.0)[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output and "rror" not in output, output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ends_cleanly_while_it_configures(spawn, number):
    process = spawn(BOX_NODE, "--slow", "--ros-args", *LABELS)
    assert process.stdout.readline() == "configuring\n"
    process.send_signal(number)
    output = process.communicate(timeout=60.0)[0]
    assert process.returncode == 0 and "Traceback" not in output and "rror" not in output, output


def test_ends_although_it_configures_for_ever(spawn):
    others = shared_memory(os.getpid())
    process = spawn(BOX_NODE, "--hang", "--ros-args", *LABELS)
    assert process.stdout.readline() == "configuring\n"
    segments = shared_memory(process.pid) - others
    process.send_signal(signal.SIGTERM)
    (line,) = process.communicate(timeout=60.0)[0].splitlines()
    assert process.returncode == 0
    assert "ended 0.5 s after the signal, in _create_resources (pose_node.py:" in line
    assert segments and not any(path.exists() for path in segments)


def test_ends_while_a_frame_fails(ros, camera, spawn):
    """A thread that asks whether ROS is up must not wait for the thread that shuts it down and waits for the former."""
    process = spawn(BOX_NODE, "--crash-at-the-end", "--ros-args", *LABELS)
    processing = threading.Event()

    def read() -> None:
        if "processing\n" in process.stdout:
            processing.set()

    threading.Thread(target=read, daemon=True).start()
    camera.wait_until_heard()
    ros.wait_for(processing.is_set, "a frame", camera.send)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60.0)[0]
    assert process.returncode == 0 and "after the signal" not in output, output


def shared_memory(pid: int) -> set[Path]:
    """Return the files of Fast DDS, apart from ports that processes share, which a process has in its memory."""
    words = Path(f"/proc/{pid}/maps").read_text().split()
    return {Path(word) for word in words if word.startswith("/dev/shm/fast") and "port" not in word}


def test_waits_for_a_manager_without_autostart(ros, spawn):
    spawn(BOX_NODE, "--ros-args", *LABELS, "-p", "autostart:=false")
    assert ros.call(GetState, "pose_node/get_state", GetState.Request()).current_state.label == "unconfigured"


def test_a_bug_in_the_worker_costs_its_frames_and_is_traced_once(ros, camera, spawn):
    process = spawn(BOX_NODE, "--crash", "--ros-args", *LABELS)
    camera.wait_until_heard()
    for _ in range(3):
        reply = ros.call(Trigger, "pose_node/detect_once", Trigger.Request(), camera.send)
        assert not reply.success and "ZeroDivisionError: a bug in the worker (box_pose_node.py:" in reply.message
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60.0)[0]
    assert process.returncode == 0
    assert output.count("Traceback") == 1 and "in crash" in output, output


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("network.model:=/nowhere/model.safetensors",), ["/nowhere/model.safetensors"]),
        (("network.model:={corrupt}",), ["{corrupt}"]),
        (("network.device:=cuda:99", "network.model:={tiny}"), ["cuda:99"]),
        (("network.model:={tiny}", "categories:=[spoon]"), ["spoon", "mug"]),
        (("segmentation.backend:=magic",), ["magic", "segmentation.backend", "yolo"]),
        (("tracking.smoothing:=2.0",), ["tracking.smoothing", "2.0"]),
        (("tracking.min_hits:=many",), ["tracking.min_hits"]),
    ],
)
def test_bad_set_up_fails_with_one_clear_error(spawn, tmp_path, tiny_model, settings, words):
    corrupt = tmp_path / "corrupt.safetensors"
    corrupt.write_bytes(b"\x00garbage" * 20)
    places = {"corrupt": str(corrupt), "tiny": str(tiny_model)}
    arguments = [
        argument for s in ("segmentation.backend:=labels", *settings) for argument in ("-p", s.format(**places))
    ]
    process = spawn("-m", "clipose_ros.ros.pose_node", "--ros-args", *arguments)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 1, output
    errors = [line for line in output.splitlines() if "[ERROR]" in line]
    assert len(errors) == 1 and "Traceback" not in output, output
    assert all(word.format(**places) in errors[0] for word in words), output


def test_poses_with_a_real_checkpoint(ros, camera, spawn, tiny_model):
    """The whole way, with an untrained network from a file: its poses are wrong, but they come."""
    settings = (
        "check.size_tolerance:=100.0",
        "check.max_occlusion_ratio:=1000.0",
        "check.category_tolerance:=1000.0",
        "check.centre_tolerance:=10.0",
        "check.score_threshold:=0.0",
        f"network.model:={tiny_model}",
    )
    others = shared_memory(os.getpid())
    process = spawn("-m", "clipose_ros.ros.pose_node", "--ros-args", *LABELS, *(a for s in settings for a in ("-p", s)))
    detections = ros.listen(Detection3DArray, "pose_node/detections")
    camera.wait_until_heard()
    ros.wait_for(lambda: detections and detections[-1].detections, "detections", camera.send)
    assert {d.results[0].hypothesis.class_id for d in detections[-1].detections} <= {"mug", "bowl"}
    segments = shared_memory(process.pid) - others
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60.0)[0]
    assert process.returncode == 0 and "rror" not in output, output
    assert segments and not any(path.exists() for path in segments)


@pytest.mark.parametrize(
    ("limit", "environment", "words"),
    [
        (1_500_000_000, {}, "address space is limited to 1.5 GB"),
        (None, {"HOME": "/proc/1/nowhere", "ROS_LOG_DIR": "", "ROS_HOME": ""}, "HOME, is a writable folder"),
    ],
)
def test_a_fault_of_the_machine_is_one_line(limit, environment, words):
    ended = subprocess.run(
        [sys.executable, "-m", "clipose_ros.ros.pose_node", "--ros-args", *LABELS],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)} | environment,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        timeout=60.0,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line]
    assert words in line


def test_full_shared_memory_is_reported_before_fast_dds_touches_it(monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_bavail=1, f_frsize=4096))
    assert "'/dev/shm' has 0.0 MB left" in main.find_memory_fault()
