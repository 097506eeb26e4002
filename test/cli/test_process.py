"""``process``: every file of a recording's results, and the same poses as those of a folder and of the live node."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from bag_files import (
    COLOR,
    DEPTH,
    START_NS,
    STEP_NS,
    Item,
    Messages,
    scene,
    scene_items,
    the_file,
    write_bag,
)
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from vision_msgs.msg import Detection3DArray

from clipose_ros.cli import process
from clipose_ros.data.bags.message_types import IMAGE
from clipose_ros.decoding.messages import stamp_ns
from clipose_ros.inference.pipeline import PosePipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))
from box_pose_node import BoxPredictor, box_pipeline

FRAMES = 6
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def boxes(monkeypatch):
    """The real pipeline with boxes for poses, in place of the network."""
    monkeypatch.setattr(
        PosePipeline, "from_config", classmethod(lambda cls, config, live=False: box_pipeline(config, BoxPredictor()))
    )


def run(bag, out, *options):
    return process.main(
        [str(bag), "--out", str(out), "--segmenter", "labels", "--set", "tracking.min_hits=1", *options]
    )


@pytest.fixture
def bag(tmp_path):
    return write_bag(tmp_path / "bag", scene_items(FRAMES))


def rows(out):
    with (out / "poses.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_frame_is_posed_and_every_file_written(bag, tmp_path, boxes, capsys):
    out = tmp_path / "out"
    assert run(bag, out, "--images") == 0
    printed = capsys.readouterr()
    assert f"{FRAMES} frames" in printed.out and "0 unusable" in printed.out
    assert {path.name for path in out.iterdir()} == {
        "poses", "poses.csv", "annotated.mp4", "report.html", "summary.json",
    }  # fmt: skip
    table = rows(out)
    assert [row["stamp_ns"] for row in table if row["category"] == "mug"] == [
        str(START_NS + number * STEP_NS) for number in range(FRAMES)
    ]
    assert {row["track"] for row in table} == {"mug_1", "bowl_1"}
    assert all(0.0 <= float(row["error_cm"]) < 30 for row in table if row["category"] == "mug")
    assert all(row["error_cm"] == "" for row in table if row["category"] == "bowl")
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["frames"], summary["frames_posed"], summary["errors"]["mug"]["matched"]) == (FRAMES,) * 3
    video = cv2.VideoCapture(str(out / "annotated.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) - FRAMES in (0, 1) and video.get(cv2.CAP_PROP_FPS) == pytest.approx(
        30
    )
    page = (out / "report.html").read_text()
    assert page.count("<img") >= 2 and "http" not in page.replace("http://www.w3.org", "")


def test_the_results_are_read_by_mcap_and_by_rosbags(bag, tmp_path, boxes):
    assert run(bag, tmp_path / "out", "--images") == 0
    folder = tmp_path / "out" / "poses"
    with the_file(folder).open("rb") as stream:
        by_mcap = [(channel.topic, message.data) for _, channel, message in make_reader(stream).iter_messages()]
    with AnyReader([folder]) as reader:
        by_rosbags = [(connection.topic, data) for connection, _, data in reader.messages()]
        kinds = {connection.topic: connection.msgtype for connection in reader.connections}
        decoded = [
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == "/pose_node/detections"
        ]
    assert sorted(by_mcap) == sorted(by_rosbags)
    assert kinds == {
        "/tf": "tf2_msgs/msg/TFMessage",
        "/pose_node/detections": "vision_msgs/msg/Detection3DArray",
        "/pose_node/markers": "visualization_msgs/msg/MarkerArray",
        "/pose_node/debug_image/compressed": "sensor_msgs/msg/CompressedImage",
    }
    table = rows(tmp_path / "out")
    for message in decoded:
        stamp = stamp_ns(message.header.stamp)
        expected = {row["track"]: float(row["z"]) for row in table if row["stamp_ns"] == str(stamp)}
        assert {d.id: d.bbox.center.position.z for d in message.detections} == pytest.approx(expected, abs=1e-6)
    assert len(decoded) == FRAMES


def test_rclpy_reads_the_results(bag, tmp_path, boxes):
    assert run(bag, tmp_path / "out") == 0
    with the_file(tmp_path / "out" / "poses").open("rb") as stream:
        data = [m.data for _, c, m in make_reader(stream).iter_messages() if c.topic.endswith("/detections")]
    assert [len(deserialize_message(each, Detection3DArray).detections) for each in data] == [2] * FRAMES


def test_poses_are_given_in_a_frame_of_the_recording(bag, tmp_path, boxes):
    assert run(bag, tmp_path / "camera") == 0
    settings = ("--set", "tracking.frame=world", "--set", "publish.target_frame=world")
    assert run(bag, tmp_path / "world", *settings) == 0
    assert json.loads((tmp_path / "world" / "summary.json").read_text())["frame_id"] == "world"
    here, there = (next(row for row in rows(tmp_path / n) if row["track"] == "mug_1") for n in ("camera", "world"))
    # Turned by half a turn about x, 1 m above.
    expected = float(here["x"]), -float(here["y"]), 1.0 - float(here["z"])
    assert (float(there["x"]), float(there["y"]), float(there["z"])) == pytest.approx(expected, abs=1e-5)
    assert {row["track"] for row in rows(tmp_path / "world")} == {"mug_1", "bowl_1"}


def test_frames_without_transform_are_told_and_not_posed(tmp_path, boxes, capsys):
    items = [item for item in scene_items(FRAMES) if item.topic != "/tf" or item.log_ns > START_NS + STEP_NS]
    bag = write_bag(tmp_path / "bag", items)
    assert run(bag, tmp_path / "out", "--set", "tracking.frame=world") == 0
    assert "2 unusable" in capsys.readouterr().out
    assert sum(json.loads((tmp_path / "out" / "summary.json").read_text())["faults"].values()) == 2


def test_unusable_frames_are_counted_with_their_reasons(tmp_path, boxes, capsys):
    items = scene_items(4)
    wrong = next(item for item in items if item.topic == COLOR and item.log_ns > START_NS + STEP_NS)
    wrong.message.encoding = "yuv42"
    bag = write_bag(tmp_path / "bag", [i for i in items if not (i.topic == DEPTH and i.log_ns < START_NS + STEP_NS)])
    assert run(bag, tmp_path / "out") == 0
    assert "2 unusable" in capsys.readouterr().out
    faults = " ".join(json.loads((tmp_path / "out" / "summary.json").read_text())["faults"])
    assert "yuv42" in faults and DEPTH in faults
    assert "yuv42" in (tmp_path / "out" / "report.html").read_text()


def test_a_recording_without_usable_frames_fails_with_its_reason(tmp_path, boxes, capsys):
    items = [item for item in scene_items(2) if item.topic != DEPTH]
    far = scene(START_NS + 10**10)
    items.append(
        Item(DEPTH, IMAGE, far.stamp_ns, Messages().image(far.depth, "32FC1", Messages().header(far.stamp_ns)))
    )
    assert run(write_bag(tmp_path / "bag", items), tmp_path / "out") == 1
    assert "no usable frame" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--color", "nothing"], "no colour image under '/nothing'"),
        (["--set", "segmentation.backend=detections"], "boxes of a running detector"),
        (["--set", "no.such=1"], "no.such|unknown"),
        (["--set", "tracking.min_hits"], "NAME=VALUE"),
    ],
)
def test_wrong_options_are_told_in_one_line(bag, tmp_path, boxes, capsys, options, words):
    import re

    assert run(bag, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert re.search(words, error) and error.count("\n") == 1


def test_an_output_folder_of_something_else_is_refused(bag, tmp_path, boxes, capsys):
    (tmp_path / "out" / "poses").mkdir(parents=True)
    (tmp_path / "out" / "poses" / "thesis.tex").write_text("work")
    assert run(bag, tmp_path / "out") == 1
    assert "thesis" not in capsys.readouterr().out and (tmp_path / "out" / "poses" / "thesis.tex").exists()


def test_a_second_run_replaces_the_first(bag, tmp_path, boxes):
    assert run(bag, tmp_path / "out") == 0
    assert run(bag, tmp_path / "out", "--no-video", "--no-recording") == 0
    assert not (tmp_path / "out" / "annotated.mp4").exists()
    assert run(bag, tmp_path / "out") == 0
    assert len(rows(tmp_path / "out")) == 2 * FRAMES


def test_without_the_message_packages_the_other_files_are_written(bag, tmp_path, boxes, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "clipose_ros.ros_tools.result_messages", None)
    assert run(bag, tmp_path / "out") == 0
    assert "no recording of the results" in capsys.readouterr().err
    assert not (tmp_path / "out" / "poses").exists() and rows(tmp_path / "out")


CODE = """
import sys
sys.path[:0] = {paths!r}
from box_pose_node import BoxPredictor, box_pipeline
from clipose_ros.cli import process
from clipose_ros.inference.pipeline import PosePipeline
predictor, count = BoxPredictor(), 0
def wait():
    global count
    count += 1
    if count == 4:
        print("ready", flush=True)
        sys.stdin.readline()
