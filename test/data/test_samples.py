"""Training clouds of synthetic scenes: ground truth, files, masks and image windows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig
from clipose_ros.data.mask_augmentation import augment_mask
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.samples import crop_intrinsics, generate_samples
from clipose_ros.errors import DataError
from clipose_ros.geometry.camera import project
from clipose_ros.types import CameraIntrinsics, InstanceMask


@pytest.fixture(scope="module")
def samples():
    return generate_samples(4, seed=42)


def in_object_frame(samples):
    T = np.linalg.inv(samples.T_camera_object.astype(np.float64))
    return np.einsum("sij,snj->sni", T[:, :3, :3], samples.points) + T[:, None, :3, 3]


def test_samples_have_the_documented_shapes_and_types(samples):
    count = len(samples)
    assert count > 20
    assert samples.points.shape == (count, 1024, 3) and samples.points.dtype == np.float32
    assert samples.category_index.shape == (count,) and samples.category_index.dtype == np.int64
    assert samples.T_camera_object.shape == (count, 4, 4) and samples.T_camera_object.dtype == np.float32
    assert samples.size.shape == (count, 3) and samples.size.dtype == np.float32
    assert samples.handle_visible.dtype == np.bool_ and samples.visible_fraction.dtype == np.float32
    assert np.isfinite(samples.points).all() and (samples.points[..., 2] > 0).all()


def test_points_lie_in_the_true_box_except_for_noise(samples):
    beyond = (np.abs(in_object_frame(samples)) - samples.size[:, None] / 2).max(axis=2)
    assert np.median((beyond < 0.01).mean(axis=1)) > 0.97
    assert (beyond < 0.03).mean() > 0.97


def test_poses_are_rigid_and_in_front_of_the_camera(samples):
    R = samples.T_camera_object[:, :3, :3].astype(np.float64)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(R), 1.0, atol=1e-5)
    assert (samples.T_camera_object[:, 2, 3] > 0.1).all()


def test_visible_handles_have_points_in_the_cloud(samples):
    mug = samples.category_index == NOCS_CATEGORIES.index("mug")
    assert samples.handle_visible[~mug].all()
    local, size = in_object_frame(samples)[mug], samples.size[mug]
    beyond_body = (
        np.hypot(local[..., 0] - (size[:, None, 2] - size[:, None, 0]) / 2, local[..., 2])
        > size[:, None, 2] / 2 + 0.004
    )
    shown = samples.handle_visible[mug]
    assert (beyond_body.sum(axis=1)[shown] >= 8).all()


def test_equal_seeds_give_equal_samples_and_more_scenes_extend_them():
    two, again, three = generate_samples(2, 9), generate_samples(2, 9), generate_samples(3, 9)
    np.testing.assert_array_equal(two.points, again.points)
    np.testing.assert_array_equal(two.points, three.points[: len(two)])
    other = generate_samples(1, 10)
    assert not np.array_equal(other.size[0], two.size[0])


def test_samples_have_the_requested_categories_and_number_of_points():
    samples = generate_samples(2, 1, categories=("mug",), cloud=CloudConfig(points=256))
    assert set(samples.category_index) == {NOCS_CATEGORIES.index("mug")}
    assert samples.points.shape[1] == 256


def test_saved_samples_are_loaded_and_concatenated(samples, tmp_path):
    path = tmp_path / "train.npz"
    samples.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["train.npz"], "no partial file remains"
    twice = CloudSamples.load(path, path)
    assert len(twice) == 2 * len(samples)
    np.testing.assert_array_equal(twice.points[len(samples) :], samples.points)
    np.testing.assert_array_equal(twice.handle_visible[: len(samples)], samples.handle_visible)


def test_load_names_files_of_another_format(samples, tmp_path):
    samples.save(tmp_path / "whole.npz")
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "lacking.npz", points=np.zeros(3))
    for name in ("other.npz", "half.npz", "lacking.npz", "missing.npz"):
        with pytest.raises(DataError, match=name):
            CloudSamples.load(tmp_path / name)


def test_generation_without_samples_raises():
    with pytest.raises(DataError, match="request more scenes"):
        generate_samples(0, 1)


@given(seed=st.integers(0, 10_000), row=st.integers(0, 90), column=st.integers(0, 120))
@settings(max_examples=40, deadline=None)
def test_augmented_mask_stays_near_the_true_mask(seed, row, column):
    whole = np.zeros((130, 170), dtype=bool)
    whole[row : row + 40, column : column + 50] = True
    mask = InstanceMask.from_full("can", 0.5, whole)
    rough = augment_mask(mask, whole.shape, np.random.default_rng(seed))
    assert rough is not None and rough.category == "can" and rough.score == 0.5
    image = np.zeros_like(whole)
    x0, y0, x1, y1 = rough.box
    image[y0:y1, x0:x1] = rough.mask
    assert (image & whole).sum() / (image | whole).sum() > 0.4
    near = np.zeros_like(whole)
    near[max(row - 10, 0) : row + 50, max(column - 10, 0) : column + 60] = True
    assert not (image & ~near).any()


def test_mask_augmentation_grows_and_shrinks():
    whole = np.zeros((130, 170), dtype=bool)
    whole[40:90, 40:100] = True
    mask = InstanceMask.from_full("can", 0.5, whole)
    areas = (
        np.array([augment_mask(mask, whole.shape, np.random.default_rng(s)).mask.sum() for s in range(60)])
        / whole.sum()
    )
    assert areas.min() < 0.9 and areas.max() > 1.1


def test_cropped_intrinsics_shift_pixels_by_whole_numbers():
    camera = CameraIntrinsics(580.0, 590.0, 320.0, 240.0, 640, 480)
    T = np.eye(4)
    T[:3, 3] = 0.1, -0.05, 0.8
    crop = crop_intrinsics(T, np.array([0.1, 0.2, 0.1]), camera)
    points = np.random.default_rng(0).uniform(-0.05, 0.05, (50, 3)) + T[:3, 3]
    moved = project(points, camera) - project(points, crop)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-9)
    assert (moved[0] == np.rint(moved[0])).all() and (moved[0] > 0).all()
    inside = project(points, crop)
    assert (inside > 0).all() and (inside < [crop.width, crop.height]).all()


def test_crop_of_an_object_outside_the_view_or_too_near_is_none():
    camera = CameraIntrinsics(580.0, 580.0, 320.0, 240.0, 640, 480)
    size = np.full(3, 0.1)
    for place in ((5.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.0, 0.0, 0.05)):
        T = np.eye(4)
        T[:3, 3] = place
        assert crop_intrinsics(T, size, camera) is None


def test_select_returns_rows_in_order_with_repetitions(samples):
    rows = np.array([3, 0, 3])
    selected = samples.select(rows)
    np.testing.assert_array_equal(selected.points, samples.points[rows])
    np.testing.assert_array_equal(selected.T_camera_object, samples.T_camera_object[rows])
    assert selected.categories == samples.categories and selected.images is None


def test_images_are_optional_and_do_not_change_the_clouds(tmp_path: Path) -> None:
    plain, with_images = generate_samples(1, 5), generate_samples(1, 5, image_side=48)
    np.testing.assert_array_equal(plain.points, with_images.points)
    assert (
        plain.images is None
        and with_images.images is not None
        and with_images.images.shape == (len(with_images), 48, 48, 3)
    )
    assert with_images.images.std(axis=(1, 2, 3)).min() > 5.0  # no image is uniform
    plain.save(tmp_path / "plain.npz")
    with_images.save(tmp_path / "seen.npz")
    again = CloudSamples.load(tmp_path / "seen.npz", tmp_path / "seen.npz").images
    assert again is not None
    np.testing.assert_array_equal(again, np.concatenate([with_images.images, with_images.images]))
    assert CloudSamples.load(tmp_path / "seen.npz", tmp_path / "plain.npz").images is None
