"""Domain randomization of rendered images: variety, and equal images for equal generators."""

import numpy as np
import pytest

from clipose_ros.data.synthetic.assets.collage import draw_collage
from clipose_ros.segmenter_training.domain_randomization import randomize_domain


@pytest.fixture(scope="module")
def picture() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:64, :80]
    labels = np.where(np.hypot(columns - 40, rows - 32) < 15, 1001, 0).astype(np.uint16)
    rgb = np.where(labels[..., None] > 0, [200, 40, 40], [60, 90, 60]).astype(np.uint8)
    return rgb, labels


@pytest.mark.parametrize("seed", range(30))
def test_equal_generators_give_equal_images(picture: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    first, second = (randomize_domain(*picture, np.random.default_rng(seed)) for _ in range(2))
    assert first.dtype == np.uint8 and first.shape == picture[0].shape
    np.testing.assert_array_equal(first, second)


def test_randomized_images_differ_in_light_and_background(picture: tuple[np.ndarray, np.ndarray]) -> None:
    photos = [randomize_domain(*picture, np.random.default_rng(seed)).astype(float) for seed in range(40)]
    corners = np.array([photo[:8, :8].mean() for photo in photos])
    assert corners.std() > 8.0
    assert 0.5 < np.mean([photo.mean() / picture[0].mean() for photo in photos]) < 2.0


def test_randomize_domain_does_not_change_arguments(picture: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, labels = (array.copy() for array in picture)
    randomize_domain(rgb, labels, np.random.default_rng(3))
    np.testing.assert_array_equal(rgb, picture[0])
    np.testing.assert_array_equal(labels, picture[1])


@pytest.mark.parametrize("seed", range(5))
def test_collages_fill_canvas_with_colours(seed: int) -> None:
    patches = draw_collage((48, 64), np.random.default_rng(seed))
    assert patches.shape == (48, 64, 3)
    assert patches.min() >= 0.0 and patches.max() <= 1.0
    assert patches.std(axis=(0, 1)).max() > 0.02
