"""The command ``evaluate --photos``."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.cli import evaluate


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Return the options of a folder with one plain image that holds one object by its annotation."""
    path = tmp_path / "photos" / "plain.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), np.full((120, 160, 3), 128, np.uint8))
    image = {"name": "plain.png", "group": "frames", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    image |= {
        "width": 160,
        "height": 120,
        "objects": [{"category": "mug", "outline": [10, 10, 60, 10, 60, 60, 10, 60]}],
    }
    (tmp_path / "a.json").write_text(json.dumps({"images": [image]}))
    return ["--photos", str(path.parent), "--annotations", str(tmp_path / "a.json")]


def test_missed_object_is_counted_and_drawn(
    photos: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ultralytics")
    drawings, record = tmp_path / "drawings", tmp_path / "record.json"
    assert evaluate.main([*photos, "--drawings", str(drawings), "--json", str(record)]) == 0
    figures = json.loads(record.read_text())["groups"]["frames"]["mug"]
    assert (figures["objects"], figures["found"], figures["recall"]) == (1, 0, 0.0)
    assert "recall %" in capsys.readouterr().out
    drawn = cv2.imread(str(drawings / "plain.png"))
    assert drawn is not None and drawn[10, 30, 1] > drawn[10, 30, 2]  # the outline is green


def test_segmenter_that_needs_labels_is_refused_in_one_line(
    photos: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*photos, "--segmenter", "labels"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("evaluate: ") and "\n" not in error


def test_options_of_photographs_require_photos(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["--scenes", "1", "--drawings", "x"])
    assert "--drawings requires --photos" in capsys.readouterr().err
