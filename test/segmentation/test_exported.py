"""Detectors that ultralytics exported: they see what the checkpoint sees, with the threads that they were given."""

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation import create_segmenter, yolo
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmentation.yolo import YoloSegmenter, find_fast_form
from clipose_ros.segmenter_training.openvino_export import ExportConfig, export_openvino

pytestmark = pytest.mark.skipif(
    find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0) and not installed"
)

SIZE = 96
needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is optional and not installed")


def segmenter(model: Path, **changes) -> YoloSegmenter:
    settings = {"score_threshold": 0.01, "max_instances": 5, "image_size": SIZE, **changes}
    return create_segmenter(SegmentationConfig(backend="yolo", model=str(model), **settings), NOCS_CATEGORIES, "cpu")


@pytest.fixture(scope="module")
def export(random_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports the random detector once per format."""
    done: dict[str, Path] = {}

    def run(kind: str) -> Path:
        if kind not in done:
            options = {"simplify": False} if kind == "onnx" else {}  # simplifying needs one more package
            weights = Path(shutil.copy(random_weights, tmp_path_factory.mktemp(kind) / "random.pt"))
            with isolate_ultralytics():
                from ultralytics import YOLO

                done[kind] = Path(YOLO(weights).export(format=kind, imgsz=SIZE, verbose=False, **options))
        return done[kind]

    return run


FORMATS = [
    pytest.param("onnx", 1e-3, marks=pytest.mark.timeout(600)),
    pytest.param("openvino", 0.05, marks=[needs_openvino, pytest.mark.timeout(600)]),
]  # OpenVINO computes in bfloat16 where the CPU can


@pytest.mark.parametrize(("kind", "tolerance"), FORMATS)
def test_an_export_sees_what_its_checkpoint_sees(
    kind: str, tolerance: float, random_weights: Path, export: Callable[[str], Path], make_frame, image
) -> None:
    original, exported = segmenter(random_weights), segmenter(export(kind), threads=1)
    picture = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    expected, found = (raw(each.model.predictor.model(picture)) for each in (original, exported))
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    best = [each.segment(make_frame(rgb=image))[0] for each in (original, exported)]
    assert best[0].category == best[1].category and best[0].score == pytest.approx(best[1].score, abs=tolerance)


def raw(output) -> torch.Tensor:
    """Scores and mask coefficients of every anchor: the first tensor within a detector's output, less its boxes."""
    while not isinstance(output, torch.Tensor):
        output = output[0]
    return output[:, 4:].float()


@pytest.mark.timeout(600)
def test_onnxruntime_gets_its_threads_and_they_do_not_spin(export: Callable[[str], Path]) -> None:
    session = segmenter(export("onnx"), threads=3).model.predictor.model.backend.session
    options = session.get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@needs_openvino
@pytest.mark.timeout(600)
def test_openvino_gets_its_threads(export: Callable[[str], Path]) -> None:
    compiled = segmenter(export("openvino"), threads=1).model.predictor.model.backend.ov_compiled_model
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@needs_openvino
@pytest.mark.timeout(600)
def test_openvino_model_of_variable_size_takes_the_shape_of_the_image(
    random_weights: Path, tmp_path: Path, make_frame
) -> None:
    weights = Path(shutil.copy(random_weights, tmp_path / "random.pt"))
    exported = segmenter(export_openvino(weights, tmp_path / "random_openvino_model", ExportConfig(SIZE)), threads=1)
    original = segmenter(random_weights)
    picture = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    best = [each.segment(make_frame(rgb=picture))[0] for each in (original, exported)]
    assert best[0].category == best[1].category and best[0].score == pytest.approx(best[1].score, abs=0.05)
    compiled = exported.model.predictor.model.backend.ov_compiled_model
    assert list(compiled.input().get_shape()) == [1, 3, 96, 96]
    tall = np.ascontiguousarray(picture.transpose(1, 0, 2)[:, :60])
    exported.segment(make_frame(rgb=tall))
    compiled = exported.model.predictor.model.backend.ov_compiled_model
    assert list(compiled.input().get_shape()) == [1, 3, 96, 64]


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """Weights with an OpenVINO form beside them."""
    (tmp_path / "six_openvino_model").mkdir()
    weights = tmp_path / "six.pt"
    weights.touch()
    return weights


@pytest.mark.parametrize(
    ("model", "device", "machine", "has_openvino", "is_fast"),
    [
        ("six", "cpu", "x86_64", True, True),
        ("six", "cuda:0", "x86_64", True, False),
        ("six", "cpu", "aarch64", True, False),
        ("six", "cpu", "x86_64", False, False),
        ("./six", "cpu", "x86_64", True, False),
        ("six.pt", "cpu", "x86_64", True, False),
        ("seven", "cpu", "x86_64", True, False),
    ],
)
def test_fast_form_of_shipped_weights_is_used_where_it_can_run(
    shipped: Path, model: str, device: str, machine: str, has_openvino: bool, is_fast: bool, monkeypatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(yolo, "find_spec", lambda name: object() if has_openvino else None)
    expected = shipped.with_name("six_openvino_model") if is_fast else shipped
    assert find_fast_form(model, shipped, device) == expected


def test_weights_without_a_fast_form_are_used_as_they_are(tmp_path: Path) -> None:
    assert find_fast_form("six", tmp_path / "six.pt", "cpu") == tmp_path / "six.pt"


def test_threads_of_torch_are_left_to_torch(random_weights: Path) -> None:
    before = torch.get_num_threads()
    segmenter(random_weights, threads=before + 1)
    assert torch.get_num_threads() == before


def test_a_missing_runtime_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    folder = tmp_path / "cups_openvino_model"
    folder.mkdir()
    with pytest.raises(SegmentationError, match=r"cups_openvino_model' needs.* 'openvino'.*pip install openvino"):
        segmenter(folder)


def test_a_folder_that_is_no_export_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "cups"
    folder.mkdir()
    with pytest.raises(SegmentationError, match="cups"):
        segmenter(folder)
