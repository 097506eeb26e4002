"""Prints: where the pixels of an image lie on a surface, and which points are covered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.data.synthetic.assets.object_prints import (
    draw_camera_back,
    draw_can_end,
    draw_decal,
    draw_name_plate,
    draw_pottery,
    draw_ribs,
    draw_screen,
)
from clipose_ros.data.synthetic.assets.prints import FlatPrint, SidePrint, WrappedPrint
from clipose_ros.types import FloatArray


def ramp(rows: int = 50, columns: int = 100) -> FloatArray:
    """Return an image whose red rises to the right and whose blue rises downwards, in shares of its sides."""
    image = np.zeros((rows, columns, 3), np.float32)
    image[..., 0] = (np.arange(columns) + 0.5) / columns
    image[..., 2] = ((np.arange(rows) + 0.5) / rows)[:, None]
    return image


@pytest.mark.parametrize("axis", [0, 1])
@given(share=st.floats(0.02, 0.98), level=st.floats(0.02, 0.98), turns=st.floats(0.2, 1.0), start=st.floats(0.0, 1.0))
def test_wrapped_print_runs_to_the_right_around_its_axis(
    axis: int, share: float, level: float, turns: float, start: float
) -> None:
    centre = np.array([0.01, -0.02, 0.03])
    image = WrappedPrint(ramp(), -0.1, 0.1, turns, start, axis, centre)
    # A right-handed turn about an axis that points upwards runs to the right, seen from outside.
    angle = 2 * np.pi * (0.25 + start + share * turns)
    outwards = np.cos(angle) * np.eye(3)[(axis + 1) % 3] + np.sin(angle) * np.eye(3)[(axis + 2) % 3]
    along = 0.1 - 0.2 * level
    point = np.where(np.arange(3) == axis, along, centre + 0.04 * outwards)
    normal = np.where(np.arange(3) == axis, 0.0, outwards)
    colour, opacity = image.sample(point[None], normal[None])
    assert opacity[0] == 1.0
    assert abs(colour[0, 0] - share) < 0.02 and abs(colour[0, 2] - level) < 0.03


def test_wrapped_print_leaves_ends_and_the_rest_of_the_circumference() -> None:
    image = WrappedPrint(ramp(), -0.1, 0.1, turns=0.5)
    angle = 2 * np.pi * np.arange(360) / 360
    ring = np.stack([0.04 * np.cos(angle), np.zeros(360), 0.04 * np.sin(angle)], axis=1)
    _, opacity = image.sample(ring, ring / 0.04)
    assert 175 <= np.count_nonzero(opacity) <= 185
    _, on_top = image.sample(ring, np.tile([0.0, 1.0, 0.0], (360, 1)))
    assert not on_top.any()


@given(u=st.floats(-0.45, 0.45), v=st.floats(-0.45, 0.45))
def test_flat_print_shows_its_image_to_whom_it_faces(u: float, v: float) -> None:
    # On the wall x = 0.1, seen from +x: z points to the left, y upwards.
    image = FlatPrint(ramp(), np.array([0.1, 0.0, 0.0]), np.array([0, 0, -1.0]), np.array([0, -1.0, 0]), 0.2, 0.1)
    point = np.array([[0.1, -0.1 * v, -0.2 * u]])
    colour, opacity = image.sample(point, np.array([[1.0, 0.0, 0.0]]))
    assert opacity[0] == 1.0
    assert abs(colour[0, 0] - (u + 0.5)) < 0.02 and abs(colour[0, 2] - (v + 0.5)) < 0.03
    for behind in ([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]):
        assert image.sample(point, np.array([behind]))[1][0] == 0.0


def test_side_print_covers_every_side() -> None:
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    colour, opacity = SidePrint(ramp(), 0.1).sample(0.05 * normals, normals)
    assert (opacity == 1.0).all() and colour.shape == (6, 3)


@pytest.mark.parametrize("seed", range(8))
def test_pictures_are_albedo_with_opacity(seed: int) -> None:
    def rng() -> np.random.Generator:
        return np.random.default_rng([74, seed])

    draws = (draw_decal, draw_name_plate, draw_camera_back, draw_pottery)
    images = [draw(rng()) for draw in draws] + [draw_can_end(rng(), bool(seed % 2)), draw_ribs(12, 0.5)]
    for image in images:
        assert image.dtype == np.float32 and image.shape[2] == 4
        assert image.min() >= 0.0 and image.max() <= 1.0
        assert image[..., 3].max() > 0.3, "something is drawn"
    screen = draw_screen(rng())
    assert screen.shape[2] == 3 and screen.std() > 0.01
    np.testing.assert_array_equal(screen, draw_screen(rng()))
