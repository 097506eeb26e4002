"""NOCS datasets: a simulated fixture is written in the NOCS format, read, and compared with the renderer's truth."""

import pickle
import shutil

import cv2
import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig
from clipose_ros.data.nocs.dataset import NocsDataset, has_visible_handle
from clipose_ros.data.nocs.files import SUBSETS as NOCS_SUBSETS
from clipose_ros.data.nocs.files import MetaLine
from clipose_ros.data.nocs.fixture import compute_mug_correction, write_nocs_fixture
from clipose_ros.data.nocs.object_models import NocsModels
from clipose_ros.data.nocs.samples import load_nocs_samples
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.geometry.se3 import invert_transform, rotation_angle_deg, transform_points
from clipose_ros.types import LABEL_BASE

SUBSETS = ("real_test", "camera_val")


@pytest.fixture(scope="module")
def fixture_data(tmp_path_factory):
    """Return the root and the renderer's truths of both subsets; three scenes contain every category."""
    root = tmp_path_factory.mktemp("nocs")
    return root, {subset: write_nocs_fixture(root, subset, scenes=3, frames=2, seed=1) for subset in SUBSETS}


@pytest.fixture
def fixture_copy(fixture_data, tmp_path):
    """Return a copy of the data that a test may modify."""
    return shutil.copytree(fixture_data[0], tmp_path / "nocs")


def iter_truth_pairs(fixture_data, subset, correct_mugs):
    root, truths = fixture_data
    dataset = NocsDataset(root, subset, correct_mugs=correct_mugs)
    for index, name in enumerate(dataset.frames):
        by_instance = {truth.instance: truth for truth in truths[subset][name]}
        image = dataset.read(index)
        assert len(image.truths) + len(image.skipped) == len(by_instance)
        for truth in image.truths:
            yield truth, by_instance[truth.instance], image


@pytest.mark.parametrize("subset", SUBSETS)
def test_fitted_truth_is_within_half_a_degree_and_two_millimetres(fixture_data, subset):
    categories = set()
    for found, true, _ in iter_truth_pairs(fixture_data, subset, correct_mugs=False):
        categories.add(true.category)
        assert found.mask.category == true.category
        T, T_true = found.T_camera_object, true.T_camera_object
        assert rotation_angle_deg(T[:3, :3], T_true[:3, :3]) < 0.5
        assert np.linalg.norm(T[:3, 3] - T_true[:3, 3]) < 0.002
        np.testing.assert_allclose(found.size, true.size, atol=0.002)
        assert found.inlier_ratio > 0.9
    assert categories == set(NOCS_CATEGORIES.names)


@pytest.mark.parametrize("subset", SUBSETS)
def test_mug_correction_centres_mugs_on_their_body_only(fixture_data, subset):
    mugs = 0
    for found, true, _ in iter_truth_pairs(fixture_data, subset, correct_mugs=True):
        x, y, z = true.size
        centre, size = np.zeros(3), true.size
        if true.category == "mug":
            mugs += 1
            centre, size = np.array([-(x - z) / 2, 0.0, 0.0]), np.array([2 * x - z, y, z])
        expected = transform_points(true.T_camera_object, centre[None])[0]
        assert np.linalg.norm(found.T_camera_object[:3, 3] - expected) < 0.002
        np.testing.assert_allclose(found.size, size, atol=0.003)
    assert mugs


def test_mug_correction_of_a_known_mug():
    """The mug measures 120 x 100 x 80 mm. Its handle extends 40 mm beyond the body, so the axis is at x = -20 mm."""
    shift, factor = compute_mug_correction(np.array([0.12, 0.10, 0.08]))
    diagonal = np.sqrt(0.12**2 + 0.10**2 + 0.08**2)
    np.testing.assert_allclose(shift, [0.02 / diagonal, 0, 0])
    assert factor == pytest.approx(diagonal / np.sqrt(0.16**2 + 0.10**2 + 0.08**2))


def test_visible_handle_of_a_known_mug():
    """The mug measures 120 x 100 x 80 mm, with a body of radius 40 mm about x = -20 mm and a handle to x = 60 mm."""
    extents = np.array([0.12, 0.10, 0.08]) / np.linalg.norm([0.12, 0.10, 0.08])
    unit = extents[0] / 0.12
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 500)
    body = np.stack([0.04 * np.cos(angle) - 0.02, np.linspace(-0.05, 0.05, 500), 0.04 * np.sin(angle)], axis=1)
    handle = np.stack([np.linspace(0.03, 0.06, 30), np.zeros(30), np.full(30, 0.005)], axis=1)
    assert not has_visible_handle(unit * body, extents)
    assert has_visible_handle(unit * np.concatenate([body, handle]), extents)
    assert not has_visible_handle(unit * np.concatenate([body, handle[:10]]), extents)


