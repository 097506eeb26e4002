"""``evaluate --bag``: errors of tracked poses against the true poses of a recording."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bag_files import TRUTH, Messages, scene_items, write_bag

from clipose_ros.cli import evaluate
from clipose_ros.inference.pipeline import PosePipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ros"))
from box_pose_node import BoxPredictor, box_pipeline


@pytest.fixture
def boxes(monkeypatch):
    """The real pipeline with boxes for poses, in place of the network."""
    monkeypatch.setattr(
        PosePipeline, "from_config", classmethod(lambda cls, config, live=False: box_pipeline(config, BoxPredictor()))
    )


def test_errors_are_measured_against_the_truth(tmp_path, boxes, capsys):
    bag = write_bag(tmp_path / "bag", scene_items(6))
    assert evaluate.main(["--bag", str(bag), "--json", str(tmp_path / "out.json")]) == 0
    assert "mug" in capsys.readouterr().out
    record = json.loads((tmp_path / "out.json").read_text())
    mug = record["errors"]["mug"]
    assert record["frames"] == 6 and mug["poses"] == mug["matched"] > 0
    assert 0.0 < mug["translation_cm"] < 30.0
    assert record["errors"]["bowl"]["matched"] == 0


@pytest.mark.parametrize("truths", [False, True])
def test_a_recording_without_truth_is_refused(tmp_path, boxes, capsys, truths):
    items = scene_items(3, truths=truths)
    for item in items:
        if item.topic == TRUTH:
            item.message.header = Messages().header(item.log_ns - 9, "another")
    assert evaluate.main(["--bag", str(write_bag(tmp_path / "bag", items))]) == 1
    error = capsys.readouterr().err
    assert "no true poses" in error and error.count("\n") == 1
