"""The yolo backend: a network built on the spot (random weights) for the code path, a real one for what it sees."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.errors import SegmentationError
from clipose_ros.segmentation import create_segmenter
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmentation.yolo import load_yolo

pytestmark = pytest.mark.skipif(
    find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0) and not installed"
)

DATA = os.environ.get("CLIPOSE_DATA", "")
"""Optional folder of development data: weights/yolov8n-seg_int8.tflite and rgbd/tabletop/."""
MAP = ("cup:mug", "bottle:bottle", "bowl:bowl", "laptop:laptop")


def config(model: Path | str, **changes) -> SegmentationConfig:
    return SegmentationConfig(backend="yolo", model=str(model), class_map=changes.pop("class_map", MAP), **changes)


def test_masks_boxes_and_scores_keep_their_contract(random_weights: Path, make_frame, image: np.ndarray) -> None:
    segmenter = create_segmenter(config(random_weights, score_threshold=0.01, max_instances=5), NOCS_CATEGORIES, "cpu")
    found = segmenter.segment(make_frame(rgb=image))
    assert 0 < len(found) <= 5
    for instance in found:
        x0, y0, x1, y1 = instance.box
        assert 0 <= x0 < x1 <= 320 and 0 <= y0 < y1 <= 240
        assert instance.category in {"mug", "bottle", "bowl", "laptop"}
        assert 0.01 <= instance.score <= 1.0
        assert instance.mask.base is None, "the crop keeps the image-sized mask alive"
    assert [i.score for i in found] == sorted((i.score for i in found), reverse=True)


def test_thresholds_change_while_running(random_weights: Path, make_frame, image: np.ndarray) -> None:
    loose = config(random_weights, score_threshold=0.01)
    segmenter = create_segmenter(loose, NOCS_CATEGORIES, "cpu")
    frame = make_frame(rgb=image)
    before = segmenter.segment(frame)
    assert len(before) > 1
    segmenter.reconfigure(config(random_weights, score_threshold=1.0))
    assert segmenter.segment(frame) == []
    segmenter.reconfigure(config(random_weights, score_threshold=0.01, max_instances=1))
    only = segmenter.segment(frame)
    assert len(only) == 1 and only[0].score == pytest.approx(before[0].score)


def test_colours_reach_the_network_in_the_order_it_was_trained_on(
    random_weights: Path, image: np.ndarray, make_frame
) -> None:
    from PIL import Image

    segmenter = create_segmenter(config(random_weights, score_threshold=0.01), NOCS_CATEGORIES, "cpu")
    ours = segmenter.segment(make_frame(rgb=image))
    # PIL images carry their channel order, so ultralytics itself is the judge.
    options = {"conf": 0.01, "iou": 0.6, "max_det": 16, "classes": [39, 41, 45, 63], "agnostic_nms": True, "imgsz": 640}
    with isolate_ultralytics():
        theirs = load_yolo(str(random_weights)).predict(Image.fromarray(image), **options, verbose=False)[0]
    np.testing.assert_allclose([i.score for i in ours], theirs.boxes.conf.tolist()[: len(ours)], atol=1e-5)


def test_the_process_is_left_as_it_was(random_weights: Path) -> None:
    threads, environment = torch.get_num_threads(), dict(os.environ)
    torch.set_num_threads(2)
    try:
        cv2.setNumThreads(2)
        create_segmenter(config(random_weights), NOCS_CATEGORIES, "cpu")
        assert torch.get_num_threads() == 2
        assert cv2.getNumThreads() == 2
        assert not {key for key in os.environ if key.startswith("YOLO_")} - set(environment)
    finally:
        torch.set_num_threads(threads)


def test_ultralytics_sends_installs_and_writes_nothing(random_weights: Path, tmp_path: Path) -> None:
    script = f"""
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import SegmentationConfig
from clipose_ros.segmentation import create_segmenter
import sys
assert "ultralytics" not in sys.modules
create_segmenter(SegmentationConfig(model={str(random_weights)!r}), NOCS_CATEGORIES, "cpu")
import ultralytics.utils as u, ultralytics.utils.events as e
assert not u.ONLINE and not u.AUTOINSTALL and u.SAFE_LOAD and not e.events.enabled
"""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO_", "ULTRALYTICS_"))}
    environment = {**kept, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ultralytics" not in done.stdout
    assert not list(tmp_path.rglob("*ltralytics*")), "ultralytics wrote settings"


def test_a_model_name_is_not_downloaded() -> None:
    with pytest.raises(SegmentationError, match=r"no such file: 'yolo11n-seg\.pt'.*Nothing is downloaded.*yolo export"):
        create_segmenter(config("yolo11n-seg.pt"), NOCS_CATEGORIES, "cpu")


@pytest.mark.parametrize(
    ("name", "content"), [("bad.pt", b"not a model"), ("empty.pt", b""), ("bad.onnx", b"xx"), ("a.txt", b"x")]
)
def test_a_file_that_is_no_model_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SegmentationError, match=name):
        create_segmenter(config(tmp_path / name), NOCS_CATEGORIES, "cpu")


def test_an_architecture_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "yolov8n-seg.yaml").write_text("nc: 1")
    with pytest.raises(SegmentationError, match="trained weights"):
        create_segmenter(config(tmp_path / "yolov8n-seg.yaml"), NOCS_CATEGORIES, "cpu")


def test_a_class_that_the_model_lacks_is_named(random_weights: Path) -> None:
    with pytest.raises(SegmentationError, match="'cupp'.*did you mean 'cup'"):
        create_segmenter(config(random_weights, class_map=("cupp:mug",)), NOCS_CATEGORIES, "cpu")


def test_a_detector_without_masks_is_refused(make_weights) -> None:
    path = make_weights("yolov8n.yaml")
    with pytest.raises(SegmentationError, match="segmentation model.*'detect'"):
        create_segmenter(config(path), NOCS_CATEGORIES, "cpu")


@pytest.mark.skipif(not DATA, reason="CLIPOSE_DATA does not name a folder with real weights and images")
def test_real_weights_see_real_tableware(make_frame) -> None:
    segmenter = create_segmenter(config(Path(DATA) / "weights/yolov8n-seg_int8.tflite"), NOCS_CATEGORIES, "cpu")
    seen = set()
    for path in sorted((Path(DATA) / "rgbd/tabletop").glob("*-color.png")):
        bgr = cv2.imread(str(path))
        seen |= {
            instance.category for instance in segmenter.segment(make_frame(rgb=np.ascontiguousarray(bgr[..., ::-1])))
        }
    assert {"mug", "bowl", "bottle"} <= seen