def test_visible_handles_agree_with_the_renderer(fixture_data):
    """They may differ for barely visible handles: the renderer uses the silhouette, the dataset counts pixels."""
    agree = [
        found.handle_visible == true.handle_visible
        for subset in SUBSETS
        for found, true, _ in iter_truth_pairs(fixture_data, subset, correct_mugs=True)
        if true.category == "mug"
    ]
    assert len(agree) >= 8 and np.mean(agree) >= 0.75
    others = [
        f.handle_visible
        for f, t, _ in iter_truth_pairs(fixture_data, "camera_val", correct_mugs=True)
        if t.category != "mug"
    ]
    assert all(others)


@pytest.mark.parametrize("subset", SUBSETS)
def test_official_truths_agree_with_fitted_truths(fixture_data, subset):
    root, truths = fixture_data
    dataset = NocsDataset(root, subset, correct_mugs=False)
    for index in range(len(dataset)):
        image, official = dataset.read(index), dataset.read_official(index)
        by_box = {each.box: each for each in official}
        assert len(official) == len(truths[subset][dataset.frames[index]])
        for found in image.truths:
            released = by_box[found.mask.box]
            assert released.category == found.mask.category
            np.testing.assert_allclose(released.T_camera_object[:3, 3], found.T_camera_object[:3, 3], atol=0.002)
            np.testing.assert_allclose(released.size, found.size, atol=0.002)
            assert np.linalg.det(released.T_camera_object[:3, :3]) == pytest.approx(1.0)


@pytest.mark.parametrize("subset", SUBSETS)
def test_detections_cover_their_objects(fixture_data, subset):
    dataset = NocsDataset(fixture_data[0], subset)
    for index in range(len(dataset)):
        labels = dataset.read(index).frame.labels
        for mask in dataset.read_detections(index):
            x0, y0, x1, y1 = mask.box
            category = NOCS_CATEGORIES[mask.category].id
            inside = labels[y0:y1, x0:x1][mask.mask] // LABEL_BASE == category
            assert inside.mean() > 0.4 and 0.8 <= mask.score <= 1.0


