"""Records of earlier runs are read with the present names of engines and kinds."""

import json
from pathlib import Path

import pytest

from clipose_ros.benchmark.record import FORMAT, read_record, translate_names, write_record
from clipose_ros.errors import ConfigError

EARLIER = {
    "format": FORMAT,
    "network": [{"engine": name, "batch": 1} for name in ("reference", "fused", "fused_int8", "onnxruntime")],
    "start": [{"engine": "auto", "cache": "none"}, {"engine": "fused", "cache": "none"}],
    "training": [{"kind": name, "batch": 8} for name in ("plain", "fused", "fused_bf16")],
    "stages": [{"stage": "network"}],
}


def test_earlier_names_are_translated_on_reading(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(EARLIER))
    record = read_record(tmp_path / "old.json")
    assert [row["engine"] for row in record["network"]] == ["pytorch", "cpu", "cpu_int8", "onnxruntime"]
    assert [row["engine"] for row in record["start"]] == ["auto", "cpu"]
    assert [row["kind"] for row in record["training"]] == ["pytorch", "cpu", "cpu_bf16"]
    assert record["stages"] == EARLIER["stages"] and list(record) == list(EARLIER)
    assert translate_names(record) == record, "present names stay"


def test_a_written_record_is_read_again(tmp_path: Path) -> None:
    write_record(translate_names(EARLIER), tmp_path / "new.json")
    assert read_record(tmp_path / "new.json") == translate_names(EARLIER)


@pytest.mark.parametrize("text", ["no json", "[]", '{"format": "other"}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ConfigError, match="--record must be"):
        read_record(tmp_path / "other.json")
