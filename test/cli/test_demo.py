"""The command ``demo`` over DDS, with a pose node that needs no weights."""

import json
import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.cli import demo, live_system
from clipose_ros.cli.demo_output import object_table, progress_line, summary_text
from clipose_ros.evaluation.runs.live_statistics import CategorySummary, LiveError, LiveSummary, PublishedObject
from clipose_ros.ros_tools.observer import ObservedObject

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "frames_in", "frames_posed", "dropped", "rate_hz", "latency_ms_p50", "latency_ms_p95", "latency_ms_p99",
    "categories",
]  # fmt: skip
DATA = os.environ.get("CLIPOSE_DATA", "")


@pytest.fixture(autouse=True)
def children(started, own_domain: int, monkeypatch: pytest.MonkeyPatch):
    """Return the processes that the demo starts, in a separate ROS domain."""
    monkeypatch.setattr(demo, "FIRST_POSE_LIMIT_S", 1.0)
    for name in (
        "ROS_AUTOMATIC_DISCOVERY_RANGE",
        "FASTDDS_DEFAULT_PROFILES_FILE",
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        "OMP_WAIT_POLICY",
        "PYTHONUNBUFFERED",
    ):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)
    return started


def test_demo_writes_summary_video_and_images_and_stops_its_processes(tmp_path: Path, children, capsys) -> None:
    short = ["--segmenter", "labels", "--duration", "4", "--frames", "3", "--rate", "5", "--output", str(tmp_path)]
    view = ["--view", "--view-port", "0"] if find_spec("viser") else []
    assert demo.main([*short, *view]) == 0, (tmp_path / "pose_node.log").read_text()
    assert len(children) == (3 if view else 2) and not children.alive
    assert not view or "view: open http://127.0.0.1:" in capsys.readouterr().out
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(summary) == KEYS
    assert summary["frames_in"] >= summary["frames_posed"] >= 1
    assert summary["frames_in"] - summary["dropped"] >= summary["frames_posed"]
    assert 0 < summary["latency_ms_p50"] <= summary["latency_ms_p95"]
    assert len(summary["categories"]) >= 3
    for figures in summary["categories"].values():
        assert list(figures) == ["count", "matched", "translation_error_cm_median", "rotation_error_deg_median"]
        assert figures["count"] >= 1
    # the test node returns the bounding box of the visible points, which is near the object
    errors = [figures["translation_error_cm_median"] for figures in summary["categories"].values()]
    assert min(e for e in errors if e is not None) < 10.0
    capture = cv2.VideoCapture(str(tmp_path / "demo.mp4"))
    assert capture.read()[1].shape == (480, 640, 3)
    assert cv2.imread(str(tmp_path / "demo.png")).shape == (480, 640, 3)
    assert list((tmp_path / "pictures").glob("*.png"))


