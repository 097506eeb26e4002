"""Folders of rendered views: contents, continuation after interruptions, and error messages."""

import json
from pathlib import Path

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig
from clipose_ros.data.rgbd_folder import open_rgbd_folder
from clipose_ros.data.synthetic.samples import VIEWS_PER_SCENE, random_scene_config, simulate_scene
from clipose_ros.data.synthetic.scene_views import SceneView, StoredViews, ViewRecipe, store_views
from clipose_ros.data.synthetic.scenes import make_scene
from clipose_ros.errors import ConfigError, DataError
from clipose_ros.geometry.camera import project

RECIPE = ViewRecipe(seed=5, width=160, height=120)


def silent(_: str) -> None:
    """Discard a log line."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("views") / "new"
    store_views(folder, RECIPE, 2, workers=2, log=silent)
    return folder


def read_all(folder: Path, scenes: int) -> list[SceneView]:
    stored = StoredViews(folder, scenes)
    return [stored.read(name) for name in stored.names]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".png"}


def test_views_are_read_in_order_with_their_truths(folder: Path) -> None:
    views = read_all(folder, 2)
    assert [view.name for view in views] == [
        f"{scene:06d}_{view}" for scene in range(2) for view in range(VIEWS_PER_SCENE)
    ]
    for view in views:
        frame = view.frame
        assert frame.intrinsics == RECIPE.camera and frame.labels is not None
        expected = {1000 * NOCS_CATEGORIES[t.category].id + t.instance for t in view.truths}
        assert set(np.unique(frame.labels[frame.labels > 0]).tolist()) == expected
        assert frame.rgb.std() > 5.0
        for truth in view.truths:
            label = 1000 * NOCS_CATEGORIES[truth.category].id + truth.instance
            if truth.visible_fraction > 0.9:
                rows, columns = np.nonzero(frame.labels == label)
                middle = project(truth.T_camera_object[None, :3, 3], frame.intrinsics)[0]
                reach = np.ptp(columns), np.ptp(rows)
                assert (np.abs(middle - (columns.mean(), rows.mean())) < np.maximum(reach, 4)).all()
                depth = frame.depth[rows, columns]
                if np.isfinite(depth).sum() > 20:
                    assert abs(np.nanmedian(depth) - truth.T_camera_object[2, 3]) < truth.size.max()


def test_views_are_independent_of_workers_and_interruptions(folder: Path, tmp_path: Path) -> None:
    store_views(tmp_path, RECIPE, 1, log=silent)
    (tmp_path / f"000000_{VIEWS_PER_SCENE - 1}-truth.npz").unlink()  # as if killed before the scene's last file
    store_views(tmp_path, RECIPE, 2, log=silent)
    assert contents(tmp_path) == contents(folder)
    for here, there in zip(read_all(tmp_path, 2), read_all(folder, 2), strict=True):
        np.testing.assert_array_equal(here.frame.labels, there.frame.labels)
        assert len(here.truths) == len(there.truths)


def test_existing_views_are_not_rendered_again(folder: Path) -> None:
    lines: list[str] = []
    store_views(folder, RECIPE, 2, log=lines.append)
    assert lines == []


def test_views_and_clouds_of_a_seed_show_the_same_scene(folder: Path) -> None:
    def start() -> np.random.Generator:
        return np.random.default_rng([RECIPE.seed, 0])

    rng = start()
    scene = make_scene(rng, random_scene_config(rng, NOCS_CATEGORIES.names))
    in_scene = {(item.object.category, *np.float32(item.object.size)) for item in scene.objects}
    clouds = simulate_scene(start(), NOCS_CATEGORIES.names, CloudConfig())
    in_clouds = {(cloud.category, *cloud.size) for cloud in clouds}
    in_views = {(truth.category, *np.float32(truth.size)) for view in read_all(folder, 1) for truth in view.truths}
    assert in_clouds <= in_scene and in_views <= in_scene
    assert len(in_clouds & in_views) >= 2


def test_folder_of_views_is_an_rgbd_folder(folder: Path) -> None:
    frames = open_rgbd_folder(folder)
    assert len(frames) == 2 * VIEWS_PER_SCENE
    first = read_all(folder, 1)[0]
    np.testing.assert_array_equal(frames.read(0).depth, first.frame.depth)


def test_folder_of_other_views_or_files_raises(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'seed': 5.*'seed': 6.*same --seed"):
        store_views(folder, ViewRecipe(seed=6, width=160, height=120), 1, log=silent)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="new or empty folder"):
        store_views(tmp_path, RECIPE, 1, log=silent)
    for wrong in ("{", "7"):
        (tmp_path / "camera.json").write_text(wrong)
        with pytest.raises(DataError, match=r"camera\.json"):
            store_views(tmp_path, RECIPE, 1, log=silent)


@pytest.mark.parametrize("wrong", [{"scenes": 0}, {"scenes": 1, "workers": 0}])
def test_store_views_without_scenes_or_workers_raises(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be at least 1, got 0"):
        store_views(tmp_path, RECIPE, log=silent, **wrong)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    store_views(tmp_path, ViewRecipe(seed=5, width=64, height=48), 1, log=silent)
    with pytest.raises(DataError, match="000001_0"):
        read_all(tmp_path, 2)
    truth = tmp_path / "000000_1-truth.npz"
    whole = truth.read_bytes()
    for broken in (b"nothing", b"", whole[: len(whole) // 2]):
        truth.write_bytes(broken)
        with pytest.raises(DataError, match=r"000000_1-truth\.npz"):
            read_all(tmp_path, 1)
    assert json.loads((tmp_path / "camera.json").read_text())["made_by"]["seed"] == 5
