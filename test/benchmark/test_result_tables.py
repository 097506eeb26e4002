"""Tables, plot and Markdown page of a benchmark record."""

from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from clipose_ros.benchmark.machine import MachineDescription
from clipose_ros.benchmark.markdown_page import BEGIN, END, update_page
from clipose_ros.benchmark.plot import plot_record
from clipose_ros.benchmark.process_usage import ProcessUsage
from clipose_ros.benchmark.record import BenchmarkRecord, read_record
from clipose_ros.benchmark.result_tables import IMAGE_STAGES, NODE_STAGES, build_tables, machine_line
from clipose_ros.benchmark.rows import LiveRow, NetworkRow, PipelineRow, StageRow, StartRow, TrainingRow
from clipose_ros.benchmark.timing import Timing
from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.live_statistics import LiveSummary

TIMING = Timing(2.0, 1.5, 2.5, 9)
USAGE = ProcessUsage(41.0, 300.0, 301.5, 302.0, 0.07, (300.0, 301.5))
MACHINE = MachineDescription(
    "2030-01-02", "Abacus", 2, (), 4.0, None, "Linux x86_64", "3.11.0", {"numpy": "2.0"}, 2, {}, 0.1
)
RECORD = BenchmarkRecord(
    MACHINE,
    max_passes=2,
    network=tuple(
        NetworkRow("tiny", engine, "cpu", batch, points, TIMING, pose_ms=2.0 / batch, ratio=1.0, deviation=0.0)
        for engine in ("pytorch", "quick")
        for batch, points in ((1, 1024), (5, 1024), (1, 256))
    ),
    stages=tuple(StageRow(stage, TIMING) for stage in (*NODE_STAGES, "network", *IMAGE_STAGES)),
    pipeline=(PipelineRow(10, "cuda", "cuda:0", TIMING),),
    start=(StartRow("tiny", "auto", "none", replace(TIMING, median_ms=4321.0)),),
    training=(TrainingRow("tiny", 8, "pytorch", TIMING, ratio=None, peak_gib=1.5),),
    live=(
        LiveRow(
            3, "labels", 30.0, 12.0, 3.21, 2.5, LiveSummary(360, 350, 9, 29.2, 20.0, 30.0, None, {}), {"node": USAGE}
        ),
    ),
)
EMPTY = BenchmarkRecord(MACHINE, 2).to_json()


def test_build_tables_fills_every_table() -> None:
    tables = build_tables(RECORD)
    assert len(tables) == 8
    assert all(len(row) == len(table.head) for table in tables for row in table.rows)
    cells = {cell for table in tables for row in table.rows for cell in row}
    assert {"2.00 (1.50–2.50)", "9 of 360", "29.2", "-", "4.3", "+0.07", "1.50", "cuda:0"} <= cells


def test_build_tables_orders_engines_by_batch_size_and_points() -> None:
    by_batch, by_points = build_tables(RECORD)[:2]
    assert by_batch.title == "Network, tiny, by batch size: ms per pose (quartiles) × speed-up over pytorch"
    assert by_batch.head == ("engine", "batch 1", "batch 5", "deviation")
    assert by_batch.rows[1] == ("quick", "2.00 (1.50–2.50) ×1", "0.40 (0.30–0.50) ×1", "0e+00")
    assert by_points.head == ("engine", "points 256", "points 1024", "deviation")


def test_machine_line_names_processor_and_settings() -> None:
    line = machine_line(RECORD)
    assert line.startswith("2030-01-02: Abacus, 2 cores (no AVX); 4 GiB; no GPU")
    assert "; network.tta.max_passes=2; load" in line


def test_stage_table_sums_the_stages_besides_segmentation_and_network() -> None:
    stages = next(table for table in build_tables(RECORD) if table.title.startswith("Stages"))
    sums = dict(stages.rows)
    assert sums["sum without segmentation and network"] == "10.0"  # five stages of 2 ms
    assert sums["the same sum with the annotated image"] == "14.0"


def test_build_tables_leaves_out_parts_that_were_not_measured() -> None:
    (table,) = build_tables(BenchmarkRecord(MACHINE, 2, stages=RECORD.stages[:1]))
    assert table.rows == (("segmentation, labels", "2.00 (1.50–2.50)"),)


@pytest.mark.parametrize("part", ["network", "stages", "live", None])
def test_plot_record_draws_any_part(tmp_path: Path, part: str | None) -> None:
    record = BenchmarkRecord.from_json({**EMPTY, part: RECORD.to_json()[part]}) if part else RECORD
    plot_record(record, tmp_path / "plot.png")
    assert min(cv2.imread(str(tmp_path / "plot.png")).shape[:2]) > 400


def test_update_page_replaces_the_tables_and_keeps_the_text(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    update_page(page, RECORD)
    once = page.read_text()
    update_page(page, RECORD)
    assert page.read_text() == once
    assert once.startswith("# Speed\n\nbefore\n") and once.endswith("\n\nafter\n") and "old" not in once
    assert "| quick | 2.00 (1.50–2.50) ×1 | 0.40 (0.30–0.50) ×1 | 0e+00 |" in once and "](images/speed.png)" in once
    assert (tmp_path / "images" / "speed.png").is_file()
    assert read_record(tmp_path / "speed.json") == RECORD


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}"])
def test_update_page_rejects_a_page_without_marks(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(DataError, match="must hold the lines"):
        update_page(page, RECORD)
    assert page.read_text() == text and not (tmp_path / "images").exists()
