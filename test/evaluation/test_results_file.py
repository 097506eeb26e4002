"""NOCS result files."""

import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.errors import DataError
from clipose_ros.evaluation.metrics.iou import split_similarity
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects, find_results, read_results, write_results
from clipose_ros.geometry.se3 import exp_so3, make_transform


def entries(truths=2, predictions=3):
    """Return the entries of a result file of the released code."""
    rng = np.random.default_rng(0)

    def poses(n):
        return make_transform(0.3 * exp_so3(rng.normal(size=(n, 3))), rng.normal(size=(n, 3)))

    return {
        "image_path": "scene_1/0000",
        "gt_class_ids": np.arange(1, truths + 1, dtype=np.int32),
        "gt_bboxes": np.tile(np.array([10, 20, 30, 40], np.int32), (truths, 1)),
        "gt_RTs": poses(truths),
        "gt_scales": rng.uniform(0.3, 0.8, (truths, 3)).astype(np.float32),
        "gt_handle_visibility": np.ones(truths, np.int32),
        "pred_class_ids": np.arange(1, predictions + 1, dtype=np.int32),
        "pred_bboxes": np.tile(np.array([10, 20, 30, 40], np.int32), (predictions, 1)),
        "pred_scores": rng.random(predictions).astype(np.float32),
        "pred_RTs": poses(predictions),
        "pred_scales": rng.uniform(0.3, 0.8, (predictions, 3)),
        "pred_masks": np.zeros((4, 4, predictions), bool),
    }


def stored(tmp_path: Path, content, protocol=2) -> Path:
    path = tmp_path / "results_test_scene_1_0000.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def read_one(path: Path) -> NocsFrame:
    (frame,) = read_results(path)
    return frame


def test_read_results_reads_released_entries(tmp_path):
    content = entries()
    frame = read_one(stored(tmp_path, content))
    assert frame.name == "results_test_scene_1_0000"
    np.testing.assert_array_equal(frame.truths.class_ids, [1, 2])
    np.testing.assert_array_equal(frame.predictions.S_camera_object, content["pred_RTs"])
    np.testing.assert_array_equal(frame.truths.extents, content["gt_scales"].astype(np.float64))
    np.testing.assert_array_equal(frame.scores, content["pred_scores"].astype(np.float64))
    assert frame.handle_visible.tolist() == [True, True]
    assert set(frame.extras) == {"image_path", "pred_masks"}


def test_write_results_can_be_read_back_and_by_plain_pickle(tmp_path):
    content = entries()
    content["gt_handle_visibility"][1] = 0
    frame = read_one(stored(tmp_path, content))
    written = tmp_path / "results_again.pkl"
    write_results(written, frame)
    again, plain = read_one(written), pickle.loads(written.read_bytes())
    assert set(plain) == set(content)
    for key, value in content.items():
        np.testing.assert_array_equal(plain[key], value)
    assert again.handle_visible.tolist() == [True, False]
    np.testing.assert_array_equal(again.predictions.boxes, frame.predictions.boxes)


def test_write_results_avoids_private_modules_of_numpy(tmp_path):
    write_results(tmp_path / "results_0.pkl", read_one(stored(tmp_path, entries())))
    strings = [
        arg for op, arg, _ in pickletools.genops((tmp_path / "results_0.pkl").read_bytes()) if isinstance(arg, str)
    ]
    assert "numpy" in strings and "ndarray" in strings
    assert not [s for s in strings if "multiarray" in s or s.startswith("numpy.")]


def test_read_results_accepts_earlier_keys_of_handle_visibility(tmp_path):
    content = entries()
    del content["gt_handle_visibility"]
    assert read_one(stored(tmp_path, content)).handle_visible.all()
    content["handle_visibility"] = np.array([0, 1])
    assert read_one(stored(tmp_path, content)).handle_visible.tolist() == [False, True]


@pytest.mark.parametrize("empty", [np.zeros(0), np.zeros((0, 4, 4)), [], None])
def test_read_results_accepts_any_form_of_no_objects(tmp_path, empty):
    content = entries()
    for key in ("pred_class_ids", "pred_bboxes", "pred_scores", "pred_RTs", "pred_scales"):
        content[key] = empty
    frame = read_one(stored(tmp_path, content))
    assert frame.predictions.S_camera_object.shape == (0, 4, 4) and frame.scores.shape == (0,)


def test_read_results_reads_a_list_of_frames(tmp_path):
    frames = list(read_results(stored(tmp_path, [entries(), entries(0, 1)])))
    assert [len(f.truths.class_ids) for f in frames] == [2, 0]
    assert frames[1].name.endswith("[1]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred_RTs": None}, "pred_RTs"),
        ({"pred_RTs": np.zeros((2, 4, 4))}, r"pred_RTs.*\(3, 4, 4\).*\(2, 4, 4\)"),
        ({"pred_scores": np.array([0.1, np.nan, 0.3])}, "scores must be finite"),
        ({"gt_RTs": np.full((2, 4, 4), np.inf)}, "true poses"),
        ({"gt_scales": np.array(["a", "b"])}, "gt_scales.*numbers"),
        ({"gt_handle_visibility": np.ones(5)}, "gt_handle_visibility"),
    ],
)
def test_read_results_names_malformed_entries(tmp_path, change, message):
    with pytest.raises(DataError, match=message) as caught:
        read_one(stored(tmp_path, {**entries(), **change}))
    assert "results_test_scene_1_0000.pkl" in str(caught.value)


def test_read_results_names_missing_entries_and_files(tmp_path):
    content = entries()
    del content["pred_scales"]
    with pytest.raises(DataError, match="expected an entry 'pred_scales', got only"):
        read_one(stored(tmp_path, content))
    with pytest.raises(DataError, match="dictionary per image, got int"):
        read_one(stored(tmp_path, 3))
    with pytest.raises(DataError, match=r"nothing matches.*none\*"):
        find_results([str(tmp_path / "none*")])


class PickledCall:
    def __reduce__(self):
        return print, ("run",)


def test_read_results_rejects_pickles_that_call_functions(tmp_path):
    with pytest.raises(DataError, match=r"results_test.*print"):
        read_one(stored(tmp_path, {**entries(), "extra": PickledCall()}))


def test_find_results_searches_folders(tmp_path):
    for name in ("results_b.pkl", "results_a.pkl", "other.pkl"):
        (tmp_path / name).touch()
    expected = [tmp_path / "results_a.pkl", tmp_path / "results_b.pkl"]
    assert find_results([str(tmp_path)]) == expected
    assert find_results([str(tmp_path / "results_*"), str(tmp_path / "results_a.pkl")]) == expected


def test_from_poses_converts_to_similarities_and_extents():
    T = make_transform(exp_so3([0.3, 0.2, -0.5]), [0.1, -0.2, 0.9])
    size = np.array([0.12, 0.08, 0.1])
    objects = NocsObjects.from_poses([6], T[None], size[None])
    R, scale = split_similarity(objects.S_camera_object[0])
    np.testing.assert_allclose(R, T[:3, :3], atol=1e-12)
    np.testing.assert_allclose(objects.extents[0] * scale, size, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(objects.extents[0]), 1.0)
    np.testing.assert_array_equal(objects.S_camera_object[0, :3, 3], T[:3, 3])
    assert objects.boxes.any(axis=1).all()
    none = NocsObjects.from_poses([], [], [])
    assert none.S_camera_object.shape == (0, 4, 4) and none.boxes.shape == (0, 4)
