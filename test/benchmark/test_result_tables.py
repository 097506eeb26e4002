"""A record becomes tables, a picture and a page; what is missing is left out."""

import json
from pathlib import Path

import cv2
import pytest

from clipose_ros.benchmark.markdown_page import BEGIN, END, update_page
from clipose_ros.benchmark.plot import plot_record
from clipose_ros.benchmark.result_tables import IMAGE_STAGES, NODE_STAGES, build_tables, machine_line
from clipose_ros.errors import DataError

TIMING = {"median_ms": 2.0, "low_ms": 1.5, "high_ms": 2.5, "count": 9}
USAGE = {
    "cpu_percent": 41.0, "rss_first_mib": 300.0, "rss_last_mib": 301.5, "rss_most_mib": 302.0,
    "growth_mib_per_min": 0.07, "rss_mib": [300.0, 301.5],
}  # fmt: skip
RECORD = {
    "looks": 2,
    "machine": {
        "date": "2030-01-02", "processor": "Abacus", "cores": 2, "flags": [], "memory_gib": 4.0, "gpu": None,
        "python": "3.11.0", "versions": {"numpy": "2.0"}, "settings": {}, "load": 0.1,
    },
    "network": [
        {
            "model": "tiny", "engine": engine, "device": "cpu", "batch": batch, "points": points, **TIMING,
            "pose_ms": 2.0 / batch, "ratio": 1.0, "deviation": 0.0,
        }
        for engine in ("pytorch", "quick")
        for batch, points in ((1, 1024), (5, 1024), (1, 256))
    ],
    "stages": [{"stage": stage, **TIMING} for stage in (*NODE_STAGES, "network", *IMAGE_STAGES)],
    "start": [{"model": "tiny", "engine": "auto", "cache": "none", **TIMING, "median_ms": 4321.0}],
    "training": [{"preset": "tiny", "batch": 8, "kind": "pytorch", **TIMING, "ratio": None, "peak_gib": 1.5}],
    "live": [
        {
            "objects": 3, "segmenter": "labels", "asked_hz": 30.0, "seconds": 12.0, "start_s": 3.21,
            "objects_posed": 2.5, "frames_in": 360, "frames_posed": 350, "dropped": 9, "rate_hz": 29.2,
            "latency_ms_p50": 20.0, "latency_ms_p95": 30.0, "latency_ms_p99": None, "categories": {},
            "processes": {"node": USAGE},
        }
    ],
}  # fmt: skip


def test_every_part_gives_a_whole_table() -> None:
    found = build_tables(RECORD)
    assert len(found) == 7
    assert all(len(row) == len(sheet.head) for sheet in found for row in sheet.rows)
    cells = {cell for sheet in found for row in sheet.rows for cell in row}
    assert {"2.00 (1.50–2.50)", "9 of 360", "29.2", "-", "4.3", "+0.07", "1.50"} <= cells
    assert machine_line(RECORD).startswith("2030-01-02: Abacus, 2 cores (no AVX); 4 GiB; no GPU")
    assert "; network.tta.max_passes=2; load" in machine_line(RECORD)


def test_the_rest_of_a_frame_is_added_up() -> None:
    stages = next(sheet for sheet in build_tables(RECORD) if sheet.title.startswith("Stages"))
    sums = dict(stages.rows)
    assert sums["sum without segmentation and network"] == "10.0"  # five stages of 2 ms
    assert sums["the same with the annotated image"] == "14.0"


def test_parts_that_were_not_measured_are_left_out() -> None:
    assert build_tables({"machine": RECORD["machine"], "stages": RECORD["stages"][:1]})[0].rows == (
        ("segmentation, labels", "2.00 (1.50–2.50)"),
    )


@pytest.mark.parametrize("part", ["network", "stages", "live", None])
def test_any_part_can_be_drawn(tmp_path: Path, part: str | None) -> None:
    plot_record({part: RECORD[part]} if part else RECORD, tmp_path / "plot.png")
    assert min(cv2.imread(str(tmp_path / "plot.png")).shape[:2]) > 400


def test_a_page_keeps_its_words_and_gets_its_figures_anew(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    update_page(page, RECORD)
    once = page.read_text()
    update_page(page, RECORD)
    assert page.read_text() == once
    assert once.startswith("# Speed\n\nbefore\n") and once.endswith("\n\nafter\n") and "old" not in once
    assert "| quick | 2.00 (1.50–2.50) ×1 | 0.40 (0.30–0.50) ×1 | 0e+00 |" in once and "](images/speed.png)" in once
    assert (tmp_path / "images" / "speed.png").is_file()
    assert json.loads((tmp_path / "speed.json").read_text()) == RECORD


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}{BEGIN}"])
def test_a_page_without_marks_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(DataError, match="must hold the lines"):
        update_page(page, RECORD)
    assert page.read_text() == text and not (tmp_path / "images").exists()
