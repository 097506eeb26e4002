"""The command prints a table for each kind of poses."""

from __future__ import annotations

from clipose_ros.cli.evaluate_grasps import main


def test_prints_a_table_of_true_poses(capsys):
    assert main(["--scenes", "1", "--poses", "true"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[0] == "true poses, 1 scenes"
    assert lines[2].startswith("| category | objects | with a grasp | success |") and lines[-1].startswith("| all |")


def test_a_missing_file_is_one_line(capsys, tmp_path):
    assert main(["--grasps", str(tmp_path / "none.yaml")]) == 1
    error = capsys.readouterr().err.strip()
    assert "none.yaml" in error and "\n" not in error
