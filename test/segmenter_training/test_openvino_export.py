"""Export to OpenVINO: 8-bit products where they are harmless, whole folders only, and clear refusals."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.errors import ConfigError, DataError, SegmentationError
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmenter_training.openvino_export import ExportConfig, export_openvino, read_input

needs_ultralytics = pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)")
needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None, reason="openvino and nncf are not installed"
)


@pytest.mark.parametrize("name", ["six", "six_openvino", "_openvino_model", "six_openvino_model.xml"])
def test_folder_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="must be named NAME_openvino_model"):
        export_openvino(tmp_path / "six.pt", tmp_path / name, ExportConfig(64))


def test_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    target = tmp_path / "six_openvino_model"
    target.mkdir()
    (target / "kept").touch()
    with pytest.raises(ConfigError, match="exists"):
        export_openvino(tmp_path / "six.pt", target, ExportConfig(64))
    assert [path.name for path in target.iterdir()] == ["kept"]


@pytest.mark.parametrize(("image_size", "images"), [(16, 300), (8192, 300), (416, 0)])
def test_settings_out_of_bounds_are_refused(image_size: int, images: int) -> None:
    with pytest.raises(ConfigError, match=r"got (16|8192|0)"):
        ExportConfig(image_size, images=images)


def test_missing_data_set_is_named_before_the_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"photos\.yaml"):
        export_openvino(tmp_path / "x.pt", tmp_path / "six_openvino_model", ExportConfig(64, tmp_path / "photos.yaml"))


@needs_ultralytics
def test_missing_weights_leave_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match=r"six\.pt"):
        export_openvino(tmp_path / "six.pt", tmp_path / "six_openvino_model", ExportConfig(64))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights."""
    path = tmp_path_factory.mktemp("weights") / "untrained.pt"
    with isolate_ultralytics():
        from ultralytics import YOLO

        YOLO("yolov8n-seg.yaml", task="segment").save(path)
    return path


def make_data_set(folder: Path) -> Path:
    """Write four images with one object each."""
    random = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind / "train").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / f"images/train/{number}.png"), random.integers(0, 256, (48, 64, 3), np.uint8))
        (folder / f"labels/train/{number}.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (folder / "dataset.yaml").write_text(f"path: {folder}\ntrain: images/train\nval: images/train\nnames: [cup]\n")
    return folder / "dataset.yaml"


@needs_ultralytics
@needs_openvino
@pytest.mark.timeout(600)
def test_quantized_model_has_8_bit_convolutions_and_floating_point_decoding(weights: Path, tmp_path: Path) -> None:
    config = ExportConfig(64, make_data_set(tmp_path / "data"), images=2)
    written = export_openvino(weights, tmp_path / "six_openvino_model", config)
    assert sorted(path.name for path in written.iterdir()) == ["metadata.yaml", "six.bin", "six.xml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "six_openvino_model"]
    graph = (written / "six.xml").read_text()
    assert str(tmp_path) not in graph and "date" not in (written / "metadata.yaml").read_text()
    import openvino

    operations = openvino.Core().read_model(str(written / "six.xml")).get_ordered_ops()
    quantized = [each for each in operations if each.get_type_name() == "FakeQuantize"]
    kinds = {
        output.get_node().get_type_name()
        for each in quantized
        for output in each.output(0).get_target_inputs()
    }  # fmt: skip
    assert "Convolution" in kinds and not kinds & {"Sigmoid", "Softmax", "Subtract", "Divide"}


@needs_ultralytics
def test_missing_package_is_named_with_the_remedy(weights: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SegmentationError, match=r"'openvino'.*pip install openvino"):
        export_openvino(weights, tmp_path / "six_openvino_model", ExportConfig(64))
    assert not list(tmp_path.iterdir())


@needs_ultralytics
@pytest.mark.parametrize("shape", [(480, 640), (640, 480), (416, 416), (100, 333)])
def test_calibration_images_are_fitted_as_ultralytics_fits_them(tmp_path: Path, shape: tuple[int, int]) -> None:
    from ultralytics.data.augment import LetterBox

    bgr = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "x.png"), bgr)
    expected = LetterBox(416, auto=True, stride=32)(image=bgr)[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255)
    with isolate_ultralytics():
        found = read_input(tmp_path / "x.png", 416)
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@needs_ultralytics
def test_statistics_of_converters_are_sent_nowhere() -> None:
    with isolate_ultralytics(), pytest.raises(ImportError):
        importlib.import_module("openvino_telemetry")
    before = sys.modules.get("openvino_telemetry")
    with isolate_ultralytics():
        pass
    assert sys.modules.get("openvino_telemetry") is before
