"""Realistic images: determinism, labels and parts."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from clipose_ros.errors import ConfigError
from clipose_ros.segmenter_training.dataset import IMAGES_PER_SCENE, write_images
from clipose_ros.segmenter_training.realistic_set import RealisticSetConfig

SMALL = RealisticSetConfig(seed=1, width=96, height=64, near_m=0.4, far_m=1.0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of red mugs in front of a plain ground."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(12):
        image = np.full((60, 60, 3), rng.integers(100, 255), np.uint8)
        mask = np.zeros((60, 60), np.uint8)
        image[15:45, 20:40], mask[15:45, 20:40] = (20, 20, 220), 255
        cv2.imwrite(str(folder / f"images/cup_{number}.jpg"), image)
        cv2.imwrite(str(folder / f"masks/cup_{number}.png"), mask)
    return folder


@pytest.mark.parametrize("tables", [0.0, 1.0])
def test_equal_seeds_give_equal_images(photos: Path, tables: float) -> None:
    config = replace(SMALL, photos=photos, tables=tables)
    first, second = list(config.render_scene(3)), list(config.render_scene(3))
    assert len(first) == IMAGES_PER_SCENE
    for (rgb, labels), (again, labels_again) in zip(first, second, strict=True):
        assert rgb.shape == (64, 96, 3) and rgb.dtype == np.uint8
        assert (rgb == again).all() and (labels == labels_again).all()
    assert any((labels > 0).any() for _, labels in first)


def test_parts_differ() -> None:
    train, val = (next(iter(replace(SMALL, part=part).render_scene(0)))[0] for part in ("train", "val"))
    assert np.abs(train.astype(float) - val).mean() > 3.0


def test_photographed_object_lies_under_its_label(photos: Path) -> None:
    config = replace(SMALL, photos=photos, tables=0.0)
    red = []
    for scene in range(4):
        for rgb, labels in config.render_scene(scene):
            mug = labels // 1000 == 6
            if mug.sum() > 100:
                red.append((rgb[mug].astype(float).mean(axis=0) * (1, -0.5, -0.5)).sum())
    assert len(red) > 3 and np.median(red) > 40


def test_images_are_written_with_their_settings(tmp_path: Path) -> None:
    assert write_images(tmp_path, SMALL, 1, log=lambda _: None) == IMAGES_PER_SCENE
    with pytest.raises(ConfigError, match="begun with other settings"):
        write_images(tmp_path, replace(SMALL, tables=0.1), 1, log=lambda _: None)


def test_folder_without_panoramas_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no panorama"):
        replace(SMALL, panoramas=tmp_path)


def test_share_of_tables_is_bounded() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        replace(SMALL, tables=1.5)
