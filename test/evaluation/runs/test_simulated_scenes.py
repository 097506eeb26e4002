"""The pose pipeline on simulated views, with a predictor of true poses and altered masks."""

import dataclasses

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES, CategorySet
from clipose_ros.config import CheckConfig, PoseNodeConfig, SegmentationConfig
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY
from clipose_ros.data.synthetic.samples import MIN_OBJECT_PIXELS, MIN_VISIBLE
from clipose_ros.data.synthetic.scene_views import StoredViews, ViewRecipe, store_views
from clipose_ros.errors import ConfigError
from clipose_ros.evaluation.metrics.detection_recall import sum_counts
from clipose_ros.evaluation.metrics.nocs_protocol import as_record, evaluate_frames
from clipose_ros.evaluation.runs.simulated_scenes import evaluated_categories, pose_views
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.segmentation.labels import LabelSegmenter
from clipose_ros.types import PoseEstimate

CONFIG = PoseNodeConfig(
    segmentation=SegmentationConfig(backend="labels", max_instances=50),
    check=CheckConfig(
        score_threshold=0.0,
        centre_tolerance=10.0,
        size_tolerance=100.0,
        max_occlusion_ratio=1000.0,
        category_tolerance=1000.0,
    ),
)


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    store_views(folder, ViewRecipe(seed=3, width=320, height=240), 2, log=lambda line: None)
    stored = StoredViews(folder, 2)
    return [stored.read(name) for name in stored.names]


class TruePredictor:
    """Predictor that returns the true pose of the object on whose pixels a cloud lies, for any category."""

    categories, device = NOCS_CATEGORIES, "cpu"

    def __init__(self, view, score=1.0):
        self.view, self.score = view, score

    def predict(self, points_camera, categories):
        poses = []
        for points, category in zip(points_camera, categories, strict=True):
            pixels = points / points[:, 2:] @ self.view.frame.intrinsics.K.T
            u, v = np.rint(pixels[:, :2]).astype(int).T
            labels, counts = np.unique(self.view.frame.labels[v, u], return_counts=True)
            instance = labels[counts.argmax()] % 1000
            truth = next(t for t in self.view.truths if t.instance == instance)
            poses.append(PoseEstimate(category, truth.T_camera_object, truth.size, self.score, (1.0, 1.0)))
        return poses


class AlteredSegmenter:
    """Segmenter that returns altered true masks with a given score."""

    def __init__(self, alter, score=1.0):
        self.inner, self.alter, self.score = LabelSegmenter(CONFIG.segmentation, NOCS_CATEGORIES), alter, score

    def segment(self, frame):
        masks = [dataclasses.replace(mask, score=self.score) for mask in self.inner.segment(frame)]
        return list(self.alter(masks))

    def reconfigure(self, config):
        self.inner.reconfigure(config)


def run(views, alter=lambda masks: masks, score=1.0, confidence=1.0):
    posed = []
    for view in views:
        pipeline = PosePipeline(AlteredSegmenter(alter, score), TruePredictor(view, confidence), CONFIG)
        posed += pose_views([view], pipeline, NOCS_CATEGORIES)
    return posed


def figures(posed):
    tables = evaluate_frames((view.frame for view in posed), NOCS_CATEGORIES)
    return [as_record(table["mean"]) for table in tables.values()]


def visible_enough(view):
    labels = view.frame.labels
    for truth in view.truths:
        pixels = int((labels == 1000 * NOCS_CATEGORIES[truth.category].id + truth.instance).sum())
        if truth.visible_fraction >= MIN_VISIBLE and pixels >= MIN_OBJECT_PIXELS:
            yield truth


def test_true_poses_under_true_masks_have_average_precision_100(views):
    posed = run(views)
    expected = sum(len(list(visible_enough(view))) for view in views)
    hidden = sum(len(view.truths) for view in views) - expected
    assert expected >= 10 and hidden >= 1  # the views have visible and hidden objects
    for mean in figures(posed):
        assert (mean["truths"], mean["predictions"], mean["matched"]) == (expected, expected, expected)
        assert mean["IoU75"] == pytest.approx(100.0)
        assert mean["5deg2cm"] == pytest.approx(100.0)
    found = sum_counts((view.recall for view in posed), NOCS_CATEGORIES)["all"]
    assert set(found.shares().values()) == {100.0}
    assert found.objects == expected
    assert all(view.latency_ms > 0.0 for view in posed)


def test_view_is_evaluated_against_its_visible_objects(views):
    for view, posed in zip(views, run(views), strict=True):
        ids = [NOCS_CATEGORIES[truth.category].id for truth in visible_enough(view)]
        assert posed.frame.name == view.name
        assert posed.frame.truths.class_ids.tolist() == ids


