"""Clouds of small scenes: placement, views, ground truth, and the simulators by name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli import generate
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.synthetic.assets.hand import make_capsule, make_flat_hand, make_grasping_hand
from clipose_ros.data.synthetic.assets.household.shapes import make_household_object
from clipose_ros.data.synthetic.object_scenes import ObjectSceneConfig, make_object_scene
from clipose_ros.data.synthetic.samples import generate_samples
from clipose_ros.data.synthetic.scene_source import SimulatedScenes
from clipose_ros.data.synthetic.sensors.cameras import DepthCamera
from clipose_ros.data.synthetic.simulators import SIMULATORS, find_simulator
from clipose_ros.errors import ConfigError
from clipose_ros.types import FloatArray

NAMES = NOCS_CATEGORIES.names


@pytest.fixture(scope="module")
def samples() -> CloudSamples:
    return SimulatedScenes(5, simulator="crowded_objects").generate_samples(8)


def in_object_frame(samples: CloudSamples) -> np.ndarray:
    T = np.linalg.inv(samples.T_camera_object.astype(np.float64))
    return np.einsum("sij,snj->sni", T[:, :3, :3], samples.points) + T[:, None, :3, 3]


def test_clouds_have_poses_sizes_and_points_on_their_objects(samples: CloudSamples) -> None:
    assert len(samples) > 15
    R = samples.T_camera_object[:, :3, :3].astype(np.float64)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-5)
    assert (samples.visible_fraction >= 0.25).all() and (samples.visible_fraction <= 1).all()
    beyond = (np.abs(in_object_frame(samples)) - samples.size[:, None] / 2).max(axis=2)
    assert np.median((beyond < 0.015).mean(axis=1)) > 0.9
    # Real cameras blur edges, and masks include neighbours, but hardly any cloud is elsewhere.
    assert ((beyond < 0.03).mean(axis=1) > 0.5).mean() > 0.95


def test_equal_seeds_give_equal_clouds(samples: CloudSamples) -> None:
    again = SimulatedScenes(5, simulator="crowded_objects").generate_samples(2)
    np.testing.assert_array_equal(again.points, samples.points[: len(again)])
    other = SimulatedScenes(6, simulator="crowded_objects").generate_samples(2)
    assert len(other) != len(again) or not np.array_equal(other.points, again.points)


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_objects_stand_on_the_table_and_do_not_overlap(seed: int) -> None:
    config = ObjectSceneConfig(held=0.0, hand=0.0, upright=1.0)
    scene = make_object_scene(np.random.default_rng(seed), config, NAMES, make_household_object)
    assert 1 <= len(scene.objects) == len(scene.T_world_objects) <= 3
    flats = []
    for item, T in zip(scene.objects, scene.T_world_objects, strict=True):
        points = item.mesh.transformed(T).vertices
        assert points[:, 2].min() == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(T[:3, 1], [0, 0, 1], atol=1e-12)
        flats.append(points[:, :2])
    angles = np.linspace(0, np.pi, 180, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    for i, one in enumerate(flats):
        for other in flats[:i]:
            a, b = one @ directions, other @ directions
            gap = np.maximum(a.min(axis=0) - b.max(axis=0), b.min(axis=0) - a.max(axis=0))
            assert gap.max() > -2e-3, "footprints overlap"


def test_touching_neighbours_touch() -> None:
    config = ObjectSceneConfig(objects_max=3, neighbours_max=0, touching=1.0, held=0.0, hand=0.0, upright=1.0)
    gaps = []
    for seed in range(20):
        scene = make_object_scene(np.random.default_rng(seed), config, NAMES, make_household_object)
        flats = [
            item.mesh.transformed(T).vertices[:, :2]
            for item, T in zip(scene.objects, scene.T_world_objects, strict=True)
        ]
        angles = np.linspace(0, np.pi, 360, endpoint=False)
        directions = np.stack([np.cos(angles), np.sin(angles)])
        if len(flats) > 1:
            a, b = (flat @ directions for flat in flats[:2])
            gaps.append(np.maximum(a.min(axis=0) - b.max(axis=0), b.min(axis=0) - a.max(axis=0)).max())
    assert len(gaps) > 8 and np.median(np.abs(gaps)) < 4e-3 and np.max(np.abs(gaps)) < 0.012


@pytest.mark.parametrize("category", NAMES)
def test_grasping_hand_touches_the_object_and_stays_outside(category: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        item = make_household_object(category, rng)
        hand = make_grasping_hand(rng, item.mesh)
        low, high = hand.bounds
        assert np.isfinite(hand.vertices).all()
        assert 0.2 < np.linalg.norm(high - low) < 0.9
        assert (np.abs(hand.vertices) < item.size / 2 + 0.03).all(axis=1).any(), "near the object"
        # Fingers are capsules of 14 to 20 mm around the surface.
        inside = (np.abs(hand.vertices) < item.size / 2 - 0.02).all(axis=1)
        assert inside.mean() < 0.35


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_flat_hand_has_the_size_of_a_hand(seed: int) -> None:
    low, high = make_flat_hand(np.random.default_rng(seed)).bounds
    assert 0.06 < high[0] < 0.2 and 0.2 < -low[0] < 0.34
    assert high[2] - low[2] < 0.2


@given(end=st.tuples(*[st.floats(-0.3, 0.3)] * 3), radius=st.floats(0.002, 0.05))
@settings(max_examples=40, deadline=None)
def test_capsule_reaches_from_end_to_end(end: tuple[float, float, float], radius: float) -> None:
    start, tip = np.array([0.1, -0.2, 0.3]), np.array([0.1, -0.2, 0.3]) + np.array(end)
    if np.linalg.norm(end) < 1e-3:
        return
    vertices = make_capsule(start, tip, radius).vertices
    along = (vertices - start) @ (tip - start) / np.linalg.norm(end)
    assert along.min() == pytest.approx(-radius, abs=1e-9)
    assert along.max() == pytest.approx(np.linalg.norm(end) + radius, abs=1e-9)
    across = np.linalg.norm(vertices - start - along[:, None] * (tip - start) / np.linalg.norm(end), axis=1)
    assert across.max() == pytest.approx(radius, rel=1e-6)


def test_simulators_are_found_by_name() -> None:
    assert next(iter(SIMULATORS)) == "tables"
    with pytest.raises(
        ConfigError, match="one of tables, objects, crowded_objects, crowded_objects_d415.*, got 'moon'"
    ):
        find_simulator("moon")
    with pytest.raises(ConfigError, match="moon"):
        SimulatedScenes(1, simulator="moon")
    with pytest.raises(ConfigError, match="images"):
        SimulatedScenes(1, image_side=8, simulator="objects").generate_samples(1)


@pytest.mark.parametrize("name", ["xtion", "kinect_v2"])
def test_a_simulator_of_one_depth_camera_uses_no_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, measure = set(), DepthCamera.measure

    def record(camera: DepthCamera, *arguments: Any) -> FloatArray:
        seen.add((camera.name, camera.focal_px))
        return measure(camera, *arguments)

    monkeypatch.setattr(DepthCamera, "measure", record)
    assert len(SimulatedScenes(5, simulator=f"crowded_objects_{name}").generate_samples(2)) > 0
    assert {camera for camera, _ in seen} == {name}
    assert len(seen) > 1, "each view varies it"


def test_tables_are_those_of_generate_samples() -> None:
    made = SimulatedScenes(3, renderer="rays").generate_samples(1)
    np.testing.assert_array_equal(made.points, generate_samples(1, 3).points)


def test_generate_records_the_simulator(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, options = tmp_path / "shards", ["--scenes", "1", "--seed", "2", "--shards", str(tmp_path / "shards")]
    assert generate.main([*options, "--simulator", "objects"]) == 0
    record = json.loads((folder / "manifest.json").read_text())
    assert record["made_by"]["simulator"] == "objects"
    assert generate.main(options) == 1
    assert "holds shards made with simulator objects, got tables" in capsys.readouterr().err
    assert generate.main([*options, "--simulator", "objects", "--image-size", "8"]) == 1
    assert "only --simulator tables makes images" in capsys.readouterr().err


def test_folders_of_earlier_versions_are_tables(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shards"
    options = ["--scenes", "1", "--seed", "2", "--shards", str(folder)]
    assert generate.main(options) == 0
    record = json.loads((folder / "manifest.json").read_text())
    del record["made_by"]["simulator"]
    (folder / "manifest.json").write_text(json.dumps(record))
    assert generate.main([*options, "--simulator", "objects"]) == 1
    assert "made with simulator tables, got objects" in capsys.readouterr().err
    assert generate.main(options) == 0


def test_generate_records_the_renderer(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shards"
    options = ["--scenes", "1", "--seed", "2", "--shards", str(folder)]
    assert generate.main([*options, "--renderer", "rays"]) == 0
    record = json.loads((folder / "manifest.json").read_text())
    assert record["made_by"]["renderer"] == "rays"
    del record["made_by"]["renderer"]
    (folder / "manifest.json").write_text(json.dumps(record))
    assert generate.main(options) == 1
    assert "made with renderer rays, got raster" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        generate.main(["--test-set", "tables", "--out", str(tmp_path / "x.npz"), "--renderer", "raster"])
    assert "--renderer cannot be combined with --test-set" in capsys.readouterr().err


def test_renderers_are_found_by_name_and_images_need_rays() -> None:
    with pytest.raises(ConfigError, match="one of raster, rays, got 'moon'"):
        SimulatedScenes(1, renderer="moon")
    assert SimulatedScenes(1).as_record()["renderer"] == "raster"
    with_images = SimulatedScenes(1, image_side=8)
    assert with_images.as_record()["renderer"] == "rays"
    np.testing.assert_array_equal(
        with_images.generate_samples(1).points, SimulatedScenes(1, renderer="rays").generate_samples(1).points
    )


def test_scenes_do_not_depend_on_earlier_ones() -> None:
    source = SimulatedScenes(7, simulator="objects")
    alone = [cloud.points for cloud in source.generate_clouds(2)]
    for scene in (0, 1):
        list(source.generate_clouds(scene))
    again = [cloud.points for cloud in source.generate_clouds(2)]
    assert len(alone) == len(again) > 0
    for one, other in zip(alone, again, strict=True):
        np.testing.assert_array_equal(one, other)
