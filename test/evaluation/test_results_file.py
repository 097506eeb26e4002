"""NOCS result files."""

import pickle
import pickletools
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import DataError
from clipose_ros.evaluation.metrics.iou import IouKind, split_similarity
from clipose_ros.evaluation.metrics.nocs_protocol import evaluate_frames
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects, find_results, read_results, write_results
from clipose_ros.evaluation.results_remarks import ResultsRemarks
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
        ({"pred_RTs": None}, r"'pred_RTs' must have shape \(3, 4, 4\), one row per object, got None"),
        ({"pred_RTs": np.zeros((2, 4, 4))}, r"pred_RTs.*\(3, 4, 4\).*\(2, 4, 4\)"),
        ({"pred_scores": np.array([0.1, np.nan, 0.3])}, r"pred_scores\[1\] is 'nan'"),
        ({"pred_scores": None}, r"'pred_scores' must have shape \(3,\), one row per object, got None"),
        ({"pred_scores": ["0.1", "0.2", "0.3"]}, "pred_scores.*numbers"),
        ({"gt_RTs": np.full((2, 4, 4), np.inf)}, r"gt_RTs\[0\] is not finite"),
        ({"gt_RTs": np.stack([np.eye(4), np.diag([1.0, 1.0, -0.2, 1.0])])}, r"gt_RTs\[1\] is mirrored"),
        ({"gt_RTs": np.stack([np.eye(4), np.diag([1.0, 1.0, 0.2, 1.0])])}, r"gt_RTs\[1\] is no rotation times a scale"),
        ({"gt_RTs": np.stack([np.eye(4), np.diag([0.0, 0.0, 0.0, 1.0])])}, r"gt_RTs\[1\] has the scale 0"),
        ({"gt_RTs": [np.eye(4), None]}, "gt_RTs.*numbers"),
        ({"gt_scales": np.array(["a", "b"])}, "gt_scales.*numbers"),
        ({"gt_scales": np.array([[0.5, 0.5, 0.5], [0.5, 0.0, 0.5]])}, r"gt_scales\[1\].*positive extents"),
        ({"gt_scales": np.array([[0.5, 0.5, -0.5], [0.5, 0.5, 0.5]])}, r"gt_scales\[0\].*positive extents"),
        ({"gt_handle_visibility": np.ones(5)}, "gt_handle_visibility"),
        ({"gt_handle_visibility": np.array([1.0, np.nan])}, r"gt_handle_visibility\[1\].*0 or 1"),
        ({"gt_class_ids": np.array([1.0, 2.5])}, r"gt_class_ids\[1\] is '2.5': expected a whole number"),
        ({"gt_class_ids": 4}, r"'gt_class_ids' must have shape \(1,\)"),
    ],
)
def test_read_results_names_malformed_entries(tmp_path, change, message):
    with pytest.raises(DataError, match=message) as caught:
        read_one(stored(tmp_path, {**entries(), **change}))
    assert "results_test_scene_1_0000.pkl" in str(caught.value)


@given(
    data=st.data(),
    kind=st.sampled_from([np.float32, np.float64]),
    protocol=st.integers(0, 5),
    as_lists=st.booleans(),
)
def test_read_results_restores_any_valid_entries(tmp_path_factory, data, kind, protocol, as_lists):
    counts = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    content = entries(*counts)
    content = {
        key: value.astype(kind) if getattr(value, "dtype", None) == np.float64 else value
        for key, value in content.items()
    }
    stored_content = {
        key: value.tolist() if as_lists and isinstance(value, np.ndarray) else value for key, value in content.items()
    }
    path = stored(tmp_path_factory.getbasetemp(), stored_content, protocol)
    frame = read_one(path)
    np.testing.assert_array_equal(frame.truths.S_camera_object, content["gt_RTs"].astype(np.float64))
    np.testing.assert_array_equal(frame.predictions.extents, content["pred_scales"].astype(np.float64))
    np.testing.assert_array_equal(frame.truths.class_ids, content["gt_class_ids"])
    assert frame.handles_stated and len(frame.scores) == counts[1]


def test_predictions_of_none_are_failures(tmp_path):
    content = entries()
    content["pred_RTs"] = [content["pred_RTs"][0], None, content["pred_RTs"][2]]
    S = read_one(stored(tmp_path, content)).predictions.S_camera_object
    assert np.isnan(S[1]).all() and np.isfinite(S[[0, 2]]).all()


def test_rows_of_a_list_are_named_with_the_number_of_the_image(tmp_path):
    wrong = {**entries(), "gt_RTs": np.stack([np.eye(4), np.diag([1.0, 1.0, -1.0, 1.0])])}
    with pytest.raises(DataError, match=r"scene_1_0000\.pkl'\[1\]: gt_RTs\[1\] is mirrored"):
        list(read_results(stored(tmp_path, [entries(), wrong])))
    with pytest.raises(DataError, match=r"scene_1_0000\.pkl' holds an empty list"):
        list(read_results(stored(tmp_path, [])))


def test_missing_visibility_of_handles_stays_missing_when_written(tmp_path):
    content = entries()
    del content["gt_handle_visibility"]
    write_results(tmp_path / "results_again.pkl", read_one(stored(tmp_path, content)))
    assert not read_one(tmp_path / "results_again.pkl").handles_stated


def test_find_results_takes_names_with_special_characters(tmp_path):
    folder = tmp_path / "run [1]"
    folder.mkdir()
    (folder / "results_a.pkl").touch()
    assert find_results([str(folder)]) == find_results([str(folder / "results_a.pkl")]) == [folder / "results_a.pkl"]


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


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3), protocol=st.integers(0, 5)
)
def test_corrupted_files_raise_or_give_figures(tmp_path_factory, changes, protocol):
    """A changed digit can go unnoticed. Figures stay percentages, and each remark is one line."""
    content = entries()
    del content["pred_masks"]
    data = bytearray(pickle.dumps(content, protocol=protocol))
    for place, byte in changes:
        data[place % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "results_corrupted.pkl"
    path.write_bytes(data)
    with suppress(DataError):
        remarks = ResultsRemarks(NOCS_CATEGORIES)
        table = evaluate_frames(map(remarks.check, read_results(path)), NOCS_CATEGORIES)[IouKind.ORIENTED]
        assert all(np.isnan(value) or 0.0 <= value <= 100.0 for value in table["mean"].iou_ap)
        assert not any("\n" in line for line in remarks.sentences())
