"""Official truths and detections: entries of the released pickles, order of their rows, and error messages."""

from __future__ import annotations

import pickle
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.data.nocs.files import SUBSETS, MetaLine
from clipose_ros.data.nocs.ground_truth import read_detections, read_official_truths
from clipose_ros.data.nocs.object_models import NocsModels
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import exp_so3, make_transform

BOWL, MUG = NOCS_CATEGORIES["bowl"].id, NOCS_CATEGORIES["mug"].id
UNKNOWN = 99
SHAPE = (60, 80)
ROTATION = exp_so3(np.array([0.4, -0.3, 0.2]))
SIZES = {"bowl": (0.16, 0.06, 0.16), "mug": (0.12, 0.1, 0.08), "can": (0.07, 0.12, 0.07)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nocs")
    for name, size in SIZES.items():
        path = folder / "obj_models" / "real_test" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savetxt(path, size)
    return folder


@pytest.fixture(scope="module")
def models(folder):
    return NocsModels(folder, SUBSETS["real_test"])


def similarity(size, rotation=ROTATION, position=(0.1, -0.2, 0.9)):
    return make_transform(np.linalg.norm(size) * rotation, position)


def instance(number, name):
    """Return a line of a meta file and pixels by whose box the instance can be told: its number is the left side."""
    pixels = np.zeros(SHAPE, dtype=bool)
    pixels[10:20, number : number + 30] = True
    return MetaLine(number, NOCS_CATEGORIES[name].id, name, ""), pixels


INSTANCES = [instance(1, "bowl"), instance(3, "mug")]


def make_record(**changes):
    record = {"gt_RTs": np.stack([similarity(SIZES["bowl"]), similarity(SIZES["mug"])]), "image_path": "scene_1/0000"}
    return {key: value for key, value in (record | changes).items() if value is not None}


@pytest.fixture
def read(tmp_path, models):
    def read_record(record, instances=INSTANCES, categories=NOCS_CATEGORIES):
        path = tmp_path / "results_real_test_scene_1_0000.pkl"
        path.write_bytes(pickle.dumps(record, protocol=3))
        return read_official_truths(path, instances, models, categories)

    return read_record


def test_classes_boxes_and_extents_come_from_meta_file_mask_and_models(read):
    bowl, mug = read(make_record())
    assert (bowl.category, bowl.box, bowl.handle_visible) == ("bowl", (1, 10, 31, 20), True)
    assert (mug.category, mug.box, mug.instance, mug.handle_visible) == ("mug", (3, 10, 33, 20), 3, True)
    assert bowl.scale == pytest.approx(np.linalg.norm(SIZES["bowl"]))
    np.testing.assert_allclose(mug.size, SIZES["mug"])
    np.testing.assert_allclose(bowl.T_camera_object, make_transform(ROTATION, [0.1, -0.2, 0.9]), atol=1e-9)


@given(data=st.data())
def test_scale_and_order_of_any_rows_are_restored(folder, data):
    """The meta file lists the instances in any order; the rows are in ascending order of the numbers in the mask."""
    names = data.draw(st.lists(st.sampled_from(sorted(SIZES)), max_size=5))
    numbers = sorted(data.draw(st.sets(st.integers(0, 50), min_size=len(names), max_size=len(names))))
    instances = [instance(number, name) for number, name in zip(numbers, names, strict=True)]
    turns = data.draw(st.lists(st.tuples(*[st.floats(-1, 1)] * 3), min_size=len(names), max_size=len(names)))
    scales = data.draw(st.lists(st.floats(0.02, 3.0), min_size=len(names), max_size=len(names)))
    rotations = [exp_so3(np.array(turn)) for turn in turns]
    matrices = [make_transform(s * R, [0.0, 0.1, 1.0]) for s, R in zip(scales, rotations, strict=True)]
    kind = data.draw(st.sampled_from([np.float32, np.float64]))
    path = folder / "any.pkl"
    path.write_bytes(pickle.dumps({"gt_RTs": np.array(matrices, dtype=kind).reshape(-1, 4, 4)}))
    shuffled = data.draw(st.permutations(instances))
    truths = read_official_truths(path, shuffled, NocsModels(folder, SUBSETS["real_test"]), NOCS_CATEGORIES)
    assert [(t.instance, t.category) for t in truths] == list(zip(numbers, names, strict=True))
    for truth, name, scale, R in zip(truths, names, scales, rotations, strict=True):
        assert truth.scale == pytest.approx(scale, rel=1e-5)
        np.testing.assert_allclose(truth.size, np.array(SIZES[name]) / np.linalg.norm(SIZES[name]) * scale, rtol=1e-5)
        np.testing.assert_allclose(truth.T_camera_object[:3, :3], R, atol=1e-5)
        assert truth.box[0] == truth.instance


@pytest.mark.parametrize("key", ["handle_visibility", "gt_handle_visibility"])
def test_hidden_handles_are_read(read, key):
    assert [truth.handle_visible for truth in read(make_record(**{key: np.array([1, 0])}))] == [True, False]


def test_entries_that_repeat_mask_and_meta_file_are_compared(read):
    record = make_record(gt_class_ids=np.array([BOWL, MUG]), gt_bboxes=np.zeros((2, 4), np.int32), obj_list=["a", "b"])
    assert len(read(record)) == 2


def test_instances_of_other_categories_have_rows(read):
    (mug,) = read(make_record(), categories=CategorySet((NOCS_CATEGORIES["mug"],)))
    assert (mug.category, mug.instance) == ("mug", 3)


def test_frame_without_objects_has_no_truths(read):
    for empty in (np.zeros((0, 4, 4)), np.zeros(0), []):
        assert read(make_record(gt_RTs=empty), instances=[]) == []


MIRRORED = similarity(SIZES["mug"], ROTATION @ np.diag([1.0, 1.0, -1.0]))


def second(matrix):
    return np.stack([similarity(SIZES["bowl"]), matrix])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gt_RTs": None}, "lacks 'gt_RTs': it has 'image_path'"),
        ({"gt_RTs": second(np.eye(4))[:1]}, r"each of the 2 objects.*'1 bowl, 3 mug'.*got \(1, 4, 4\)"),
        ({"gt_RTs": np.stack([np.eye(4)] * 3)}, r"got \(3, 4, 4\)"),
        ({"gt_RTs": np.zeros((2, 3, 4))}, r"got \(2, 3, 4\)"),
        ({"gt_RTs": [np.eye(4), None]}, "gt_RTs.*must hold numbers"),
        ({"gt_RTs": second(MIRRORED)}, r"gt_RTs\[1\] is mirrored"),
        ({"gt_RTs": second(np.full((4, 4), np.nan))}, r"gt_RTs\[1\] is not finite"),
        ({"gt_RTs": second(np.zeros((4, 4)))}, r"gt_RTs\[1\] has the scale 0"),
        ({"gt_RTs": second(np.diag([0.2, 0.2, 0.3, 1.0]))}, r"gt_RTs\[1\] is no rotation times a scale"),
        ({"gt_RTs": second(np.diag([0.2, 0.2, 0.2, 0.0]))}, r"gt_RTs\[1\] has the last row"),
        ({"gt_class_ids": np.array([MUG, BOWL])}, rf"gt_class_ids\[0\] is {MUG}, but the meta file states {BOWL}"),
        ({"gt_class_ids": np.array([BOWL])}, "'gt_class_ids' must have 2 rows"),
        ({"gt_scales": np.ones((3, 3))}, "'gt_scales' must have 2 rows"),
        ({"handle_visibility": np.ones(3)}, "'handle_visibility' must hold 0 or 1 for each of 2 objects"),
        ({"handle_visibility": np.array([1, 7])}, "'handle_visibility' must hold 0 or 1"),
    ],
)
def test_malformed_truths_name_file_and_row(read, changes, message):
    with pytest.raises(DataError, match=rf"results_real_test_scene_1_0000\.pkl.*{message}"):
        read(make_record(**changes))


