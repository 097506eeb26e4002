"""Settings of the pose node from command line options."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.evaluate_options import read_options
from clipose_ros.cli.node_settings import node_config, read_parameters, segmenter_settings
from clipose_ros.config import NetworkConfig, PoseNodeConfig, TtaConfig, nest
from clipose_ros.errors import ConfigError
from clipose_ros.resources import config_path


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def as_config(settings: dict[str, Any]) -> PoseNodeConfig:
    return PoseNodeConfig.from_mapping(nest(settings))


@pytest.fixture
def ultralytics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ultralytics appear to be installed; no test runs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


def test_shipped_parameters_equal_the_defaults() -> None:
    assert as_config(read_parameters(config_path("pose.yaml"))) == PoseNodeConfig()


def test_read_parameters_reads_nested_and_dotted_names_of_the_pose_node(tmp_path: Path) -> None:
    path = written(
        tmp_path / "robot.yaml",
        """
        /**:
          ros__parameters: {use_sim_time: true, segmentation: {backend: mask_rcnn, class_map: ["can:can", ""]}}
        /arm/pose_node:
          ros__parameters: {segmentation.score_threshold: 0.5, categories: [""]}
        camera:
          ros__parameters: {frame_rate: 30}
        """,
    )
    config = as_config(read_parameters(path))
    assert (config.segmentation.backend, config.segmentation.class_map) == ("mask_rcnn", ("can:can",))
    assert config.segmentation.score_threshold == 0.5
    assert config.categories == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/**: {ros__parameters: {segmentation: {bakend: yolo}}}", "did you mean 'segmentation.backend'"),
        ("/**: {ros__parameters: {check.score_threshold: 7}}", "check.score_threshold"),
        ("/**: {ros__parameters: 7}", "have no section of the pose node"),
        ("camera: {ros__parameters: {rate: 7}}", "have no section of the pose node"),
        ("segmentation: {backend: yolo}", "as in config/pose.yaml"),
        ("- 7", "have no section of the pose node"),
        ("{", "cannot be read"),
    ],
)
def test_read_parameters_names_a_malformed_file(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "wrong.yaml", text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_parameters(path)
    assert "wrong.yaml" in str(caught.value)


def test_read_parameters_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        read_parameters(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("wrong", ["", "yolo", "yolo:", "yolo:nowhere.pt", "labels:file", "cnn:{here}"])
def test_segmenter_settings_rejects_unknown_segmenters(tmp_path: Path, wrong: str) -> None:
    here = written(tmp_path / "weights.pt", "")
    with pytest.raises(ConfigError, match="--segmenter must be shipped, labels, or yolo:WEIGHTS"):
        segmenter_settings(wrong.format(here=here))


@pytest.mark.parametrize("backend", ["yolo", "mask_rcnn"])
def test_segmenter_settings_have_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, ultralytics: None
) -> None:
    here = written(tmp_path / "weights.pt", "")
    monkeypatch.chdir(tmp_path)
    expected = {"segmentation.backend": backend, "segmentation.model": str(here)}
    assert segmenter_settings(f"{backend}:weights.pt") == expected


def test_segmenter_settings_of_the_shipped_detector_are_complete(ultralytics: None) -> None:
    segmentation = as_config(segmenter_settings("shipped")).segmentation
    assert (segmentation.backend, segmentation.model) == ("yolo", "clipose_segmenter")
    assert segmentation.class_map == tuple(f"{name}:{name}" for name in NOCS_CATEGORIES.names)


def test_segmenter_settings_name_a_missing_package_and_an_alternative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    here = written(tmp_path / "weights.pt", "")
    for which in ("shipped", f"yolo:{here}"):
        with pytest.raises(ConfigError, match=r"AGPL-3.0.*pip install ultralytics, or give --segmenter labels"):
            segmenter_settings(which)
    assert segmenter_settings(f"mask_rcnn:{here}") and segmenter_settings("labels")


def test_node_config_options_override_the_parameter_file(tmp_path: Path, ultralytics: None) -> None:
    path = written(
        tmp_path / "robot.yaml",
        "/**: {ros__parameters: {segmentation: {model: theirs.pt, image_size: 320, every_n: 3},"
        " network: {model: x, device: cpu, engine: fused_int8, threads: 2}}}",
    )
    weights = written(tmp_path / "weights.pt", "")

    def config_of(*arguments: str) -> PoseNodeConfig:
        return node_config(read_options(None, ["--scenes", "1", *arguments]))

    from_file = config_of("--params", str(path))
    assert (from_file.segmentation.backend, from_file.segmentation.model) == ("yolo", "theirs.pt")
    assert from_file.network == NetworkConfig(model="x", device="cpu", engine="cpu_int8", threads=2)
    overridden = config_of("--params", str(path), "--model", "new", "--engine", "pytorch", "--max-passes", "3").network
    assert overridden == NetworkConfig(
        model="new", device="cpu", engine="pytorch", threads=2, tta=TtaConfig(max_passes=3)
    )
    assert config_of().network == NetworkConfig()
    assert from_file.segmentation.every_n == 1  # single views are no sequence
    other = config_of("--params", str(path), "--segmenter", f"yolo:{weights}")
    assert (other.segmentation.model, other.segmentation.image_size) == (str(weights), 320)
    assert config_of().segmentation.backend == "labels"
    shipped = config_of("--params", str(path), "--segmenter", "shipped").segmentation
    assert (shipped.model, "can:can" in shipped.class_map) == ("clipose_segmenter", True)
    masks = config_of("--params", str(path), "--segmenter", "labels").segmentation
    assert (masks.backend, masks.model) == ("labels", "")


def test_weights_bring_the_parameter_file_beside_them(tmp_path: Path, ultralytics: None) -> None:
    weights = written(tmp_path / "own.pt", "")
    document = (
        "/**:\n  ros__parameters:\n    segmentation: {model: elsewhere.pt, class_map: ['cup:mug'], image_size: 96}\n"
    )
    beside = written(tmp_path / "own.yaml", document)
    segmentation = as_config(segmenter_settings(f"yolo:{weights}")).segmentation
    assert (segmentation.model, segmentation.class_map, segmentation.image_size) == (str(weights), ("cup:mug",), 96)
    # An explicit parameter file is not overridden.
    explicit = written(tmp_path / "explicit.yaml", document.replace("96", "128"))
    options = read_options(None, ["--scenes", "1", "--params", str(explicit), "--segmenter", f"yolo:{weights}"])
    assert node_config(options).segmentation.image_size == 128
    # The architecture of the network may have the same name.
    beside.write_text("nc: 80\n")
    assert segmenter_settings(f"yolo:{weights}").keys() == {"segmentation.backend", "segmentation.model"}
    beside.write_text("ros__parameters: 1\n")
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        segmenter_settings(f"yolo:{weights}")
