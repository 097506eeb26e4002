"""Degenerate clouds are refused with file and row, from ``.npz`` files and from shards."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.atomic_files import write_atomically
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_checks import find_fault
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.codec import iter_tar_bytes
from clipose_ros.data.shards.manifest import Manifest, Shard
from clipose_ros.data.shards.reader import load_clouds, read_shards
from clipose_ros.data.shards.stores import compute_sha256
from clipose_ros.data.shards.stream import ShardStream
from clipose_ros.errors import DataError
from clipose_ros.geometry.se3 import make_transform, transform_points

COUNT, ROW = 5, 3


def random_rotation(rng):
    Q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return Q * np.sign(np.linalg.det(Q))


def make_samples(seed=0):
    """Return clouds of points in boxes."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.03, 0.4, (COUNT, 3))
    T = np.stack([make_transform(random_rotation(rng), rng.uniform((-0.5, -0.5, 0.4), (0.5, 0.5, 2.0))) for _ in size])
    local = rng.uniform(-0.5, 0.5, (COUNT, 64, 3)) * size[:, None]
    points = np.stack([transform_points(pose, cloud) for pose, cloud in zip(T, local, strict=True)])
    return CloudSamples(
        points.astype(np.float32), np.arange(COUNT), T.astype(np.float32), size.astype(np.float32),
        np.ones(COUNT, bool), np.full(COUNT, 0.5, np.float32),
    )  # fmt: skip


def changed(name, change):
    """Return clouds with one changed row of one array."""
    samples = make_samples()
    values = getattr(samples, name).copy()
    values[ROW] = change(values[ROW])
    return replace(samples, **{name: values})


def at(place, value):
    """Return a function that sets one element of a row."""

    def change(row):
        row[place] = value
        return row

    return change


MILLIMETRES = np.array([[1, 1, 1, 1000]] * 3 + [[1, 1, 1, 1]])
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])
FAULTS = {
    "nan": ("points", at((7, 1), np.nan), "a point is not finite"),
    "infinite": ("points", at((7, 1), -np.inf), "a point is not finite"),
    "zero": ("points", lambda row: row * 0.0 + make_samples().T_camera_object[ROW, :3, 3], "all points lie within"),
    "millimetres": ("points", lambda row: row * 1000.0, "in metres and of the same camera"),
    "pose in millimetres": (
        "T_camera_object",
        lambda row: row * MILLIMETRES,
        "in metres and of the same camera",
    ),
    "pose nan": ("T_camera_object", at((1, 3), np.nan), "its pose is not finite"),
    "mirrored": ("T_camera_object", lambda row: row @ MIRROR, "its rotation is mirrored"),
    "sheared": ("T_camera_object", at((0, 1), 0.9), "its rotation is not orthogonal"),
    "scaled": ("T_camera_object", lambda row: row @ np.diag([2.0, 2.0, 2.0, 1.0]), "its rotation is not orthogonal"),
    "all zero": ("T_camera_object", lambda row: row * 0.0, "its rotation is not orthogonal"),
    "last row": ("T_camera_object", at((3, 0), 0.5), "the last row of its pose is [0.5, 0.0, 0.0, 1.0]"),
    "flat": ("size", at(1, 0.0), "expected 0.001 to 10.0 m"),
    "negative": ("size", at(1, -0.1), "expected 0.001 to 10.0 m"),
    "size nan": ("size", at(1, np.nan), "expected 0.001 to 10.0 m"),
    "size in millimetres": ("size", lambda row: row * 1000.0, "is the unit metres?"),
    "more than visible": ("visible_fraction", lambda row: 1.5, "isible fraction|visible_fraction"),
    "unknown visibility": ("visible_fraction", lambda row: np.nan, "isible fraction|visible_fraction"),
}


@given(st.integers(0, 999))
def test_plausible_clouds_have_no_fault(seed):
    samples = make_samples(seed)
    assert find_fault(samples.points, samples.T_camera_object, samples.size) is None


@pytest.mark.parametrize(("name", "change", "reason"), FAULTS.values(), ids=FAULTS)
def test_file_with_a_degenerate_cloud_is_refused_by_row(name, change, reason, tmp_path):
    changed(name, change).save(tmp_path / "bad.npz")
    with pytest.raises(DataError) as caught:
        CloudSamples.load(tmp_path / "bad.npz")
    message = str(caught.value)
    assert "bad.npz" in message and f"cloud {ROW}: " in message and "create it again" in message and "\n" not in message
    assert any(part in message for part in reason.split("|"))