def test_record_that_is_no_dict_raises(read):
    with pytest.raises(DataError, match="list"):
        read([1, 2])


@pytest.fixture
def write(tmp_path):
    def write_record(record):
        path = tmp_path / "record.pkl"
        path.write_bytes(pickle.dumps(record, protocol=2))
        return path

    return write_record


def make_detections(prefix="pred_", **changes):
    masks = np.zeros((*SHAPE, 2), bool)
    masks[1:4, 2:5, 0] = True
    record = {"class_ids": np.array([BOWL, MUG]), "scores": np.array([0.9, 0.7], np.float32), "masks": masks}
    return {f"{prefix}{key}": value for key, value in (record | changes).items()}


@pytest.mark.parametrize("prefix", ["pred_", ""])
def test_detections_of_both_releases_are_read(write, prefix):
    bowl, mug = read_detections(write(make_detections(prefix)), NOCS_CATEGORIES, SHAPE)
    assert (bowl.category, bowl.score, bowl.box) == ("bowl", pytest.approx(0.9), (2, 1, 5, 4))
    assert bowl.mask.all()
    assert mug.category == "mug" and not mug.mask.any(), "a detection without pixels counts as a false one"


@pytest.mark.parametrize("masks", [np.zeros((*SHAPE, 0), bool), np.zeros(0), [], None])
def test_frame_without_detections_is_read(write, masks):
    record = make_detections(class_ids=np.zeros(0, int), scores=[], masks=np.zeros(0) if masks is None else masks)
    assert read_detections(write(record), NOCS_CATEGORIES, SHAPE) == []


