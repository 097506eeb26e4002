"""The command ``evaluate --results``."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.cli import evaluate
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects, write_results
from clipose_ros.geometry.se3 import exp_so3, make_transform

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Write two result files: a can with its true pose, and a mug with a translation error of 3 cm."""
    for number, (class_id, offset) in enumerate(((4, 0.0), (6, 0.03))):
        true = make_transform(np.eye(3), [0.0, 0.0, 1.0])
        estimate = make_transform(np.eye(3), [offset, 0.0, 1.0])
        truths = NocsObjects.from_poses([class_id], true[None], [[0.12, 0.1, 0.12]])
        predictions = NocsObjects.from_poses([class_id], estimate[None], [[0.12, 0.1, 0.12]])
        frame = NocsFrame("", truths, np.ones(1, dtype=bool), predictions, np.array([0.9]))
        write_results(tmp_path / f"results_{number}.pkl", frame)
    return tmp_path


def test_evaluate_scores_result_files(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "figures.json"
    assert evaluate.main(["--results", f"{results}/results_*.pkl", "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert figures["source"].startswith("2 result files") and set(figures["iou"]) == {
        "released",
        "corrected",
        "oriented",
    }
    mugs = figures["iou"]["oriented"]["categories"]["mug"]
    assert (mugs["truths"], mugs["IoU50"], mugs["5deg2cm"]) == (1, 100.0, 0.0)
    assert mugs["5deg5cm"] == 100.0
    assert figures["iou"]["corrected"]["categories"]["mean"]["5deg2cm"] == 50.0
    assert figures["iou"]["corrected"]["categories"]["bowl"]["IoU25"] is None
    printed = capsys.readouterr().out
    assert "IoU oriented" in printed and "10deg5cm" in printed


def test_evaluate_of_result_files_does_not_import_torch(results: Path) -> None:
    program = (
        "import sys; from clipose_ros.cli import evaluate; "
        f"status = evaluate.main(['--results', {str(results)!r}]); sys.exit(status or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_evaluate_names_wrong_files_and_patterns(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["--results", f"{results}/nothing_*.pkl"]) == 1
    assert "nothing_*.pkl" in capsys.readouterr().err
    (results / "results_9.pkl").write_bytes(pickle.dumps({"gt_class_ids": print}))
    assert evaluate.main(["--results", str(results)]) == 1
    error = capsys.readouterr().err
    assert "results_9.pkl" in error and "print" in error


def test_evaluate_requires_exactly_one_source(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--results", "a", "--data", "b"]):
        with pytest.raises(SystemExit):
            evaluate.main(arguments)
    assert "--results" in capsys.readouterr().err


def test_evaluate_writes_a_report(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert evaluate.main(["--results", str(results), "--report", str(page)]) == 0
    assert "2 result files" in page.read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        evaluate.main(["--sequence", "5", "--report", str(page)])
    assert "--report requires" in capsys.readouterr().err


def test_evaluate_creates_output_folders_and_prints_tables_before_it_fails(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ["--results", str(results)]
    new = tmp_path / "new" / "folder" / "figures.json"
    assert evaluate.main([*source, "--json", str(new), "--report", str(tmp_path / "other" / "page.html")]) == 0
    assert new.is_file() and (tmp_path / "other" / "page.html").is_file()
    capsys.readouterr()
    assert evaluate.main([*source, "--json", str(tmp_path)]) == 1, "the path is a folder"
    printed = capsys.readouterr()
    assert "IoU oriented" in printed.out and str(tmp_path) in printed.err
    assert evaluate.main([*source, "--json", str(new / "below.json")]) == 1, "the parent is a file"
    assert not capsys.readouterr().out, "the error comes before the evaluation"


def test_evaluate_scores_an_added_category_by_its_class_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The added category is axially symmetric, so a rotation about y is no error."""
    turned = make_transform(exp_so3([0.0, 0.4, 0.0]), [0.0, 0.0, 1.0])
    truths = NocsObjects.from_poses([7], make_transform(np.eye(3), [0.0, 0.0, 1.0])[None], [[0.06, 0.1, 0.06]])
    predictions = NocsObjects.from_poses([7], turned[None], [[0.06, 0.1, 0.06]])
    frame = NocsFrame("", truths, np.ones(1, dtype=bool), predictions, np.ones(1))
    write_results(tmp_path / "results_0.pkl", frame)
    arguments = ["--results", str(tmp_path), "--json", str(tmp_path / "figures.json")]
    for extra, is_known in ([], False), (["--categories", str(ROOT / "config/categories/with_candle.yaml")], True):
        assert evaluate.main([*arguments, *extra]) == 0
        figures = json.loads((tmp_path / "figures.json").read_text())["iou"]["oriented"]["categories"]
        assert ("candle" in figures) == is_known
        assert figures["mean"]["5deg2cm"] == (100.0 if is_known else None)
    with pytest.raises(SystemExit):
        evaluate.main(["--data", "clouds.npz", "--categories", "categories.yaml"])
    assert "--categories requires --results" in capsys.readouterr().err