def test_fixture_has_the_entries_of_the_released_truths(fixture_data):
    """REAL states poses alone. In CAMERA the visibility of handles has a key without ``gt_``."""
    keys = {
        "real_test": {"gt_RTs", "image_path"},
        "val": {"gt_RTs", "image_path", "gt_class_ids", "gt_bboxes", "gt_scales", "handle_visibility", "obj_list"}
        | {"image_id"},
    }
    for folder, expected in keys.items():
        paths = sorted((fixture_data[0] / "gts" / folder).glob("*.pkl"))
        assert len(paths) == 6
        for path in paths:
            assert set(pickle.loads(path.read_bytes())) == expected
    depth = cv2.imread(str(fixture_data[0] / "CAMERA/val/00000/0000_depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.shape == (480, 640, 3) and depth.dtype == np.uint8
    lines = (fixture_data[0] / "Real/test/scene_1/0000_meta.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert all(len(line.split()) == 3 for line in lines)


def test_hidden_handles_of_camera_are_read(fixture_data):
    root, truths = fixture_data
    dataset = NocsDataset(root, "camera_val")
    read = {
        (name, truth.instance): truth.handle_visible
        for index, name in enumerate(dataset.frames)
        for truth in dataset.read_official(index)
    }
    rendered = {(name, t.instance): t.handle_visible for name, ts in truths["camera_val"].items() for t in ts}
    assert read == rendered and not all(read.values())


def test_object_without_pixels_has_no_official_truth(fixture_copy):
    """Rows of the released truths are those of the visible objects, so an object that leaves the image shifts them."""
    dataset = NocsDataset(fixture_copy, "real_test")
    before = dataset.read_official(0)
    mask_path = dataset.folder / "scene_1" / "0000_mask.png"
    truth_path = fixture_copy / "gts" / "real_test" / "results_real_test_scene_1_0000.pkl"
    mask, record = cv2.imread(str(mask_path), cv2.IMREAD_UNCHANGED), pickle.loads(truth_path.read_bytes())
    mask[mask == before[1].instance] = 255
    cv2.imwrite(str(mask_path), mask)
    with pytest.raises(DataError, match=rf"{truth_path.name}.*each of the {len(before) - 1} objects"):
        dataset.read_official(0)
    truth_path.write_bytes(pickle.dumps({**record, "gt_RTs": np.delete(record["gt_RTs"], 1, axis=0)}))
    after = dataset.read_official(0)
    assert [t.instance for t in after] == [t.instance for i, t in enumerate(before) if i != 1]
    for truth, same in zip(after, [*before[:1], *before[2:]], strict=True):
        np.testing.assert_array_equal(truth.T_camera_object, same.T_camera_object)


def test_distractors_with_pixels_have_no_row_and_unknown_classes_raise(fixture_copy):
    dataset = NocsDataset(fixture_copy, "real_test")
    path = dataset.folder / "scene_1" / "0000_meta.txt"
    lines = path.read_text().splitlines()
    first, _, model = lines[0].split()
    path.write_text("\n".join([f"{first} 0 {model}", *lines[1:]]))
    with pytest.raises(DataError, match=r"0000\.pkl.*each of the"):
        dataset.read_official(0)
    path.write_text("\n".join([f"{first} 9 {model}", *lines[1:]]))
    for call in (dataset.read_official, dataset.read_frame, dataset.read):
        with pytest.raises(DataError, match=rf"0000_meta\.txt': instance {first} has the class id 9"):
            call(0)


def test_detections_are_read_from_older_keys(fixture_copy):
    dataset = NocsDataset(fixture_copy, "real_test")
    path = next((fixture_copy / "segmentation_results" / "REAL275").glob("*_scene_1_0000.pkl"))
    record = pickle.loads(path.read_bytes())
    older = {name: record[f"pred_{name}"] for name in ("class_ids", "scores", "masks")}
    before = dataset.read_detections(0)
    path.write_bytes(pickle.dumps({**older, "rois": record["pred_bboxes"]}))
    assert [mask.box for mask in dataset.read_detections(0)] == [mask.box for mask in before]


def test_composed_depth_contains_the_background(fixture_copy):
    composed = NocsDataset(fixture_copy, "camera_val").read(0).frame
    shutil.rmtree(fixture_copy / "camera_full_depths")
    plain = NocsDataset(fixture_copy, "camera_val").read(0).frame
    objects = plain.labels > 0
    np.testing.assert_array_equal(composed.depth[objects], plain.depth[objects])
    assert (composed.depth[~objects] > 0).mean() > 0.9 and (plain.depth[~objects] == 0).all()


def test_fitted_truth_is_robust_to_wrong_pixels(fixture_copy):
    """A tenth of the pixels of the coordinate map are random, like the borders of real maps."""
    dataset = NocsDataset(fixture_copy, "real_test", correct_mugs=False)
    before = {truth.instance: truth for truth in dataset.read(0).truths}
    path = dataset.folder / "scene_1" / "0000_coord.png"
    image = cv2.imread(str(path))
    rng = np.random.default_rng(0)
    wrong = rng.uniform(size=image.shape[:2]) < 0.1
    image[wrong] = rng.integers(0, 256, (int(wrong.sum()), 3))
    cv2.imwrite(str(path), image)
    for truth in dataset.read(0).truths:
        T, T_before = truth.T_camera_object, before[truth.instance].T_camera_object
        assert rotation_angle_deg(T[:3, :3], T_before[:3, :3]) < 0.5
        assert np.linalg.norm(T[:3, 3] - T_before[:3, 3]) < 0.002


def test_read_frame_needs_no_models_and_no_coordinate_map(fixture_copy):
    dataset = NocsDataset(fixture_copy, "real_test")
    whole = dataset.read(0).frame
    shutil.rmtree(fixture_copy / "obj_models")
    (dataset.folder / "scene_1" / "0000_coord.png").unlink()
    alone = dataset.read_frame(0)
    for name in ("rgb", "depth", "labels"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name))


def test_read_is_deterministic(fixture_data):
    dataset = NocsDataset(fixture_data[0], "real_test")
    for first, second in zip(dataset.read(1).truths, dataset.read(1).truths, strict=True):
        np.testing.assert_array_equal(first.T_camera_object, second.T_camera_object)


def test_instances_without_depth_are_skipped_with_a_reason(fixture_copy):
    dataset = NocsDataset(fixture_copy, "real_test")
    cv2.imwrite(str(dataset.folder / "scene_1" / "0000_depth.png"), np.zeros((480, 640), np.uint16))
    image = dataset.read(0)
    assert not image.truths and image.skipped
    assert all("0 pixels have depth" in reason for reason in image.skipped)


def test_mugs_without_a_correction_are_skipped(fixture_copy):
    (fixture_copy / "obj_models" / "mug_meta.pkl").write_bytes(pickle.dumps({}))
    dataset = NocsDataset(fixture_copy, "real_test")
    images = [dataset.read(index) for index in range(len(dataset))]
    assert not [t for image in images for t in image.truths if t.mask.category == "mug"]
    assert any("no correction" in reason for image in images for reason in image.skipped)


@pytest.mark.parametrize(
    ("missing_file", "read"),
    [
        ("obj_models/mug_meta.pkl", lambda d: [d.read(i) for i in range(len(d))]),
        ("gts/real_test/results_real_test_scene_1_0000.pkl", lambda d: d.read_official(0)),
        ("segmentation_results/REAL275/results_test_scene_1_0000.pkl", lambda d: d.read_detections(0)),
        ("Real/test/scene_1/0000_coord.png", lambda d: d.read(0)),
        ("Real/test/scene_1/0000_meta.txt", lambda d: d.read(0)),
    ],
)
def test_missing_file_is_named(fixture_copy, missing_file, read):
    dataset = NocsDataset(fixture_copy, "real_test")
    (fixture_copy / missing_file).unlink()
    with pytest.raises(DataError, match=missing_file):
        read(dataset)


def test_missing_models_and_composed_depth_raise(fixture_copy):
    dataset = NocsDataset(fixture_copy, "camera_val")
    shutil.rmtree(fixture_copy / "obj_models" / "val")
    with pytest.raises(DataError, match=r"obj_models/val/0\d+/\w+/bbox\.txt.*obj_models\.zip"):
        dataset.read(0)
    (fixture_copy / "camera_full_depths" / "val" / "00000" / "0000_composed.png").unlink()
    with pytest.raises(DataError, match=r"00000/0000_composed\.png"):
        dataset.read(0)


def test_missing_folders_and_unknown_subsets_raise(tmp_path):
    with pytest.raises(DataError, match=r"Real/test' or '.*real_test'"):
        NocsDataset(tmp_path, "real_test")
    with pytest.raises(ConfigError, match="camera_train, camera_val, real_train, real_test"):
        NocsDataset(tmp_path, "test")
    (tmp_path / "Real" / "test" / "scene_1").mkdir(parents=True)
    (tmp_path / "Real" / "test" / "scene_1" / "0000_color.png").touch()
    with pytest.raises(DataError, match=r"no complete frame.*0000_depth\.png"):
        NocsDataset(tmp_path, "real_test")


def test_training_subsets_have_no_official_truth(tmp_path):
    write_nocs_fixture(tmp_path, "real_train", frames=1)
    dataset = NocsDataset(tmp_path, "real_train")
    assert dataset.read(0).truths
    for call in (dataset.read_official, dataset.read_detections):
        with pytest.raises(DataError, match="only of camera_val and real_test"):
            call(0)


def test_frame_index_is_cached_and_updated(fixture_copy):
    whole = NocsDataset(fixture_copy, "real_test")
    index = fixture_copy / ".clipose_real_test.json"
    assert index.is_file() and not whole.missing
    index.write_text(index.read_text().replace('"0001"', '"0001", "0009"', 1))
    assert len(NocsDataset(fixture_copy, "real_test")) == len(whole) + 1, "unchanged folders are not listed again"
    (whole.folder / "scene_1" / "0001_mask.png").unlink()
    renewed = NocsDataset(fixture_copy, "real_test")
    assert len(renewed) == len(whole) - 1
    assert renewed.missing == (whole.folder / "scene_1" / "0001_mask.png",)
    index.write_text("nonsense")
    assert NocsDataset(fixture_copy, "real_test").frames == renewed.frames


def test_frame_index_can_be_written_to_another_folder(fixture_copy, tmp_path):
    (fixture_copy / ".clipose_real_test.json").unlink(missing_ok=True)
    NocsDataset(fixture_copy, "real_test", index=tmp_path / "kept.json")
    assert (tmp_path / "kept.json").is_file() and not (fixture_copy / ".clipose_real_test.json").exists()


def test_training_clouds_lie_on_their_objects(fixture_data):
    dataset = NocsDataset(fixture_data[0], "real_test", correct_mugs=False)
    samples = load_nocs_samples(dataset, seed=0, cloud=CloudConfig(points=256))
    assert len(samples) >= 15 and samples.categories == NOCS_CATEGORIES
    for points, T, size in zip(samples.points, samples.T_camera_object, samples.size, strict=True):
        beyond = np.abs(transform_points(invert_transform(T), points)) - size / 2
        assert (beyond.max(axis=1) < 0.01).mean() > 0.7
    few = load_nocs_samples(dataset, seed=0, frames=1)
    assert 0 < len(few) < len(samples)


def test_malformed_model_boxes_raise(fixture_copy):
    models = NocsModels(fixture_copy, NOCS_SUBSETS["real_test"])
    path = sorted((fixture_copy / "obj_models" / "real_test").glob("*.txt"))[0]
    for text in ("1 2", "a b c", "1 0 1"):
        path.write_text(text)
        with pytest.raises(DataError, match=path.name):
            models.read_extents(MetaLine(1, 1, path.stem, ""))
