"""A frame's way through the pipeline, with a predictor that fits the box of its points instead of a network."""

import dataclasses

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CheckConfig, NetworkConfig, PoseNodeConfig, SegmentationConfig
from clipose_ros.errors import CheckpointError, ConfigError, SegmentationError
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.inference.pass_plan import ALL_PASSES
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.inference.predictor import Predictor
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.types import CameraIntrinsics, PoseEstimate, RejectionReason, RgbdFrame

CAMERA = CameraIntrinsics(577.5, 577.5, 319.5, 239.5, 640, 480)
LABELS = SegmentationConfig(backend="labels")
CONFIG = PoseNodeConfig(segmentation=LABELS)


class BoxPredictor:
    """Poses a cloud by its bounds along the camera's axes; remembers its batches."""

    categories = NOCS_CATEGORIES
    device = "cpu"

    def __init__(self, confidence=0.5):
        self.confidence = confidence
        self.batches = []

    def predict(self, points_camera, categories):
        assert points_camera.dtype == np.float32 and points_camera.shape == (len(categories), 1024, 3)
        self.batches.append(list(categories))
        low, high = points_camera.min(axis=1), points_camera.max(axis=1)
        return [
            PoseEstimate(name, make_transform(np.eye(3), (lo + hi) / 2), hi - lo + 0.05, self.confidence, (0.5, 0.5))
            for name, lo, hi in zip(categories, low, high, strict=True)
        ]


class PassCounter(BoxPredictor):
    """Predictor with a refiner that remembers the passes of each object."""

    has_refiner = True

    def __init__(self):
        super().__init__()
        self.plans = []

    def predict_passes(self, points_camera, categories, plan):
        self.plans.append(plan)
        return self.predict(points_camera, categories)


class ScoredSegmenter:
    """Label segmentation with scores of our choosing, by category."""

    def __init__(self, scores):
        self.scores = scores
        self.inner = create_segmenter(LABELS, NOCS_CATEGORIES)

    def segment(self, frame):
        return [dataclasses.replace(i, score=self.scores[i.category]) for i in self.inner.segment(frame)]

    def reconfigure(self, config):
        self.inner.reconfigure(dataclasses.replace(config, max_instances=200))  # it does not know our scores


def frame(objects):
    """Squares of 60 pixels at 1 m, one per label value, from left to right."""
    depth = np.full((480, 640), 1.5, np.float32)
    labels = np.zeros((480, 640), np.uint16)
    for place, value in enumerate(objects):
        window = np.s_[200:260, 20 + 80 * place : 80 + 80 * place]
        labels[window], depth[window] = value, 1.0
    return RgbdFrame(np.zeros((480, 640, 3), np.uint8), depth, CAMERA, 17, "camera", labels)


def pipeline(config=CONFIG, predictor=None, scores=None):
    segmenter = ScoredSegmenter(scores) if scores else create_segmenter(LABELS, NOCS_CATEGORIES)
    return PosePipeline(segmenter, predictor or BoxPredictor(), config)


def categories_of(result):
    return sorted(pose.category for pose in result.poses)


def test_passes_follow_the_doubt_of_the_objects_and_the_refiner_of_the_predictor():
    predictor = PassCounter()
    posing = pipeline(predictor=predictor)
    posing.process(frame([1001, 1002, 6001]), lambda clouds: np.array([1.0, 0.7, 0.0]))
    posing.process(frame([1001]))
    (plan,) = predictor.plans
    assert (plan.only_pass == ALL_PASSES).tolist() == [True, True, False]
    assert plan.coarse_only.tolist() == [False, False, True]
    assert len(predictor.batches) == 2, "without a tracker no passes are chosen"


def test_all_instances_go_through_the_network_in_one_batch():
    predictor = BoxPredictor()
    result = pipeline(predictor=predictor).process(frame([1001, 1002, 6001, 4001]))
    assert len(predictor.batches) == 1
    assert categories_of(result) == ["bottle", "bottle", "can", "mug"]
    assert result.rejections == ()
    for pose, cloud in zip(result.poses, result.clouds, strict=True):
        assert pose.category == cloud.instance.category
        assert np.allclose(pose.T_camera_object[:3, 3], cloud.points_camera.mean(axis=0), atol=0.01)