def test_missed_masks_lower_recall_and_iou_precision(views):
    """Missed objects lower the precision of boxes, not of poses, whose recall is relative to matched objects."""
    posed = run(views, lambda masks: masks[::2])
    found = sum_counts((view.recall for view in posed), NOCS_CATEGORIES)
    for table in evaluate_frames((view.frame for view in posed), NOCS_CATEGORIES).values():
        for name, counts in found.items():
            if name != "all" and counts.objects:
                row = as_record(table[name])
                assert row["matched"] == counts.detected == counts.posed
                assert row["IoU50"] == pytest.approx(100.0 * counts.detected / counts.objects)
                assert row["IoU50"] == pytest.approx(counts.shares()["mask_recall"])
                assert row["5deg2cm"] == pytest.approx(100.0 if counts.detected else 0.0)
    everything = found["all"]
    assert 0.3 < everything.detected / everything.objects < 0.9
    assert everything.shares()["mask_precision"] == everything.shares()["pose_precision"] == 100.0


def test_misclassified_masks_are_missed_and_false(views):
    """Every bottle is detected as a can: no bottle is detected, and as many cans are false."""

    def misnamed(masks):
        return [dataclasses.replace(m, category="can") if m.category == "bottle" else m for m in masks]

    right = sum_counts((view.recall for view in run(views)), NOCS_CATEGORIES)
    wrong = sum_counts((view.recall for view in run(views, misnamed)), NOCS_CATEGORIES)
    bottles, cans = right["bottle"], right["can"]
    assert bottles.objects and cans.objects
    assert (wrong["bottle"].detected, wrong["bottle"].posed) == (0, 0)
    assert wrong["can"].detections == wrong["can"].poses == cans.objects + bottles.objects
    assert wrong["can"].detected == wrong["can"].posed == cans.objects
    assert wrong["mug"] == right["mug"]


def test_false_masks_lower_precision(views):
    def doubled(masks):
        return [m for mask in masks for m in (mask, dataclasses.replace(mask, category="laptop", score=0.5))]

    found = sum_counts((view.recall for view in run(views, doubled)), NOCS_CATEGORIES)
    right = sum_counts((view.recall for view in run(views)), NOCS_CATEGORIES)
    assert found["laptop"].detections == right["laptop"].detections + right["all"].detections
    assert found["laptop"].detected == right["laptop"].detected


def test_scores_are_products_of_detection_and_pose_confidence(views):
    for view in run(views, score=0.8, confidence=0.5):
        np.testing.assert_allclose(view.frame.scores, 0.4)


def test_rejected_poses_are_not_counted(views):
    strict = dataclasses.replace(CONFIG, check=dataclasses.replace(CONFIG.check, score_threshold=0.6))
    pipeline = PosePipeline(AlteredSegmenter(lambda masks: masks, 0.9), TruePredictor(views[0], 0.5), strict)
    (posed,) = pose_views([views[0]], pipeline, NOCS_CATEGORIES)
    found = sum_counts([posed.recall], NOCS_CATEGORIES)["all"]
    assert (found.poses, found.posed) == (0, 0)
    assert found.detected == found.objects > 0


def test_categories_outside_the_evaluated_set_are_ignored(views):
    evaluated = evaluated_categories(NOCS_OBJECT_LIBRARY, NOCS_CATEGORIES, ["mug", "can"])
    everything = sum_counts((view.recall for view in run(views)), NOCS_CATEGORIES)
    posed = []
    for view in views:
        posed += pose_views([view], PosePipeline(AlteredSegmenter(list), TruePredictor(view), CONFIG), evaluated)
    found = sum_counts((view.recall for view in posed), evaluated)
    assert list(found) == ["can", "mug", "all"]
    assert (found["can"], found["mug"]) == (everything["can"], everything["mug"])
    assert set(np.concatenate([view.frame.predictions.class_ids for view in posed])) <= {4, 6}


def test_evaluated_categories_rejects_a_model_without_a_category():
    few = CategorySet(tuple(NOCS_CATEGORIES)[:5])
    with pytest.raises(ConfigError, match="category 'mug' with id 6, but the model has 1 bottle"):
        evaluated_categories(NOCS_OBJECT_LIBRARY, few)


def test_pose_views_is_deterministic(views):
    for first, second in zip(run(views), run(views), strict=True):
        assert first.recall == second.recall
        np.testing.assert_array_equal(first.frame.predictions.S_camera_object, second.frame.predictions.S_camera_object)