@pytest.mark.parametrize(("name", "change", "reason"), FAULTS.values(), ids=FAULTS)
def test_shard_with_a_degenerate_cloud_is_refused_by_entry(name, change, reason, tmp_path):
    samples = changed(name, change)
    write_shard(tmp_path, [to_sample(samples, row) for row in range(COUNT)])
    with pytest.raises(DataError) as caught:
        read_shards(tmp_path)
    message = str(caught.value)
    assert "clouds-000000.tar" in message and f"entry '{ROW:04d}'" in message and "\n" not in message
    assert any(part in message for part in reason.split("|"))
    with pytest.raises(DataError, match=f"entry '{ROW:04d}'"):
        ShardStream(tmp_path, seed=0).fetch(range(40))


def test_number_of_affected_clouds_is_stated(tmp_path):
    samples = make_samples()
    replace(samples, size=samples.size * 0.0).save(tmp_path / "bad.npz")
    with pytest.raises(DataError, match="cloud 0: its size is .* 5 clouds have this fault"):
        CloudSamples.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("category_index", np.array([0, 1, 6, 2, 3]), "cloud 2: its category_index is 6, expected 0 to 5"),
        ("category_index", np.array([0, 1, 2, 2, -1]), "cloud 4: its category_index is -1"),
        ("category_index", np.zeros(COUNT), "'category_index' has the shape (5,) and the type float64"),
        ("handle_visible", np.ones(COUNT), "'handle_visible' has the shape"),
        ("size", np.ones((COUNT, 2), np.float32), "'size' has the shape (5, 2)"),
        ("size", np.ones((COUNT - 1, 3), np.float32), "'size' has the shape (4, 3)"),
        ("points", np.ones((COUNT, 9, 4), np.float32), "'points' has the shape (5, 9, 4)"),
        ("points", np.ones((COUNT, 0, 3), np.float32), "has the shape (5, 0, 3)"),
        ("points", np.array(["x"] * COUNT), "'points' has the shape (5,) and the type <U1"),
        ("images", np.ones((COUNT - 1, 8, 8, 3), np.uint8), "'images' has the shape (4, 8, 8, 3)"),
    ],
)
def test_arrays_of_other_shapes_and_ranges_are_refused(name, values, reason, tmp_path):
    replace(make_samples(), **{name: values}).save(tmp_path / "bad.npz")
    with pytest.raises(DataError) as caught:
        CloudSamples.load(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value) and reason in str(caught.value)


def to_sample(samples, row):
    return CloudSample(
        samples.points[row], NOCS_CATEGORIES.names[samples.category_index[row]], samples.T_camera_object[row],
        samples.size[row], bool(samples.handle_visible[row]), float(samples.visible_fraction[row]),
    )  # fmt: skip


def write_shard(folder, samples):
    path = folder / "clouds-000000.tar"
    write_atomically(path, iter_tar_bytes((f"{row:04d}", sample) for row, sample in enumerate(samples)))
    counts = {name: sum(sample.category == name for sample in samples) for name in NOCS_CATEGORIES.names}
    shard = Shard(path.name, 0, 1, len(samples), path.stat().st_size, compute_sha256(path), counts)
    Manifest({"seed": 0}, 1, NOCS_CATEGORIES, (shard,)).write(folder)


def test_clouds_of_different_numbers_of_points_are_refused(tmp_path):
    samples = make_samples()
    sets = (samples, replace(samples, points=samples.points[:, :32]))
    for i, each in enumerate(sets):
        (tmp_path / str(i)).mkdir()
        each.save(tmp_path / f"{i}.npz")
        write_shard(tmp_path / str(i), [to_sample(each, row) for row in range(COUNT)])
    for paths in ((0, 1), (0, "1.npz"), ("0.npz", "1.npz")):
        with pytest.raises(DataError, match=r"different numbers of points, \[\(32,\), \(64,\)\]"):
            load_clouds(*(tmp_path / str(path) for path in paths))
    mixed = [to_sample(sets[row % 2], row) for row in range(COUNT)]
    write_shard(tmp_path, mixed)
    with pytest.raises(DataError, match="different numbers of points"):
        ShardStream(tmp_path, seed=0).fetch(range(COUNT))
