"""A detector of one's own: record frames, propose labels, train, evaluate, use."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.node_settings import segmenter_settings
from clipose_ros.cli.train_segmenter import main
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.data.rgbd_writer import RgbdFolderWriter
from clipose_ros.data.synthetic.sequence import SequenceConfig, render_sequence
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmenter_training.polygons import format_label, mask_to_polygon
from clipose_ros.types import InstanceMask

RECIPE = """\
image_size: 64
epochs: 1
batch: 4
"""


def record(folder: Path, seed: int, frames: int) -> list[str]:
    """Record simulated frames; return a label file for each, as a person would correct it."""
    writer, labels = RgbdFolderWriter(folder), []
    for rendered in render_sequence(SequenceConfig(seed=seed, frames=frames, width=96, height=72)):
        frame, lines = rendered.frame, []
        writer.write(frame)
        for truth in rendered.truths:
            category = NOCS_CATEGORIES[truth.category]
            polygon = mask_to_polygon(frame.labels == category.id * 1000 + truth.instance)
            if len(polygon):
                lines.append(format_label(NOCS_CATEGORIES.index(truth.category), polygon, 96, 72))
        labels.append("".join(f"{line}\n" for line in lines))
    return labels


def run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.mark.parametrize("options", [[], ["--weights", "none.pt"], ["--params", "none.yaml"]])
def test_propose_needs_an_existing_segmenter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["propose", "--images", str(tmp_path), "--out", str(tmp_path / "set"), *options]) == 1
    assert (options[-1] if options else "--weights") in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ultralytics")
    data, out = tmp_path / "set", tmp_path / "run"
    for part, seed, frames in (("train", 1, 6), ("val", 2, 3)):
        folder = tmp_path / f"frames_{part}"
        labels = record(folder, seed, frames)
        run("propose", "--images", folder, "--weights", "shipped", "--part", part, "--out", data)
        assert f"{frames} images labelled" in capsys.readouterr().out
        # A person corrects the labels, whose names begin as those of the frames.
        for pair, text in zip(open_rgbd_folder(folder).pairs, labels, strict=True):
            (proposed,) = (data / "labels" / part).glob(f"{pair.colour.stem}-*.txt")
            proposed.write_text(text)
        run("propose", "--images", folder, "--weights", "shipped", "--part", part, "--out", data)
        assert f"existing labels of {frames} images kept" in capsys.readouterr().out
        assert sorted(path.read_text() for path in (data / "labels" / part).iterdir()) == sorted(labels)
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    run("train", "--recipe", tmp_path / "recipe.yaml", "--data", data / "dataset.yaml", "--out", out)
    printed = capsys.readouterr().out
    assert (
        "6 training and 3 validation images, 1 epochs" in printed
        and printed.count("epoch 1 of 1") == printed.count("\nepoch ") == 1
    )
    assert len(list((out / "predictions").glob("*.jpg"))) == 3

    run("evaluate", "--weights", out / "segmenter.pt", "--data", data / "dataset.yaml", "--image-size", 64)
    assert "mAP50" in capsys.readouterr().out

    settings = segmenter_settings(f"yolo:{out / 'segmenter.pt'}")
    config = PoseNodeConfig.from_mapping(nest(settings | {"segmentation.score_threshold": 0.0})).segmentation
    assert (config.backend, config.image_size, len(config.class_map)) == ("yolo", 64, 6)
    segmenter = create_segmenter(config, NOCS_CATEGORIES, "cpu")
    found = segmenter.segment(open_rgbd_folder(tmp_path / "frames_val").read(0))
    assert all(isinstance(item, InstanceMask) and item.category in NOCS_CATEGORIES for item in found)
    # The next round starts from the own weights.
    run("propose", "--images", tmp_path / "frames_val", "--weights", out / "segmenter.pt", "--out", tmp_path / "next")
    assert "3 images labelled" in capsys.readouterr().out
