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


def write_entries(path: Path, **changes: object) -> None:
    """Write three perfect predictions as the released code does, with some entries changed."""
    rotations = exp_so3(np.random.default_rng(0).normal(size=(3, 3)))
    poses = make_transform(0.2 * rotations, [[0.0, 0.0, 1.0], [0.3, 0.0, 1.0], [0.6, 0.0, 1.0]])
    ids, half = np.array([1, 4, 6]), np.full((3, 3), 0.5)
    truths = {"gt_class_ids": ids, "gt_RTs": poses, "gt_scales": half, "gt_handle_visibility": np.ones(3, int)}
    predictions = {"pred_class_ids": ids, "pred_RTs": poses, "pred_scales": half, "pred_scores": np.full(3, 0.9)}
    entries = {**truths, **predictions, **changes}
    path.write_bytes(pickle.dumps({key: value for key, value in entries.items() if value is not None}))


def test_evaluate_says_that_class_ids_count_from_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from_0 = np.array([0, 3, 5])
    write_entries(tmp_path / "results_0.pkl", gt_class_ids=from_0, pred_class_ids=from_0)
    outputs = ["--json", str(tmp_path / "out.json"), "--report", str(tmp_path / "report.html")]
    assert evaluate.main(["--results", str(tmp_path), *outputs]) == 0
    error = capsys.readouterr().err
    assert "evaluate: 1 true objects have class ids other than 1, 2, 3, 4, 5, 6 (0) and are left out" in error
    assert "class ids count from 1, not from 0" in error
    assert len(json.loads((tmp_path / "out.json").read_text())["remarks"]) == 2
    assert "count from 1" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_evaluate_says_how_malformed_predictions_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = make_transform(np.stack([0.2 * np.eye(3)] * 3), [[0.0, 0.0, 1.0]] * 3)
    poses[0] = np.nan
    poses[1, :3, 0] *= -1.0
    write_entries(tmp_path / "results_0.pkl", pred_RTs=poses, gt_handle_visibility=None)
    assert evaluate.main(["--results", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("evaluate: ")]
    assert [line.split()[1:3] for line in lines] == [["1", "predictions"], ["1", "predictions"], ["1", "images"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt_RTs": np.stack([np.diag([-0.2, 0.2, 0.2, 1.0])] * 3)}, "results_0.pkl': gt_RTs[0] is mirrored"),
        ({"pred_scores": 0.5}, "'pred_scores' must have shape (3,)"),
        ({"gt_class_ids": "mug"}, "'gt_class_ids' is malformed: it must hold numbers"),
        ({7: 1, "pred_RTs": None}, "expected an entry 'pred_RTs'"),
    ],
)
def test_evaluate_names_malformed_entries_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[object, object], message: str
) -> None:
    write_entries(tmp_path / "results_0.pkl", **{key: value for key, value in changes.items() if isinstance(key, str)})
    if 7 in changes:
        path = tmp_path / "results_0.pkl"
        path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()) | {7: 1}))
    assert evaluate.main(["--results", str(tmp_path)]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error
