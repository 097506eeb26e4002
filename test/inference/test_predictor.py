"""The predictor: rigid poses, scores, wrong input and devices that do not exist."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CheckpointError, ConfigError, DeviceError, ShapeError
from clipose_ros.inference.predictor import Predictor, resolve_device
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_checkpoint(path, CLIPoseNet(TINY, NOCS_CATEGORIES))
    return path


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.load(str(checkpoint), device="cpu")


def clouds(count: int) -> np.ndarray:
    return (np.random.default_rng(2).normal(size=(count, 128, 3)) * 0.05 + [0.0, 0.1, 0.8]).astype(np.float32)


def test_poses_are_rigid_and_near_their_points(predictor: Predictor) -> None:
    poses = predictor.predict(clouds(6), NOCS_CATEGORIES.names)
    assert [p.category for p in poses] == list(NOCS_CATEGORIES.names)
    for pose in poses:
        R = pose.T_camera_object[:3, :3]
        np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1.0)
        np.testing.assert_array_equal(pose.T_camera_object[3], [0, 0, 0, 1])
        assert (
            np.linalg.norm(pose.T_camera_object[:3, 3] - [0.0, 0.1, 0.8]) < 1.0
        )  # untrained, but a residual on the mean


def test_score_is_the_confidence_of_the_axes_that_are_determined(predictor: Predictor) -> None:
    for pose in predictor.predict(clouds(6), NOCS_CATEGORIES.names):
        confidence_y, confidence_x = pose.axis_confidences
        axial = NOCS_CATEGORIES[pose.category].symmetry.axial_y
        assert confidence_x == 0.0 if axial else confidence_x > 0.0
        assert pose.score == pytest.approx(confidence_y if axial else (confidence_y + confidence_x) / 2)


def test_equal_clouds_give_equal_poses(checkpoint: Path, predictor: Predictor) -> None:
    again = Predictor.load(str(checkpoint), device="cpu")
    for one, other in zip(
        predictor.predict(clouds(3), ["mug"] * 3), again.predict(clouds(3), ["mug"] * 3), strict=True
    ):
        np.testing.assert_array_equal(one.T_camera_object, other.T_camera_object)
        np.testing.assert_array_equal(one.size, other.size)


def test_a_cloud_that_is_not_finite_gives_a_pose_of_nan(predictor: Predictor) -> None:
    batch = clouds(2)
    batch[0, 3] = np.nan
    broken, sound = predictor.predict(batch, ["mug", "mug"])
    assert np.isnan(broken.T_camera_object).all() and np.isnan(broken.score)
    assert np.isfinite(sound.T_camera_object).all()


def test_an_empty_batch_gives_no_poses(predictor: Predictor) -> None:
    assert predictor.predict(np.zeros((0, 128, 3), np.float32), []) == []


def test_wrong_input_is_named(predictor: Predictor) -> None:
    with pytest.raises(ShapeError, match=r"B = 1.*\(2, 128, 3\)"):
        predictor.predict(clouds(2), ["mug"])
    with pytest.raises(ConfigError, match="teapot"):
        predictor.predict(clouds(1), ["teapot"])


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no_such_model"):
        Predictor.load("no_such_model", device="cpu")


def test_a_number_of_passes_out_of_bounds_is_refused(checkpoint: Path) -> None:
    for passes in (0, 17):
        with pytest.raises(ConfigError, match="max_passes"):
            Predictor.load(str(checkpoint), "cpu", max_passes=passes)


def test_devices() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    for words in ("gpu", "cuda:x", "cuda:-1", ""):
        with pytest.raises(DeviceError, match="auto, cpu, cuda or cuda:N"):
            resolve_device(words)
    with pytest.raises(DeviceError, match=r"cuda:99.*this machine has"):
        resolve_device("cuda:99")
