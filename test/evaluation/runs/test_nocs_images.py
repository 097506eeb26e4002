"""Poses of NOCS images, with predictors that return the true poses or none."""

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.errors import DataError
from clipose_ros.evaluation.metrics.nocs_protocol import as_record, evaluate_frames
from clipose_ros.evaluation.results_file import read_results, write_results
from clipose_ros.evaluation.runs.nocs_images import pose_images
from clipose_ros.types import PoseEstimate

CLOUD = CloudConfig(min_points=50)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("nocs")
    write_nocs_fixture(root, "real_test", scenes=2, frames=1, seed=4)
    return root


class TruePredictor:
    """Predictor that returns the nearest true pose of the category, or no pose if ``blind``."""

    categories, device = NOCS_CATEGORIES, "cpu"

    def __init__(self, truths):
        self.truths, self.blind = truths, False

    def predict(self, points_camera, categories):
        poses = []
        for points, category in zip(points_camera, categories, strict=True):
            centre = points.mean(axis=0)
            same = [t for t in self.truths if t.category == category]
            truth = min(same, key=lambda t: np.linalg.norm(t.T_camera_object[:3, 3] - centre))
            T, size = (
                (np.full((4, 4), np.nan), np.full(3, np.nan)) if self.blind else (truth.T_camera_object, truth.size)
            )
            poses.append(PoseEstimate(category, T, size, 1.0, (1.0, 1.0)))
        return poses


def posed(root, blind=False, **options):
    dataset = NocsDataset(root, "real_test", correct_mugs=False)
    frames = []
    for index in range(len(dataset)):
        predictor = TruePredictor(dataset.read_official(index))
        predictor.blind = blind
        (image,) = pose_images(dataset, predictor, [index], CLOUD, **options)
        assert image.latency_ms > 0.0
        frames.append(image.frame)
    return frames


def test_true_poses_have_average_precision_100(root):
    for options in ({}, {"official_truths": False}):
        for table in evaluate_frames(posed(root, **options), NOCS_CATEGORIES).values():
            mean = as_record(table["mean"])
            assert mean["truths"] >= 4
            assert mean["5deg2cm"] == pytest.approx(100.0)
            assert mean["matched"] == mean["truths"]


def test_detections_without_a_pose_are_false_positives(root):
    for table in evaluate_frames(posed(root, blind=True), NOCS_CATEGORIES).values():
        mean = as_record(table["mean"])
        assert mean["predictions"] >= 4
        assert (mean["matched"], mean["IoU25"], mean["5deg2cm"]) == (0, 0.0, 0.0)


def test_saved_frames_give_equal_scores(root, tmp_path):
    frames = posed(root)
    for number, frame in enumerate(frames):
        write_results(tmp_path / f"results_{number}.pkl", frame)
    again = [frame for path in sorted(tmp_path.glob("*.pkl")) for frame in read_results(path)]
    assert [f.extras["image_path"] for f in again] == [f.name for f in frames]
    for kind, table in evaluate_frames(frames, NOCS_CATEGORIES).items():
        for name, row in evaluate_frames(again, NOCS_CATEGORIES, [kind])[kind].items():
            assert as_record(row) == as_record(table[name])


def test_boxes_have_the_order_of_the_release(root):
    for frame in posed(root):
        top, left, bottom, right = frame.predictions.boxes.T
        assert (top < bottom).all() and (left < right).all()
        assert (bottom <= 480).all() and (right <= 640).all()


def test_pose_images_rejects_a_subset_without_detections(root):
    write_nocs_fixture(root, "real_train", scenes=1, frames=1, seed=4)
    dataset = NocsDataset(root, "real_train", correct_mugs=False)
    with pytest.raises(DataError, match="detections of real_train"):
        next(pose_images(dataset, TruePredictor([]), [0], CLOUD))
