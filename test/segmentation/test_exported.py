"""Detectors that ultralytics exported: they see what the checkpoint sees, with the threads that they were given."""

import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmentation.yolo import YoloSegmenter

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