def test_score_is_detection_times_pose_confidence():
    result = pipeline(scores={"mug": 0.8, "can": 0.9}).process(frame([6001, 4001]))
    assert [(pose.category, pytest.approx(pose.score)) for pose in result.poses] == [("can", 0.45), ("mug", 0.40)]


def test_the_best_scores_are_posed_when_there_are_too_many():
    config = PoseNodeConfig(segmentation=dataclasses.replace(LABELS, max_instances=2))
    scores = {"bottle": 0.5, "bowl": 0.9, "can": 0.6, "mug": 0.7}
    result = pipeline(config, scores=scores).process(frame([1001, 2001, 4001, 6001]))
    assert [pose.category for pose in result.poses] == ["bowl", "mug"]


def test_only_enabled_categories_are_posed():
    predictor = BoxPredictor()
    posing = pipeline(dataclasses.replace(CONFIG, categories=("mug",)), predictor)
    assert categories_of(posing.process(frame([1001, 6001]))) == ["mug"]
    assert predictor.batches == [["mug"]]
    posing.reconfigure(CONFIG)
    assert categories_of(posing.process(frame([1001, 6001]))) == ["bottle", "mug"]


def test_categories_that_are_not_posed_take_up_no_places():
    config = dataclasses.replace(CONFIG, categories=("mug",), segmentation=dataclasses.replace(LABELS, max_instances=1))
    crowded = frame([6001, 1001])
    crowded.labels[crowded.labels == 0] = 2001  # a bowl larger than both
    for posing in (pipeline(config), pipeline()):
        posing.reconfigure(config)
        assert categories_of(posing.process(crowded)) == ["mug"]
    assert categories_of(pipeline(config).process(crowded)) == ["mug"]


def test_an_unknown_category_is_named_and_changes_nothing():
    with pytest.raises(ConfigError, match="'cup'"):
        pipeline(dataclasses.replace(CONFIG, categories=("cup",)))
    posing = pipeline()
    with pytest.raises(ConfigError, match="'cup'"):
        posing.reconfigure(dataclasses.replace(CONFIG, categories=("cup",)))
    assert categories_of(posing.process(frame([6001]))) == ["mug"]


def test_thresholds_change_while_running():
    posing = pipeline(scores={"mug": 0.8})
    assert len(posing.process(frame([6001])).poses) == 1
    check = dataclasses.replace(CONFIG.check, score_threshold=0.5)
    posing.reconfigure(dataclasses.replace(CONFIG, check=check))
    result = posing.process(frame([6001]))
    assert result.poses == result.clouds == ()
    assert [r.reason for r in result.rejections] == [RejectionReason.LOW_SCORE]


def test_objects_without_depth_are_rejected_and_the_others_posed():
    predictor = BoxPredictor()
    broken = frame([6001, 1001, 4001])
    broken.depth[:, :100] = np.nan
    broken.depth[:, 100:170] = 0.0
    result = pipeline(predictor=predictor).process(broken)
    assert predictor.batches == [["can"]] and categories_of(result) == ["can"]
    reasons = {r.category: r.reason for r in result.rejections}
    assert reasons == {"mug": RejectionReason.NO_DEPTH, "bottle": RejectionReason.NO_DEPTH}


def test_the_network_is_not_asked_about_an_empty_frame():
    predictor = BoxPredictor()
    result = pipeline(predictor=predictor).process(frame([]))
    assert result.poses == result.clouds == result.rejections == () and predictor.batches == []


def test_network_values_that_are_not_finite_are_a_rejection():
    result = pipeline(predictor=BoxPredictor(confidence=np.nan)).process(frame([6001, 1001]))
    assert result.poses == ()
    assert [r.reason for r in result.rejections] == [RejectionReason.NOT_FINITE] * 2


def test_times_are_those_of_the_stages():
    times = pipeline().process(frame([6001])).times
    assert times.segmentation_ms > 0.0 and times.cloud_ms > 0.0 and times.network_ms > 0.0


