"""Recorded sequences of random tables, and the files that keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence, load_film, save_film
from clipose_ros.evaluation.runs.table_sequences import TableRecipe, record_table, record_tables
from clipose_ros.geometry.se3 import invert_transform, transform_points

RECIPE = TableRecipe(seed=3, frames=3, resting=False)


@pytest.fixture(scope="module")
def moving() -> RecordedSequence:
    return record_table(RECIPE, 0)


def test_clouds_of_a_moving_camera_lie_in_the_true_boxes(moving: RecordedSequence) -> None:
    assert moving.frames == 3 and not moving.camera_rests and moving.points.dtype == np.float32
    for row in range(len(moving.frame)):
        T = invert_transform(moving.truths.T_camera_object[row])
        inside = np.abs(transform_points(T, moving.points[row])) < 0.5 * moving.truths.size[row] + 0.02
        assert inside.all(axis=1).mean() > 0.7  # deformed masks reach beyond the object


def test_objects_rest_in_the_world(moving: RecordedSequence) -> None:
    T = moving.T_world_camera[moving.frame] @ moving.truths.T_camera_object
    for instance in np.unique(moving.instance):
        poses = T[moving.instance == instance]
        np.testing.assert_allclose(poses, np.broadcast_to(poses[0], poses.shape), atol=1e-9)


def test_resting_camera_has_the_first_view_and_new_noise_in_each_frame(moving: RecordedSequence) -> None:
    resting = record_table(TableRecipe(seed=3, frames=3, resting=True), 0)
    assert resting.camera_rests
    np.testing.assert_array_equal(resting.T_world_camera[0], moving.T_world_camera[0])
    first = resting.frame == 0
    np.testing.assert_array_equal(resting.points[first], moving.points[moving.frame == 0])
    instance = resting.instance[0]
    one, other = (resting.points[(resting.frame == f) & (resting.instance == instance)][0] for f in (0, 1))
    assert not np.array_equal(one, other)


def test_tables_do_not_depend_on_the_number_of_processes(moving: RecordedSequence) -> None:
    (recorded,) = record_tables(RECIPE, 1, workers=1)
    np.testing.assert_array_equal(recorded.points, moving.points)
    assert TableRecipe(3, 3, False).describe() == RECIPE.describe() != TableRecipe(4, 3, False).describe()


def test_film_of_several_sequences_can_be_stored(moving: RecordedSequence, tmp_path: Path) -> None:
    save_film(tmp_path / "film.npz", [moving, moving], "the recipe")
    sequences, recipe = load_film(tmp_path / "film.npz")
    assert len(sequences) == 2 and recipe == "the recipe"
    np.testing.assert_array_equal(sequences[1].points, moving.points)
    np.testing.assert_array_equal(sequences[1].truths.T_camera_object, moving.truths.T_camera_object)
    moving.save(tmp_path / "single.npz")
    np.testing.assert_array_equal(RecordedSequence.load(tmp_path / "single.npz").truths.size, moving.truths.size)
    with pytest.raises(DataError, match="is not a film of several tables"):
        load_film(tmp_path / "single.npz")


def test_file_without_truths_is_loaded(moving: RecordedSequence, tmp_path: Path) -> None:
    names = ("points", "frame", "category", "instance", "T_world_camera")
    np.savez(tmp_path / "old.npz", **{name: getattr(moving, name) for name in names})
    assert RecordedSequence.load(tmp_path / "old.npz").truths is None
