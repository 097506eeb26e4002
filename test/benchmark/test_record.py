"""The file of a benchmark record."""

import json
from pathlib import Path
from typing import Any

import pytest

from clipose_ros.benchmark.record import FORMAT, BenchmarkRecord, read_record, write_record
from clipose_ros.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
TIMING = {"median_ms": 2.0, "low_ms": 1.5, "high_ms": 2.5, "count": 9}
MACHINE = {
    "date": "2030-01-02", "processor": "Abacus", "cores": 2, "flags": ["avx2"], "memory_gib": 4.0, "gpu": None,
    "system": "Linux x86_64", "python": "3.11.0", "versions": {"numpy": "2.0"}, "threads": 2, "settings": {},
    "load": 0.1,
}  # fmt: skip


def record_json(engine: str, kind: str, stage: str) -> dict[str, Any]:
    network = {"model": "tiny", "engine": engine, "device": "cpu", "batch": 1, "points": 1024, **TIMING}
    return {
        "format": FORMAT,
        "machine": MACHINE,
        "looks": 2,
        "network": [{**network, "pose_ms": 2.0, "ratio": 1.0, "deviation": 0.0}],
        "stages": [{"stage": stage, **TIMING}],
        "start": [{"model": "tiny", "engine": engine, "cache": "none", **TIMING}],
        "training": [{"preset": "tiny", "batch": 8, "kind": kind, **TIMING, "ratio": None, "peak_gib": 1.5}],
    }


@pytest.mark.parametrize(
    ("earlier", "present"),
    [
        (("reference", "plain", "clouds"), ("pytorch", "pytorch", "point clouds")),
        (("fused", "fused", "plausibility"), ("cpu", "cpu", "pose checks")),
        (("fused_int8", "fused_bf16", "picture out"), ("cpu_int8", "cpu_bf16", "write image message")),
        (("onnxruntime", "cpu", "network"), ("onnxruntime", "cpu", "network")),
    ],
)
def test_read_record_translates_earlier_names(
    earlier: tuple[str, str, str], present: tuple[str, str, str], tmp_path: Path
) -> None:
    (tmp_path / "record.json").write_text(json.dumps(record_json(*earlier)))
    record = read_record(tmp_path / "record.json")
    assert json.loads(json.dumps(record.to_json())) == record_json(*present)


def test_write_record_keeps_all_values_and_the_order_of_the_keys(tmp_path: Path) -> None:
    record = BenchmarkRecord.from_json(record_json("cpu", "cpu_bf16", "tracking"))
    write_record(record, tmp_path / "record.json")
    assert read_record(tmp_path / "record.json") == record
    written = json.loads((tmp_path / "record.json").read_text())
    assert json.dumps(written) == json.dumps(record_json("cpu", "cpu_bf16", "tracking"))


def test_record_of_the_documentation_is_unchanged_by_reading_and_writing(tmp_path: Path) -> None:
    shipped = ROOT / "docs" / "reference" / "performance.json"
    write_record(read_record(shipped), tmp_path / "record.json")
    assert (tmp_path / "record.json").read_text() == shipped.read_text()


@pytest.mark.parametrize("text", ["no json", "[]", '{"format": "other"}', json.dumps({"format": FORMAT})])
def test_read_record_rejects_other_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ConfigError, match="--record must .*other.json"):
        read_record(tmp_path / "other.json")