def test_a_frame_that_the_backend_cannot_use_raises():
    with pytest.raises(SegmentationError):
        pipeline().process(dataclasses.replace(frame([6001]), labels=None))


def test_equal_frames_give_equal_poses():
    first, second = (pipeline().process(frame([6001, 1001])) for _ in range(2))
    for a, b in zip(first.poses, second.poses, strict=True):
        assert np.array_equal(a.T_camera_object, b.T_camera_object) and np.array_equal(a.size, b.size)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A small untrained network that answers with the cloud's mean and the category's mean size."""
    import torch

    from clipose_ros.model.checkpoint import save_checkpoint
    from clipose_ros.model.network import Architecture, CLIPoseNet

    torch.manual_seed(0)
    network = CLIPoseNet(Architecture(widths=(8, 8, 8, 8, 8), head_widths=(16, 8), neighbours=8), NOCS_CATEGORIES)
    for parameter in network.head_ts.parameters():
        torch.nn.init.zeros_(parameter)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(path, network)
    return str(path)


def test_everything_is_built_from_the_settings(model_file):
    network = NetworkConfig(model=model_file, device="cpu")
    check = CheckConfig(
        score_threshold=0.0,
        size_tolerance=100.0,
        max_occlusion_ratio=1000.0,
        category_tolerance=1000.0,
        centre_tolerance=10.0,
    )
    posing = PosePipeline.from_config(PoseNodeConfig(segmentation=LABELS, network=network, check=check))
    first, second = posing.process(frame([6001, 1001])), posing.process(frame([6001, 1001]))
    assert categories_of(first) == ["bottle", "mug"]
    for a, b in zip(first.poses, second.poses, strict=True):
        assert np.array_equal(a.T_camera_object, b.T_camera_object)
        assert np.allclose(a.T_camera_object[:3, :3].T @ a.T_camera_object[:3, :3], np.eye(3), atol=1e-6)
        assert a.T_camera_object[2, 3] == pytest.approx(1.0)
        assert np.allclose(a.size, NOCS_CATEGORIES[a.category].mean_size, atol=1e-6)


def test_detector_and_network_of_a_node_share_the_cores(model_file, monkeypatch):
    """A pipeline whose steps take turns gets no smaller part of the cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(6))
    made = {}
    load = Predictor.from_config.__func__

    def record(cls, network):
        made["network"] = network.threads
        return load(cls, network)

    def create(config, categories, device):
        made["segmentation"] = config.threads
        return create_segmenter(config, categories, device)

    monkeypatch.setattr(Predictor, "from_config", classmethod(record))
    monkeypatch.setattr("clipose_ros.inference.pipeline.create_segmenter", create)
    network = NetworkConfig(model=model_file, device="cpu")
    for parallel, live, expected in (("always", True, 3), ("always", False, 0), ("never", True, 0)):
        config = PoseNodeConfig(segmentation=dataclasses.replace(LABELS, parallel=parallel), network=network)
        posing = PosePipeline.from_config(config, live=live)
        assert made == {"network": expected, "segmentation": expected}
        assert posing.is_parallel == (parallel == "always")


def test_a_frame_keeps_the_settings_with_which_it_was_detected():
    posing = pipeline()
    detected = posing.detect(frame([6001]))
    posing.reconfigure(PoseNodeConfig(segmentation=LABELS, check=CheckConfig(score_threshold=1.0)))
    assert len(posing.estimate(detected).poses) == 1
    assert not posing.process(frame([6001])).poses


def test_a_model_that_is_missing_is_named(tmp_path):
    network = NetworkConfig(model=str(tmp_path / "none.safetensors"), device="cpu")
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        PosePipeline.from_config(PoseNodeConfig(segmentation=LABELS, network=network))


def test_an_unknown_category_is_named_before_the_segmenter_is_built(model_file):
    broken = SegmentationConfig(backend="yolo", model="no such weights")
    network = NetworkConfig(model=model_file, device="cpu")
    with pytest.raises(ConfigError, match="'cup'"):
        PosePipeline.from_config(PoseNodeConfig(categories=("cup",), segmentation=broken, network=network))
