"""Square image crops around objects: position, size and border."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.image_crop import crop_object_image
from clipose_ros.errors import DegenerateInputError


@given(x=st.integers(0, 30), y=st.integers(0, 20), w=st.integers(4, 30), h=st.integers(4, 20))
@settings(max_examples=50, deadline=None)
def test_crop_contains_the_whole_object_at_its_centre(x: int, y: int, w: int, h: int) -> None:
    rgb, mask = np.zeros((41, 61, 3), np.uint8), np.zeros((41, 61), bool)
    mask[y : y + h, x : x + w] = True
    rgb[mask] = 200
    rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1] = 0, 0, 0, 0  # repeated edges are dark
    image = crop_object_image(rgb, mask, 64)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    inside = np.argwhere(image[..., 0] > 100)
    centre, extent = (inside.min(0) + inside.max(0)) / 2, np.ptp(inside, axis=0) + 1
    pixel = 64 / (1.2 * max(w, h))
    np.testing.assert_allclose(centre, 31.5, atol=1.6 * pixel + 1)
    np.testing.assert_allclose(extent, np.array([h, w]) * pixel, atol=2.6 * pixel + 2)


def test_crop_of_an_empty_mask_raises() -> None:
    with pytest.raises(DegenerateInputError, match="empty mask"):
        crop_object_image(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool), 8)
