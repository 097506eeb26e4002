"""Image-based light: normalization, rotation, blur and files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from clipose_ros.errors import DataError
from clipose_ros.segmenter_training.environment import Environment, random_environment, read_environment
from clipose_ros.types import FloatArray


def unit_vectors(seed: int, count: int = 50) -> FloatArray:
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def test_uniform_light_is_one_in_all_directions() -> None:
    uniform = Environment(np.full((64, 128, 3), 7.0, np.float32))
    for roughness in (0.0, 0.5, 1.0):
        assert_allclose(uniform.radiance(unit_vectors(0), roughness), 1.0, rtol=1e-2)
    assert_allclose(uniform.irradiance(unit_vectors(1)), 1.0, rtol=1e-2)


@given(seed=st.integers(0, 1000), yaw=st.floats(-3.0, 3.0))
@settings(max_examples=10, deadline=None)
def test_yaw_turns_the_light(seed: int, yaw: float) -> None:
    rng = np.random.default_rng(seed)
    panorama = cv2.GaussianBlur(rng.uniform(0, 1, (64, 128, 3)).astype(np.float32), (0, 0), 2.0)
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    straight, turned = Environment(panorama), Environment(panorama, yaw)
    directions = unit_vectors(seed)
    assert_allclose(turned.irradiance(directions @ turn.T), straight.irradiance(directions), atol=1e-4)
    assert_allclose(turned.radiance(directions @ turn.T), straight.radiance(directions), atol=5e-3)


def test_white_table_has_radiance_one() -> None:
    for seed in range(5):
        room = random_environment(np.random.default_rng(seed))
        assert np.isclose(room.irradiance(np.array([[0.0, 0.0, 1.0]])).mean(), 1.0, rtol=1e-3)


def test_lamp_is_where_light_directions_point() -> None:
    panorama = np.full((64, 128, 3), 0.01, np.float32)
    panorama[10:14, 30:34] = 500.0  # elevation 12/64 of pi from above, azimuth 32/128 of a turn
    lamp = np.array([0.0, np.sin(np.pi * 12 / 64), np.cos(np.pi * 12 / 64)])
    environment = Environment(panorama)
    drawn = environment.draw_light_directions(np.random.default_rng(0), 200)
    assert np.median(drawn @ lamp) > 0.97
    bright = environment.radiance(lamp[None])
    assert bright.min() > 20 * environment.radiance(-lamp[None]).max()
    assert environment.radiance(lamp[None], 1.0).max() < bright.min()


def test_file_that_is_no_panorama_is_rejected(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "square.hdr"), np.ones((8, 8, 3), np.float32))
    with pytest.raises(DataError, match="twice as wide as high"):
        read_environment(tmp_path / "square.hdr")


def test_panorama_file_has_its_colours(tmp_path: Path) -> None:
    bgr = np.zeros((32, 64, 3), np.float32)
    bgr[..., 2] = 2.0
    cv2.imwrite(str(tmp_path / "red.hdr"), bgr)
    red, green, blue = read_environment(tmp_path / "red.hdr").radiance(np.array([[1.0, 0.0, 0.0]]))[0]
    assert red > 1.0 and green == blue == 0.0
