"""No command contacts a host, downloads anything or writes to the home folder.

Commands run in processes whose sockets refuse every address but loopback (``socket_guard``), with a home folder that
cannot be written to. DDS uses sockets of its own, which ROS 2 configures.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.resources import config_path

ROOT = Path(__file__).resolve().parents[2]
GUARD = ROOT / "test/socket_guard"
RUN = """
import importlib, json, sys
for name, arguments in json.loads(sys.argv[1]):
    main = importlib.import_module(name).main
    try:
        status = main(arguments) if arguments is not None else 0
    except SystemExit as leaving:
        status = leaving.code
    assert not status, (name, arguments, status)
"""


def modules() -> dict[str, str]:
    """Return the module of every entry point of ``setup.py``."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXECUTABLES":
            return {name: target.partition(":")[0] for name, target in ast.literal_eval(node.value).items()}
    raise AssertionError("setup.py has no EXECUTABLES")


def run_guarded(folder: Path, program: str, *arguments: str) -> None:
    """Run a program under the guard; it must succeed, contact nothing, and leave the home folder as it is."""
    home, log = folder / "home", folder / "contacted"
    home.write_text("")  # a file: nothing can be written below it, not even by root
    dropped = ("YOLO_", "ULTRALYTICS_", "HF_", "TORCH_", "XDG_", "MPL")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    environment |= {"HOME": str(home), "SOCKET_GUARD_LOG": str(log), "ROS_LOG_DIR": str(folder / "ros_log")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(GUARD), environment.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert not log.exists(), log.read_text()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]


def test_guard_refuses_hosts_and_accepts_loopback(tmp_path: Path) -> None:
    program = """
import socket, urllib.request
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
socket.getaddrinfo("localhost", 80)
for contact in (
    lambda: socket.create_connection(("192.0.2.1", 80)),
    lambda: socket.getaddrinfo("example.org", 443),
    lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
    lambda: urllib.request.urlopen("http://192.0.2.1/"),
):
    try:
        contact()
    except OSError:
        continue
    raise SystemExit(1)
"""
    with pytest.raises(AssertionError, match=r"(?s)192\.0\.2\.1.*example\.org.*192\.0\.2\.1.*192\.0\.2\.1"):
        run_guarded(tmp_path, program)


def test_help_contacts_nothing(tmp_path: Path) -> None:
    # The programs of ROS have no --help: ROS reads their arguments.
    runs = [(module, ["--help"] if ".cli." in module else None) for module in modules().values()]
    run_guarded(tmp_path, RUN, json.dumps(runs))


def commands(folder: Path) -> list[tuple[str, list[str]]]:
    """Return a tiny run of every command that needs neither ROS nor ultralytics."""
    clouds, network = str(folder / "clouds.npz"), ["--model", "clipose_small"]
    small = ["initial_points=128", "initial_points_fraction=1", "batch=2", "threads=1", "warmup_steps=1", "steps=1"]
    train = ["--recipe", "clipose_small", "--data", clouds, "--validation", clouds, "--device", "cpu", "--out"]
    listed = [
        ("generate", ["--scenes", "1", "--seed", "1", "--out", clouds]),
        ("train", [*train, str(folder / "run"), *small, "tensorboard=false"]),
        ("export", [*network, "--out", str(folder / "network.onnx"), "--unchecked"]),
        ("evaluate", [*network, "--device", "cpu", "--data", clouds]),
    ]
    return [(modules()[name], arguments) for name, arguments in listed]


def slow_commands(folder: Path) -> list[tuple[str, list[str]]]:
    """Return further runs of the same commands, on other kinds of data."""
    write_nocs_fixture(folder / "nocs", "real_test", scenes=1, frames=1, seed=4)
    shards, network = str(folder / "shards"), ["--model", "clipose_small", "--device", "cpu"]
    data = ["--data", shards, "--validation", shards, "--out", str(folder / "run"), "--device", "cpu"]
    listed = [
        ("generate", ["--scenes", "2", "--seed", "1", "--shards", shards, "--scenes-per-shard", "1", "--workers", "2"]),
        ("train", ["--recipe", "clipose_small", *data, "threads=1", "--dry-run"]),
        ("evaluate", [*network, "--nocs", str(folder / "nocs"), "--subset", "real_test"]),
        ("evaluate", [*network, "--scenes", "1"]),
        ("benchmark", ["--only", "stages", "--budget", "0", "--max-passes", "1", "--output", str(folder / "bench")]),
    ]
    return [(modules()[name], arguments) for name, arguments in listed]


def segmenter_commands(folder: Path) -> list[tuple[str, list[str]]]:
    """Return a tiny run of every verb of ``train_segmenter``, and a run from weights."""
    data, recipe, weights = (str(folder / name) for name in ("d/dataset.yaml", "recipe.yaml", "out/segmenter.pt"))
    (folder / "recipe.yaml").write_text("epochs: 1\nbatch: 3\nimage_size: 64\n")
    pictures = ["pictures", "--out", str(folder / "d"), "--scenes", "1", "--size", "96x64"]
    train = ["train", "--recipe", recipe, "--data", data]
    listed = [
        [*pictures, "--part", "train"],
        [*pictures, "--part", "val"],
        [*train, "--out", str(folder / "out")],
        [*train, "--out", str(folder / "again"), "--start", weights],
        ["evaluate", "--weights", weights, "--data", data, "--image-size", "64"],
    ]
    if find_spec("openvino") is not None and find_spec("nncf") is not None:
        exported = str(folder / "six_openvino_model")
        listed.append(["export", "--weights", weights, "--data", data, "--out", exported, "--images", "2"])
    return [(modules()["train_segmenter"], arguments) for arguments in listed]


@pytest.mark.timeout(600)
def test_commands_contact_nothing(tmp_path: Path) -> None:
    run_guarded(tmp_path, RUN, json.dumps(commands(tmp_path)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_further_runs_contact_nothing(tmp_path: Path) -> None:
    run_guarded(tmp_path, RUN, json.dumps(slow_commands(tmp_path)))


@pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)")
def test_make_segmenter_downloads_nothing_by_itself(tmp_path: Path) -> None:
    options = [
        "--prompts",
        "mug: mug",
        "--weights",
        str(tmp_path / "yoloe-26s-seg.pt"),
        "--out",
        str(tmp_path / "m.pt"),
    ]
    program = f"from clipose_ros.cli.make_segmenter import main; assert main({options!r}) == 1"
    run_guarded(tmp_path, program)


@pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)")
@pytest.mark.timeout(600)
def test_detector_commands_contact_nothing(tmp_path: Path) -> None:
    run_guarded(tmp_path, RUN, json.dumps(segmenter_commands(tmp_path)))
    assert not list(tmp_path.rglob("Arial*")) and not list(tmp_path.rglob("runs"))


@pytest.mark.timeout(300)
def test_live_commands_contact_nothing(tmp_path: Path, own_domain: int) -> None:
    """The demo with the shipped detector runs the camera and the node as processes, under the guard as well."""
    short = ["--duration", "1", "--frames", "2", "--rate", "5", "--output", str(tmp_path / "demo")]
    segmenter = [] if find_spec("ultralytics") and config_path("detector.yaml").is_file() else ["--segmenter", "labels"]
    run_guarded(tmp_path, RUN, json.dumps([(modules()["demo"], [*short, *segmenter])]))