@pytest.mark.timeout(300)
def test_demo_uses_the_shipped_detector_by_default(tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("ultralytics", reason="the shipped detector runs through ultralytics")
    monkeypatch.setattr(live_system, "POSE_NODE", ("-m", "clipose_ros.ros.pose_node"))
    monkeypatch.setattr(demo, "FIRST_POSE_LIMIT_S", 60.0)
    status = demo.main(["--duration", "3", "--frames", "3", "--rate", "5", "--output", str(tmp_path)])
    assert status == 0, (tmp_path / "pose_node.log").read_text()
    assert "Segmentation: the shipped detector." in (printed := capsys.readouterr().out)
    assert "camera: rendered 3 of 3 frames" in printed and "camera: (nothing)" not in printed
    categories = json.loads((tmp_path / "summary.json").read_text())["categories"]
    assert any(figures["matched"] for figures in categories.values())


def test_demo_without_poses_fails_with_the_reason(tmp_path: Path, children, capsys) -> None:
    short_run = ["--duration", "1.5", "--frames", "2", "--rate", "5", "--output", str(tmp_path)]
    arguments = ["--segmenter", "labels", *short_run]
    assert demo.main([*arguments, "--set", "check.score_threshold=1.0"]) == 1
    assert "no poses were published in 1.5 s" in capsys.readouterr().err
    assert not children.alive


def test_demo_reports_the_log_of_a_node_that_dies(tmp_path: Path, children, monkeypatch, capsys) -> None:
    monkeypatch.setattr(live_system, "POSE_NODE", ("-m", "clipose_ros.ros.pose_node"))
    short_run = ["--segmenter", "labels", "--frames", "2", "--rate", "5", "--output", str(tmp_path)]
    assert demo.main([*short_run, "--model", "/nowhere/absent.safetensors"]) == 1
    assert (
        "pose node ended unexpectedly" in (printed := capsys.readouterr().err)
        and "/nowhere/absent.safetensors" in printed
    )
    assert not children.alive


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "/nowhere", "--segmenter", "labels"], "have no labels"),
        (["--input", "/nowhere", "--segmenter", "yolo:/nowhere.pt"], "local file, got 'yolo:/nowhere.pt'"),
        (["--input", "/nowhere", "--segmenter", f"mask_rcnn:{__file__}"], "no such folder"),
        (["--input", "/nowhere.mcap"], "no such recording: '/nowhere.mcap'"),
        (["--segmenter", "guess"], "yolo:WEIGHTS or mask_rcnn:WEIGHTS"),
        (["--set", "score"], "NAME=VALUE, got 'score'"),
        (["--duration", "0"], "positive"),
        (["--animation", "-1"], "--animation must not be negative, got -1"),
    ],
)
def test_demo_names_wrong_arguments_before_it_starts_a_process(arguments, message, children, capsys, tmp_path) -> None:
    assert demo.main([*arguments, "--output", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
    assert children == []


def test_demo_output_shows_pose_errors() -> None:
    mug_pose = PublishedObject("mug_3", "mug", np.eye(4), np.array([0.12, 0.08, 0.1]), 0.87)
    rows = [
        ObservedObject(mug_pose, 2.5, LiveError(1.24, 7.6)),
        ObservedObject(PublishedObject("can_1", "can", np.eye(4), np.ones(3), 0.5), 0.0, None),
    ]
    mug, can = CategorySummary(3, 2, 1.24, 4.0), CategorySummary(2, 0, None, None)
    summary = LiveSummary(9, 3, 6, 30.0, 12.5, None, None, {"mug": mug, "can": can})
    assert "mug_3 0.87 (1.2 cm, 8 deg off)" in progress_line(rows, summary, 3.0)
    assert "can_1 0.50 (no true object)" in progress_line(rows, summary, 3.0)
    assert "can_1 0.50 (no true object)" in progress_line(rows, replace(summary, categories={}), 0.0)
    view = object_table(rows, summary, 3.0, 30.0)
    assert view.row_count == 2
    assert [list(column.cells)[1] for column in view.columns][:2] == ["mug", "mug_3"]
    assert list(view.columns[-1].cells) == ["-", "8"]
    text = summary_text(summary, Path("out"))
    assert "frames in 9, posed 3, dropped 6" in text
    assert "3 poses, median error 1.2 cm, 4.0 deg, 1 without a true object" in text
    assert "2 poses, 2 without a true object" in text


def test_demo_output_without_truth_shows_no_errors() -> None:
    rows = [ObservedObject(PublishedObject("can_1", "can", np.eye(4), np.ones(3), 0.5), 0.0, None)]
    summary = LiveSummary(9, 3, 6, 30.0, 12.5, None, None, {"can": CategorySummary(2, 0, None, None)})
    assert progress_line(rows, summary, 3.0).endswith("can_1 0.50")
    assert "2 poses, truth unknown" in summary_text(summary, Path("out"))


@pytest.mark.skipif(not DATA, reason="CLIPOSE_DATA does not name a folder with real weights and images")
def test_demo_of_a_folder_has_no_errors_in_the_summary(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(live_system, "POSE_NODE", ("-m", "clipose_ros.ros.pose_node"))
    if not list((ROOT / "models").glob("clipose_small.safetensors")):
        pytest.skip("models/clipose_small.safetensors is not in this checkout")
    weights = f"{DATA}/weights/yolov8n-seg_int8.tflite"
    arguments = ["--input", f"{DATA}/rgbd/tabletop", "--segmenter", f"yolo:{weights}", "--duration", "9"]
    assert demo.main([*arguments, "--output", str(tmp_path)]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["categories"]
    assert all(f["translation_error_cm_median"] is None for f in summary["categories"].values())


def test_output_folder_that_cannot_be_created_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert demo.main(["--output", str(tmp_path / "file" / "output")]) == 1
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("demo: ") and str(tmp_path / "file" / "output") in error[-1]
