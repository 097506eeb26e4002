"""Random table scenes: placement, orientations, categories and repeatability."""

import numpy as np
import pytest
import trimesh

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.synthetic.assets.distractors import make_distractor
from clipose_ros.data.synthetic.scenes import SceneConfig, make_scene, random_rotation
from clipose_ros.errors import ConfigError

SEEDS = range(8)


def world_vertices(item):
    return item.object.mesh.transformed(item.T_world_object).vertices


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_stand_on_the_table_without_stacking(seed):
    scene = make_scene(np.random.default_rng(seed), SceneConfig(stacked=0.0))
    assert scene.objects
    for item in scene.objects:
        assert world_vertices(item)[:, 2].min() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_do_not_overlap(seed):
    """A vertical plane separates any two objects; the test uses more directions than the placement."""
    scene = make_scene(np.random.default_rng(seed), SceneConfig(stacked=0.0, objects_max=12))
    angles = np.linspace(0, np.pi, 180, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    spans = [
        (w.min(axis=0), w.max(axis=0)) for w in (world_vertices(item)[:, :2] @ directions for item in scene.objects)
    ]
    for i, (low, high) in enumerate(spans):
        for other_low, other_high in spans[:i]:
            assert ((low > other_high) | (other_low > high)).any()


def test_upright_objects_have_y_up():
    scene = make_scene(np.random.default_rng(0), SceneConfig(lying=0.0, tilted=0.0))
    for item in scene.objects:
        R = item.T_world_object[:3, :3]
        np.testing.assert_allclose(R[:, 1], [0, 0, 1], atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1.0)
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)


def test_tilted_objects_have_the_configured_share():
    ups = np.array(
        [
            item.T_world_object[2, 1]
            for seed in range(25)
            for item in make_scene(np.random.default_rng([1, seed]), SceneConfig(lying=0.0, tilted=0.5)).objects
        ]
    )
    assert 0.35 < (ups < 0.999).mean() < 0.65


def test_config_without_categories_raises():
    with pytest.raises(ConfigError, match="'categories' must name at least one"):
        SceneConfig(categories=())


def test_categories_are_drawn_equally_often():
    scenes = [
        make_scene(np.random.default_rng([2, seed]), SceneConfig(categories=("mug", "can"))) for seed in range(15)
    ]
    names = [item.object.category for scene in scenes for item in scene.objects]
    assert set(names) == {"mug", "can"}
    assert 0.35 < names.count("mug") / len(names) < 0.65
    everything = [i.object.category for s in range(20) for i in make_scene(np.random.default_rng([3, s])).objects]
    assert set(everything) == set(NOCS_CATEGORIES.names)


def test_instances_are_numbered_from_one_without_gaps():
    for seed in SEEDS:
        scene = make_scene(np.random.default_rng(seed))
        assert [item.instance for item in scene.objects] == list(range(1, len(scene.objects) + 1))


def test_equal_seeds_give_equal_scenes():
    first, again, other = (make_scene(np.random.default_rng(seed)) for seed in (5, 5, 6))
    for a, b in zip(first.objects, again.objects, strict=True):
        np.testing.assert_array_equal(a.T_world_object, b.T_world_object)
        np.testing.assert_array_equal(a.object.mesh.vertices, b.object.mesh.vertices)
    assert len(first.props) == len(again.props)
    assert not np.array_equal(first.light.position, other.light.position)


def test_stacked_objects_stand_on_a_prop():
    found = 0
    for seed in range(40):
        scene = make_scene(np.random.default_rng([4, seed]), SceneConfig(stacked=1.0, distractors_max=8))
        tops = {round(float(p.mesh.transformed(p.T_world_prop).vertices[:, 2].max()), 6) for p in scene.props}
        for item in scene.objects:
            low = float(world_vertices(item)[:, 2].min())
            if low > 1e-6:
                found += 1
                assert round(low, 6) in tops
    assert found > 10


def test_distractors_are_closed_and_centred():
    for seed in range(40):
        mesh = make_distractor(np.random.default_rng(seed)).mesh
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        assert solid.is_watertight and solid.is_winding_consistent
        np.testing.assert_allclose(mesh.bounds[0], -mesh.bounds[1], atol=1e-9)
        assert 0.01 < np.ptp(mesh.vertices, axis=0).max() < 0.5


def test_random_rotations_are_uniformly_distributed():
    R = np.stack([random_rotation(np.random.default_rng(seed)) for seed in range(400)])
    np.testing.assert_allclose(np.linalg.det(R), 1.0)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    assert np.abs(R.mean(axis=0)).max() < 0.12
