"""The history of headline figures by commit."""

from dataclasses import replace
from pathlib import Path

import pytest

from clipose_ros.benchmark.history import BEGIN, END, HEAD, add_to_history, current_commit, headline_row
from clipose_ros.benchmark.machine import MachineDescription
from clipose_ros.benchmark.record import BenchmarkRecord
from clipose_ros.benchmark.rows import LiveRow, StageRow
from clipose_ros.benchmark.timing import Timing
from clipose_ros.cli import benchmark
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.evaluation.runs.live_statistics import LiveSummary

ROOT = Path(__file__).resolve().parents[2]
MACHINE = MachineDescription("2030-01-02", "Abacus", 2, (), 4.0, None, "Linux x86_64", "3.11.0", {}, 2, {}, 0.1)
LIVE = LiveRow(3, "labels", 30.0, 12.0, 3.21, 2.5, LiveSummary(360, 350, 9, 29.2, 20.0, 30.0, None, {}), {})
FIVE = replace(LIVE, objects=5)
MEASURED = BenchmarkRecord(
    MACHINE,
    max_passes=2,
    stages=(StageRow("network", Timing(12.34, 12.0, 13.0, 9)),),
    live=(LIVE, FIVE, replace(FIVE, segmenter="shipped", summary=replace(FIVE.summary, rate_hz=17.0, dropped=36))),
)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(f"before\n\n{BEGIN}\n{END}\n\nafter\n")
    return path


def rows(page: Path) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")][2:]


def test_a_row_has_the_figures_of_five_objects() -> None:
    cells = dict(zip(HEAD, headline_row(MEASURED, "abc1234"), strict=True))
    assert cells == {
        "date": "2030-01-02", "commit": "abc1234", "machine": "Abacus, 2 cores", "labels Hz": "29.2",
        "labels p95 ms": "30.0", "detector": "shipped", "detector Hz": "17.0", "detector p95 ms": "30.0",
        "dropped %": "10.0", "network ms": "12.3",
    }  # fmt: skip


def test_parts_that_were_not_measured_are_dashes() -> None:
    assert headline_row(BenchmarkRecord(MACHINE, 2), "abc1234")[3:] == ("-",) * 7


def test_rows_are_appended_and_those_of_the_same_commit_and_machine_replaced(page: Path) -> None:
    other = replace(MEASURED, machine=replace(MACHINE, processor="Slide rule"))
    add_to_history(page, MEASURED, "first")
    add_to_history(page, MEASURED, "second")
    add_to_history(page, other, "first")
    add_to_history(page, replace(MEASURED, live=()), "first")
    assert [(cells[1], cells[2]) for cells in rows(page)] == [
        ("second", "Abacus, 2 cores"), ("first", "Slide rule, 2 cores"), ("first", "Abacus, 2 cores"),
    ]  # fmt: skip
    assert rows(page)[-1][3] == "-" and rows(page)[0][3] == "29.2"
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\n\nafter\n")


def test_the_command_adds_a_row_of_a_record(page: Path, tmp_path: Path) -> None:
    record = ROOT / "docs" / "reference" / "performance.json"
    arguments = ["--record", str(record), "--history", str(page), "--commit", "abc1234", "--output", str(tmp_path)]
    assert benchmark.main(arguments) == 0
    ((_, commit, *_),) = rows(page)
    assert commit == "abc1234"


def test_a_page_without_marks_is_refused_before_anything_is_measured(tmp_path: Path, capsys) -> None:
    (tmp_path / "page.md").write_text("text")
    assert benchmark.main(["--history", str(tmp_path / "page.md"), "--output", str(tmp_path / "out")]) == 1
    assert "must hold the lines" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_documentation_has_a_history(tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    copy.write_text((ROOT / "docs" / "reference" / "performance.md").read_text())
    before = rows_of_history(copy)
    add_to_history(copy, MEASURED, "abc1234")
    assert rows_of_history(copy) == [*before, list(headline_row(MEASURED, "abc1234"))]


def rows_of_history(page: Path) -> list[list[str]]:
    inside = page.read_text().partition(BEGIN)[2].partition(END)[0]
    return [line.strip("| ").split(" | ") for line in inside.splitlines() if line.startswith("|")][2:]


def test_outside_of_a_checkout_the_commit_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="--commit"):
        current_commit()


def test_a_missing_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.md"):
        add_to_history(tmp_path / "none.md", MEASURED, "abc1234")