predictor.before_each = wait
PosePipeline.from_config = classmethod(lambda cls, config, live=False: box_pipeline(config, predictor))
sys.exit(process.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_whole_files(tmp_path, number):
    bag, out = write_bag(tmp_path / "bag", scene_items(40)), tmp_path / "out"
    paths = [str(ROOT), str(ROOT / "test" / "ros")]
    command = [sys.executable, "-c", CODE.format(paths=paths), str(bag), "--out", str(out), "--segmenter", "labels"]
    running = subprocess.Popen(
        [*command, "--set", "tracking.min_hits=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert running.stdout is not None and running.stdin is not None
    while running.stdout.readline().strip() != "ready":
        assert running.poll() is None
    running.send_signal(number)
    _, error = running.communicate("\n", timeout=100)
    assert running.returncode == 130 and "interrupted" in error
    count = json.loads((out / "summary.json").read_text())["frames"]
    assert 4 <= count < 40
    assert len(rows(out)) == 2 * count
    with the_file(out / "poses").open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary.statistics.message_count == 3 * count and (out / "poses" / "metadata.yaml").exists()
    with AnyReader([out / "poses"]) as reader:
        assert reader.message_count == 3 * count
    assert int(cv2.VideoCapture(str(out / "annotated.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)) - count in (0, 1)
    assert "</html>" in (out / "report.html").read_text()