def test_detections_of_other_categories_are_left_out(write):
    (mug,) = read_detections(write(make_detections()), CategorySet((NOCS_CATEGORIES["mug"],)), SHAPE)
    assert mug.category == "mug"


@settings(max_examples=20)
@given(class_id=st.integers(-3, 12).filter(lambda i: NOCS_CATEGORIES.by_id(i) is None) | st.just(UNKNOWN))
def test_unknown_class_of_a_detection_names_file_and_row(folder, class_id):
    path = folder / "record.pkl"
    path.write_bytes(pickle.dumps(make_detections(class_ids=np.array([BOWL, class_id]))))
    with pytest.raises(DataError, match=rf"record\.pkl': pred_class_ids\[1\] is {class_id}, which is no category"):
        read_detections(path, NOCS_CATEGORIES, SHAPE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros(SHAPE, bool)}, "H, W, N"),
        ({"masks": np.zeros((6, 8, 2), bool)}, r"H, W, N.*\(6, 8, 2\)"),
        ({"masks": np.zeros((*SHAPE, 3), bool)}, "H, W, N"),
        ({"scores": np.array([0.9])}, "1 scores"),
        ({"scores": np.array([0.9, np.nan])}, r"pred_scores\[1\] is nan"),
        ({"scores": None}, "pred_scores.*must hold numbers"),
    ],
)
def test_malformed_detections_name_the_file(write, changes, message):
    with pytest.raises(DataError, match=rf"record\.pkl.*{message}"):
        read_detections(write(make_detections(**changes)), NOCS_CATEGORIES, SHAPE)


CHANGES = st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(changes=CHANGES, protocol=st.integers(0, 5))
def test_corrupted_records_raise_or_are_plausible(folder, models, changes, protocol):
    """A changed digit of a pose can go unnoticed; an impossible pose, class or number of rows cannot."""
    path = folder / "corrupted.pkl"
    truths = make_record(gt_class_ids=np.array([BOWL, MUG]), handle_visibility=np.array([1, 0]))
    for record, read in (
        (truths, lambda: read_official_truths(path, INSTANCES, models, NOCS_CATEGORIES)),
        (make_detections(), lambda: read_detections(path, NOCS_CATEGORIES, SHAPE)),
    ):
        data = bytearray(pickle.dumps(record, protocol=protocol))
        for place, byte in changes:
            data[place % len(data)] = byte
        path.write_bytes(data)
        with suppress(DataError):
            found = read()
            assert len(found) in (0, 2)
            for each in found if record is truths else []:
                assert np.linalg.det(each.T_camera_object[:3, :3]) == pytest.approx(1.0) and (each.size > 0).all()
