"""The command that makes detectors: what it writes and what it says."""

from pathlib import Path

import pytest

from clipose_ros.cli.train_segmenter import main


def test_pictures_are_drawn_as_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pictures", "--out", str(tmp_path), "--part", "val", "--scenes", "1", "--size", "96x64", "--seed", "2"]
    assert main(command) == 0
    assert "6 images in part val" in capsys.readouterr().out
    assert len(list((tmp_path / "images/val").glob("*.jpg"))) == 6
    assert main([*command, "--seed", "3"]) == 1
    assert "begun with other settings" in capsys.readouterr().err


def test_a_size_that_is_none_is_a_mistake_of_use(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["pictures", "--out", str(tmp_path), "--size", "big"])
    assert leaving.value.code == 2


def test_training_without_data_says_how_to_get_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", str(tmp_path / "dataset.yaml"), "--out", str(tmp_path)]) == 1
    assert "train_segmenter pictures" in capsys.readouterr().err


def test_a_recipe_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--data",
        str(tmp_path / "dataset.yaml"),
        "--out",
        str(tmp_path),
        "--recipe",
        str(tmp_path / "no.yaml"),
    ]
    assert main(["train", *arguments]) == 1
    assert "no.yaml" in capsys.readouterr().err


def test_weights_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ultralytics")
    arguments = ["--weights", str(tmp_path / "none.pt"), "--data", str(tmp_path / "dataset.yaml")]
    assert main(["evaluate", *arguments]) == 1
    assert "none.pt" in capsys.readouterr().err
