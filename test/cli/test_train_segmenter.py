"""The command ``train_segmenter``."""

from pathlib import Path

import pytest

from clipose_ros.cli.train_segmenter import main


def test_pictures_renders_the_images_of_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pictures", "--out", str(tmp_path), "--part", "val", "--scenes", "1", "--size", "96x64", "--seed", "2"]
    assert main(command) == 0
    assert "6 images in part val" in capsys.readouterr().out
    assert len(list((tmp_path / "images/val").glob("*.jpg"))) == 6
    assert main([*command, "--seed", "3"]) == 1
    assert "begun with other settings" in capsys.readouterr().err


def test_pictures_renders_realistic_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pictures", "--out", str(tmp_path), "--realistic", "--scenes", "1", "--size", "96x64", "--tables", "0"]
    assert main(command) == 0
    assert "6 images in part train" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--photos", "--rejected", "--panoramas", "--backgrounds"])
def test_options_of_realistic_images_require_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["pictures", "--out", str(tmp_path / "out"), option, str(tmp_path)]) == 1
    assert "--realistic" in capsys.readouterr().err


def test_classes_names_weights_that_do_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ultralytics")
    assert main(["classes", "--start", str(tmp_path / "none.pt"), "--out", str(tmp_path / "new.pt")]) == 1
    assert "none.pt" in capsys.readouterr().err


def test_pictures_rejects_a_malformed_size(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["pictures", "--out", str(tmp_path), "--size", "big"])
    assert leaving.value.code == 2


def test_train_without_data_names_the_command_that_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", str(tmp_path / "dataset.yaml"), "--out", str(tmp_path)]) == 1
    assert "train_segmenter pictures" in capsys.readouterr().err


def test_train_names_a_missing_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_evaluate_names_missing_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ultralytics")
    arguments = ["--weights", str(tmp_path / "none.pt"), "--data", str(tmp_path / "dataset.yaml")]
    assert main(["evaluate", *arguments]) == 1
    assert "none.pt" in capsys.readouterr().err
