"""Masks inside boxes equal the masks of the whole image, which ultralytics computes."""

from __future__ import annotations

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.segmentation.prototype_masks import InputFit, compute_mask

SHAPES = st.sampled_from([(480, 640), (640, 480), (720, 1280), (96, 96), (100, 333), (37, 501)])


def padded_shape(image: tuple[int, int], size: int = 416) -> tuple[int, int]:
    """Return the shape of a network's input: the image at a longer side of ``size``, padded to multiples of 32."""
    gain = size / max(image)
    return tuple(-(-round(side * gain) // 32) * 32 for side in image)


def make_interval(ends: tuple[float, float], length: int) -> tuple[int, int]:
    """Return first and exclusive last pixel of a part of an axis."""
    low, high = sorted(round(end * length) for end in ends)
    low = min(low, length - 1)
    return low, max(high, low + 1)


def smooth_prototypes(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return four smooth random prototype images at a quarter of the input's resolution."""
    noise = np.random.default_rng(seed).standard_normal((4, shape[0] // 4, shape[1] // 4)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(each, (0, 0), 3.0) for each in noise])


@pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)")
@settings(deadline=None, max_examples=40)
@given(SHAPES, st.integers(0, 1000), st.tuples(*[st.floats(0.0, 1.0)] * 4))
def test_mask_of_a_box_is_that_of_the_whole_image(shape, seed, ends):
    from ultralytics.utils import ops

    padded = padded_shape(shape)
    prototypes, weights = smooth_prototypes(padded, seed), np.random.default_rng(seed + 1).standard_normal(4)
    weights = weights.astype(np.float32)
    (x0, x1), (y0, y1) = (make_interval(ends[k : k + 2], shape[1 - k // 2]) for k in (0, 2))
    box = (x0, y0, x1, y1)
    found = compute_mask(prototypes, weights, box, 4.0, InputFit.of_shapes(shape, padded))
    logits = torch.from_numpy(np.tensordot(weights, prototypes, 1))[None, None]
    enlarged = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear")
    expected = ops.scale_masks(enlarged, shape)[0, 0].numpy()[box[1] : box[3], box[0] : box[2]]
    assert found.shape == expected.shape
    # ultralytics interpolates twice: borders move where the sum is almost zero.
    assert np.abs(expected[found != (expected > 0.0)]).max(initial=0.0) < 0.1 * logits.std()


@pytest.mark.skipif(find_spec("ultralytics") is None, reason="ultralytics is optional (AGPL-3.0)")
@given(SHAPES, st.integers(0, 1000))
def test_boxes_are_scaled_as_ultralytics_scales_them(shape, seed):
    from ultralytics.utils import ops

    padded = padded_shape(shape)
    fit = InputFit.of_shapes(shape, padded)
    corners = np.random.default_rng(seed).uniform(0.0, 1.0, (5, 2, 2))
    size = np.array([shape[1] * fit.scale[0], shape[0] * fit.scale[1]])
    boxes = (np.sort(corners, axis=1) * size + fit.offset).reshape(5, 4).astype(np.float32)
    expected = ops.scale_boxes(padded, torch.from_numpy(boxes.copy()), shape).numpy()
    np.testing.assert_allclose(fit.to_image(boxes), expected, atol=1e-3)


def test_mask_of_a_known_prototype_is_exact():
    prototype = np.full((1, 24, 24), -1.0, np.float32)
    prototype[:, :, 12:] = 1.0  # the right half of an input of 96 pixels
    fit = InputFit.of_shapes((96, 96), (96, 96))
    mask = compute_mask(prototype, np.ones(1, np.float32), (40, 0, 60, 96), 4.0, fit)
    assert (mask == (np.arange(40, 60) >= 48)).all()
    assert not compute_mask(prototype, np.ones(1, np.float32), (0, 0, 1, 1), 4.0, fit).any()
    assert compute_mask(prototype, np.ones(1, np.float32), (95, 95, 96, 96), 4.0, fit).all()
