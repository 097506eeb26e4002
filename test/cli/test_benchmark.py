"""The command ``benchmark``."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clipose_ros.benchmark import network, training, whole_pipeline
from clipose_ros.benchmark.frame_stages import frame_stages, process_frame
from clipose_ros.benchmark.inputs import BenchmarkInputs
from clipose_ros.benchmark.machine import describe_machine
from clipose_ros.benchmark.record import BenchmarkRecord, read_record
from clipose_ros.benchmark.result_tables import IMAGE_STAGES, NODE_STAGES, build_tables
from clipose_ros.benchmark.rows import LiveRow
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import benchmark, live_benchmark, live_system
from clipose_ros.cli.live_benchmark import LiveCase, run_live
from clipose_ros.cli.subprocesses import SubprocessDiedError
from clipose_ros.config import NetworkConfig, SegmentationConfig, TtaConfig
from clipose_ros.errors import ExportError
from clipose_ros.inference.predictor import Predictor
from clipose_ros.ros_tools.message_benchmark import message_stages
from clipose_ros.segmentation.labels import LabelSegmenter

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"frames": 2, "width": 160, "height": 120, "workers": 1}
LIVE_KEYS = [
    "objects", "segmenter", "asked_hz", "seconds", "start_s", "objects_posed", "frames_in", "frames_posed", "dropped",
    "rate_hz", "latency_ms_p50", "latency_ms_p95", "latency_ms_p99", "categories", "processes",
]  # fmt: skip


@pytest.fixture
def children(started, own_domain: int, monkeypatch: pytest.MonkeyPatch):
    """Return the processes that a test starts, in a separate ROS domain."""
    monkeypatch.setattr(live_benchmark, "SETTLING_S", 0.1)
    for name, value in live_system.live_environment().items():
        monkeypatch.setenv(name, value)
    return started


def wait_for(condition, limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.02)


def test_run_live_measures_a_case_and_stops_its_processes(tmp_path: Path, children) -> None:
    row = run_live(LiveCase(objects=2, seconds=2.0, rate_hz=10.0, camera=SMALL), tmp_path)
    record = row.to_json()
    assert len(children) == 2 and not children.alive
    assert list(record) == LIVE_KEYS
    assert record["frames_in"] >= record["frames_posed"] >= 1 and record["dropped"] < record["frames_in"]
    assert 0.0 < record["latency_ms_p50"] <= record["latency_ms_p95"] <= record["latency_ms_p99"]
    assert 0.0 < record["rate_hz"] < 30.0 and 0.0 < record["objects_posed"] <= 2.0
    assert list(record["processes"]) == ["camera", "node", "subscriber"]
    assert all(usage["cpu_percent"] >= 0.0 < usage["rss_most_mib"] for usage in record["processes"].values())
    assert LiveRow.from_json(json.loads(json.dumps(record, allow_nan=False))).to_json()["objects"] == 2
    assert len(build_tables(BenchmarkRecord(describe_machine(), 1, live=(row,)))) == 2


def test_run_live_reports_the_log_of_a_node_that_dies(
    tmp_path: Path, children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_system, "POSE_NODE", (*live_system.POSE_NODE, "--die"))
    with pytest.raises(SubprocessDiedError, match=r"pose node ended unexpectedly(.|\n)*a bug in compiled code"):
        run_live(LiveCase(objects=1, seconds=60.0, rate_hz=10.0, camera=SMALL), tmp_path)
    assert len(children) == 2 and not children.alive


def test_run_live_reports_a_camera_that_is_killed(tmp_path: Path, children) -> None:
    def kill() -> None:
        wait_for(lambda: len(children) == 2)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(SubprocessDiedError, match=r"camera ended unexpectedly \(SIGKILL\)"):
        run_live(LiveCase(objects=1, seconds=60.0, rate_hz=10.0, camera=SMALL), tmp_path)
    killer.join()
    assert not children.alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_main_stops_all_processes_when_interrupted(tmp_path: Path, children, runs, number: int) -> None:
    command = [sys.executable, "-m", "clipose_ros.cli.benchmark", "--only", "live", "--output", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    log = tmp_path / "live_0" / "camera.log"
    wait_for(lambda: log.is_file() and "rendering" in log.read_text())
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    assert "interrupted" in process.communicate(timeout=60)[1] and process.returncode == 130
    assert listed and not any(runs(int(pid)) for pid in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--segmenter", "yolo:/nowhere.pt"], "local file, got 'yolo:/nowhere.pt'"),
        (["--set", "score"], "NAME=VALUE, got 'score'"),
        (["--minutes", "0"], "positive"),
        (["--max-passes", "0"], "max_passes' must lie in"),
        (["--record", __file__], "must be a file written by --json"),
    ],
)
def test_main_names_wrong_arguments_before_it_starts_a_process(tmp_path, children, capsys, arguments, message) -> None:
    assert benchmark.main([*arguments, "--output", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
    assert children == [] and not list(tmp_path.iterdir())


def test_main_writes_draws_and_reads_a_record(tmp_path: Path, capsys) -> None:
    arguments = ["--output", str(tmp_path), "--json", str(tmp_path / "mine.json")]
    assert benchmark.main([*arguments, "--only", "stages", "--budget", "0", "--max-passes", "1"]) == 0
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "mine.json").read_text())
    assert (
        list(record) == ["format", "machine", "looks", "stages"]
        and record["looks"] == 1
        and (tmp_path / "benchmark.png").is_file()
    )
    assert set(NODE_STAGES) | set(IMAGE_STAGES) | {"network"} == {row["stage"] for row in record["stages"]}
    assert "sum without segmentation and network" in printed
    assert benchmark.main(["--output", str(tmp_path), "--record", str(tmp_path / "mine.json")]) == 0
    assert printed.partition("Stages of")[2] == capsys.readouterr().out.partition("Stages of")[2]


def test_gpu_without_a_gpu_is_one_line(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert benchmark.main(["--gpu", "--output", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "--gpu measures a GPU, and torch finds none" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def step_process(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """Stand in for the process of a training step, which test_training runs."""
    assert command[-1] == "cpu" and command[-3] in ("cuda", "cuda_bf16")
    output = json.dumps({"seconds": [1.0], "peak_bytes": 2**30})
    return subprocess.CompletedProcess(command, 0, output, "")


def no_export(*_: object) -> None:
    raise ExportError("no onnx here")


@pytest.mark.timeout(300)
def test_gpu_measures_its_parts_on_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.subprocess, "run", step_process)
    monkeypatch.setattr(whole_pipeline, "OBJECTS", (1, 10))
    monkeypatch.setattr(network, "GPU_GRID", network.Grid((1, 2), (1024,)))
    monkeypatch.setattr(network, "engine_names", lambda: ["pytorch"])
    monkeypatch.setattr(network.OnnxRuntime, "__init__", no_export)  # takes long, and a GPU has none
    monkeypatch.setattr(network, "build_paper_network", lambda: network.load_shipped_network("clipose_small"))
    assert benchmark.main(["--gpu", "--device", "cpu", "--budget", "0", "--output", str(tmp_path)]) == 0
    record = read_record(tmp_path / "benchmark.json")
    assert [row.objects for row in record.pipeline] == [1, 10]
    assert [(row.kind, row.batch) for row in record.training] == [("cuda", 24), ("cuda_bf16", 24)]
    assert {(row.model, row.batch) for row in record.network} == {
        (model, batch) for model in ("clipose_small", "paper's widths") for batch in (1, 2)
    }
    assert not record.live and not record.start and not record.stages


def test_gpu_goes_on_after_a_part_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory [GPU]")

    monkeypatch.setattr(training, "time_training", fail)
    monkeypatch.setattr(whole_pipeline, "OBJECTS", (1,))
    arguments = ["--gpu", "--device", "cpu", "--budget", "0", "--output", str(tmp_path)]
    assert benchmark.main([*arguments, "--only", "training", "pipeline"]) == 0
    assert "not measured: training: out of memory [GPU]" in capsys.readouterr().out
    assert len(read_record(tmp_path / "benchmark.json").pipeline) == 1


def test_stages_process_the_frame_like_the_node() -> None:
    inputs = BenchmarkInputs.rendered()
    predictor = Predictor.load("clipose_small", "cpu")
    processed = process_frame(inputs, predictor)
    results = {name: call() for name, call in frame_stages(inputs, predictor, processed).items()}
    results |= {name: call() for name, call in message_stages(inputs.frame, processed.tracks).items()}
    assert (
        len(results["point clouds"])
        == len(results["network"])
        == len(results["pose checks"])
        == len(processed.tracks)
        == 5
    )
    masks = LabelSegmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES).segment(results["read messages"])
    assert [item.box for item in masks] == [item.box for item in results["segmentation, labels"]]
    assert (results["drawing"] != inputs.frame.rgb).any()
    assert results["write image message"].encoding == "rgb8"


def test_live_cases_have_one_node_parameter_per_setting() -> None:
    options = argparse.Namespace(settings=[], frames=12, minutes=0.1, rate=30.0, objects=[1], segmenter=[])
    (case,) = benchmark.live_cases(options, NetworkConfig(tta=TtaConfig(max_passes=2)))
    assert case.node["network.tta.max_passes"] == 2
    assert not any(isinstance(value, dict) for value in case.node.values())
