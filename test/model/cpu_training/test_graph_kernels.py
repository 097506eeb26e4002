"""Kernels over neighbourhoods against values computed by hand, and their independence of the number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np
import pytest

from clipose_ros.model.cpu_training.graph_kernels import (
    ResponseInputs,
    max_backward,
    max_forward,
    response_backward,
    response_forward,
    select_nearest,
)

NEIGHBOURS = np.array([[[1, 2], [0, 2], [0, 1]]])
"""Both other points of each of three points."""


def response_inputs() -> ResponseInputs:
    """Create one cloud of three points with one kernel of one support, the x axis, and one feature a point."""
    directions = np.array(
        [[[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], [[-1.0, 0.0, 0.0], [0.6, 0.8, 0.0]], [[0.6, 0.8, 0.0], [0.8, 0.6, 0.0]]]]
    )
    supports = np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    return ResponseInputs(directions, supports, np.array([2.0, 3.0, -4.0]), 1, NEIGHBOURS)


@pytest.fixture
def all_threads() -> Iterator[int]:
    """Yield the number of threads of numba, and restore it."""
    count = numba.get_num_threads()
    yield count
    numba.set_num_threads(count)


def test_nearest_points_on_a_line_are_selected_in_order() -> None:
    line = np.array([[0.0, 1.0, 3.0, 7.0]])
    found = np.empty((1, 4, 2), np.int64)
    select_nearest(line[:, :, None] * line[:, None], line**2, 2, found)
    assert found[0].tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_response_is_largest_product_of_positive_cosine_and_feature() -> None:
    out, winner = np.empty((1, 3, 1)), np.empty((1, 3, 1), np.uint8)
    response_forward(response_inputs(), out, winner)
    # 1.0 * 3 beats 0.5 * -4; a cosine below 0 counts as 0 and beats 0.6 * -4; 0.8 * 3 beats 0.6 * 2
    np.testing.assert_allclose(out.ravel(), [3.0, 0.0, 2.4])
    assert winner.ravel().tolist() == [0, 0, 1]


def test_response_gradient_goes_through_winners_with_positive_cosine() -> None:
    inputs = response_inputs()
    winner, grad = np.array([0, 0, 1], np.uint8).reshape(1, 3, 1), np.array([1.0, 1.0, 10.0]).reshape(1, 3, 1)
    grad_supports, grad_features = np.empty((1, 3, 1)), np.zeros(3)
    response_backward(inputs, winner, grad, grad_supports, grad_features)
    np.testing.assert_allclose(grad_features, [0.0, 1.0 * 1.0 + 10.0 * 0.8, 0.0])
    np.testing.assert_allclose(grad_supports.ravel(), [3.0 + 10.0 * 3.0 * 0.8, 10.0 * 3.0 * 0.6, 0.0])


def test_surface_response_averages_largest_cosines_over_supports() -> None:
    directions = response_inputs().directions
    supports = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).reshape(3, 2, 1)
    out, winner = np.empty((1, 3, 1)), np.empty((1, 3, 2), np.uint8)
    response_forward(ResponseInputs(directions, supports, np.empty(0), 0, NEIGHBOURS), out, winner)
    np.testing.assert_allclose(out.ravel(), [(1.0 + 0.5) / 2, (0.6 + 0.8) / 2, (0.8 + 0.8) / 2])


def test_maximum_and_its_gradient_by_hand() -> None:
    values, grad = np.array([5.0, 7.0, 6.0]).reshape(1, 3, 1), np.array([1.0, 2.0, 4.0]).reshape(1, 3, 1)
    out, winner, grad_values = np.empty((1, 3, 1)), np.empty((1, 3, 1), np.uint8), np.zeros((1, 3, 1))
    max_forward(values, NEIGHBOURS, out, winner)
    assert out.ravel().tolist() == [7.0, 6.0, 7.0] and winner.ravel().tolist() == [0, 1, 1]
    max_backward(grad, NEIGHBOURS, winner, grad_values)
    assert grad_values.ravel().tolist() == [0.0, 1.0 + 4.0, 2.0]


def test_results_are_equal_for_any_number_of_threads(all_threads: int) -> None:
    rng = np.random.default_rng(0)
    batch, points, near, supports, channels = 2, 40, 6, 2, 70  # more channels than a thread computes at a time
    neighbours = rng.integers(0, points, (batch, points, near))
    directions = rng.normal(size=(batch, points, near, 3)).astype(np.float32)
    weights = rng.normal(size=(3, supports, channels)).astype(np.float32)
    features = rng.normal(size=batch * points * supports * channels).astype(np.float32)
    inputs = ResponseInputs(directions, weights, features, supports * channels, neighbours)
    grad = rng.normal(size=(batch, points, channels)).astype(np.float32)
    results = []
    for threads in (1, all_threads):
        numba.set_num_threads(threads)
        out, winner = np.empty_like(grad), np.empty((batch, points, supports * channels), np.uint8)
        response_forward(inputs, out, winner)
        grad_supports = np.empty((batch, 3, supports * channels), np.float32)
        grad_features = np.zeros_like(features)
        response_backward(inputs, winner, grad, grad_supports, grad_features)
        results.append((out, winner, grad_supports, grad_features))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
