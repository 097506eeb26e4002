"""The command ``doctor``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipose_ros.cli import doctor
from clipose_ros.doctor.row import Row, State

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_ROS = (
    "import sys; sys.modules['rclpy'] = None; from clipose_ros.cli.doctor import main; sys.exit(main(sys.argv[1:]))"
)


def rows_of(monkeypatch: pytest.MonkeyPatch, *rows: Row) -> None:
    monkeypatch.setattr(doctor, "_checks", lambda *_: [("checks", lambda: rows)])


@pytest.mark.parametrize(("state", "status"), [(State.OK, 0), (State.HINT, 0), (State.PROBLEM, 1), (State.UNKNOWN, 2)])
def test_table_and_exit_status(monkeypatch: pytest.MonkeyPatch, capsys, state: State, status: int) -> None:
    rows_of(
        monkeypatch, Row("depth unit", state, "found " * 40, "do this"), Row("topic /" + "long" * 20, State.OK, "30 Hz")
    )
    assert doctor.main([]) == status
    printed = capsys.readouterr().out
    assert printed.startswith(f"{state.value:<12}depth unit") and "→ do this" in printed and "30 Hz" in printed
    assert max(map(len, printed.splitlines())) <= 120


def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    rows_of(monkeypatch, Row("depth unit", State.PROBLEM, "4 m", "do this"))
    assert doctor.main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "state": "problem",
        "checks": [{"check": "depth unit", "state": "problem", "found": "4 m", "advice": "do this"}],
    }


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def interrupted() -> list[Row]:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "_checks", lambda *_: [("checks", interrupted)])
    assert doctor.main([]) == 130 and capsys.readouterr().err == "doctor: interrupted\n"


def test_a_parameter_file_that_cannot_be_read_is_one_line(tmp_path: Path, capsys) -> None:
    assert doctor.main(["--params", str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("seconds", ["0", "nan", "x"])
def test_a_wrong_time_is_refused(seconds: str) -> None:
    with pytest.raises(SystemExit):
        doctor.main(["--seconds", seconds])


def test_without_ros_the_rest_is_checked() -> None:
    command = [sys.executable, "-c", WITHOUT_ROS, "--json", "--ros-args", "-r", "a:=b"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2, done.stderr
    states = {row["check"]: row["state"] for row in json.loads(done.stdout)["checks"]}
    assert {check for check, state in states.items() if state == "not checked"} == {"distribution", "rmw", "camera"}
    assert states["packages"] == states["model clipose_small.safetensors"] == states["network.model"] == "ok"


def test_a_middleware_that_is_not_installed_ends_no_check() -> None:
    command = [sys.executable, "-m", "clipose_ros.cli.doctor", "--json"]
    environment = {**os.environ, "RMW_IMPLEMENTATION": "rmw_nowhere"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1, done.stderr
    rows = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
    assert rows["rmw"]["state"] == "problem" and "rmw_nowhere" in rows["rmw"]["found"]
    assert rows["camera"]["state"] == "not checked" and rows["packages"]["state"] == "ok"


def test_a_whole_run_ends_with_the_status_of_its_rows(own_domain: int, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("clipose_ros.doctor.camera.DISCOVERY_S", 0.0)
    assert doctor.main(["--seconds", "0.5", "--json"]) == 1
    record = json.loads(capsys.readouterr().out)
    assert record["state"] == "problem", "there is no camera"
    assert {row["check"] for row in record["checks"] if row["state"] == "problem"} == {
        "topic /rgb/image_rect_color", "topic /depth_registered/image_rect", "topic /rgb/camera_info", "matched sets",
    }  # fmt: skip
