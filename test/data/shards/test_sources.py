"""Scene sources: repeatable clouds, picklability and the record in the manifest."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.fixture import write_nocs_fixture
from clipose_ros.data.nocs.scene_source import NocsFrames
from clipose_ros.data.shards import sources
from clipose_ros.data.synthetic.scene_source import SimulatedScenes

SourceFactory = Callable[[int], sources.SceneSource]


@pytest.fixture(scope="module", params=["simulated", "nocs"])
def make_source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SourceFactory:
    """Return a function that creates a source from a seed."""
    if request.param == "simulated":
        return lambda seed: SimulatedScenes(seed=seed)
    root = tmp_path_factory.mktemp("nocs")
    write_nocs_fixture(root, "real_train", scenes=1, frames=2, seed=2)
    return lambda seed: NocsFrames(NocsDataset(root, "real_train"), seed)


def read_points(clouds: list[CloudSample]) -> np.ndarray:
    return np.stack([cloud.points for cloud in clouds])


def test_clouds_of_a_scene_are_repeatable_after_pickling(make_source: SourceFactory) -> None:
    source = make_source(3)
    in_worker: sources.SceneSource = pickle.loads(pickle.dumps(source))
    first, again = list(source.generate_clouds(1)), list(in_worker.generate_clouds(1))
    assert first
    np.testing.assert_array_equal(read_points(first), read_points(again))


def test_scenes_are_independent_of_the_order_of_calls(make_source: SourceFactory) -> None:
    source = make_source(3)
    expected = read_points(list(source.generate_clouds(1)))
    list(source.generate_clouds(0))
    np.testing.assert_array_equal(read_points(list(source.generate_clouds(1))), expected)


def test_clouds_have_categories_of_the_source(make_source: SourceFactory) -> None:
    source = make_source(3)
    assert source.categories == NOCS_CATEGORIES
    assert {cloud.category for cloud in source.generate_clouds(0)} <= set(source.categories.names)


def test_record_is_json_and_depends_on_the_settings_only(make_source: SourceFactory) -> None:
    record = make_source(3).as_record()
    assert json.loads(json.dumps(record)) == record
    assert record == make_source(3).as_record()
    assert record != make_source(4).as_record()


def test_record_of_simulated_scenes_contains_image_side_and_objects() -> None:
    source = SimulatedScenes(seed=1)
    assert replace(source, image_side=32).as_record() != source.as_record()
    assert replace(source, library_record={"meshes": "x"}).as_record() != source.as_record()
