"""Contrastive losses, Eq. (3) to (5): values computed by hand, gradients, and equal texts."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clipose_ros.errors import ShapeError
from clipose_ros.training.losses.contrastive import (
    ContrastiveWeights,
    classification_loss,
    equal_pairs,
    noise_contrastive,
)
from clipose_ros.training.losses.total import weighted_sum

X = torch.tensor([1.0, 0.0], dtype=torch.float64)
Y = torch.tensor([0.0, 1.0], dtype=torch.float64)


def unit(count: int, seed: int = 0, width: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, dtype=torch.float64, generator=generator), dim=1)


def test_loss_of_matched_pairs_equals_value_computed_by_hand() -> None:
    both = torch.stack([X, Y])
    # Each row and column: log(e^2 / (e^2 + e^0)) with temperature 0.5.
    expected = math.log(1.0 + math.exp(-2.0))
    assert noise_contrastive(both, both, 0.5).item() == pytest.approx(expected)


def test_loss_averages_rows_and_columns() -> None:
    first, second = torch.stack([X, X]), torch.stack([X, Y])
    # Similarity [[1, 0], [1, 0]]: rows log(1 + 1/e) and log(1 + e), columns log 2 each.
    rows = (math.log(1.0 + math.exp(-1.0)) + math.log(1.0 + math.e)) / 2
    assert noise_contrastive(first, second, 1.0).item() == pytest.approx((rows + math.log(2.0)) / 2)


def test_loss_is_symmetric_in_modalities() -> None:
    a, b = unit(5, 1), unit(5, 2)
    assert noise_contrastive(a, b, 0.07).item() == pytest.approx(noise_contrastive(b, a, 0.07).item())


@given(order=st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_loss_is_invariant_to_batch_order(order: list[int]) -> None:
    a, b, keys = unit(5, 1), unit(5, 2), torch.tensor([0, 1, 0, 2, 2])
    expected = noise_contrastive(a, b, 0.2, equal_pairs(keys))
    assert noise_contrastive(a[order], b[order], 0.2, equal_pairs(keys[order])).item() == pytest.approx(expected.item())


def test_loss_with_distinct_keys_is_eq_3() -> None:
    a, b = unit(4, 1), unit(4, 2)
    assert noise_contrastive(a, b, 0.1, equal_pairs(torch.arange(4))) == noise_contrastive(a, b, 0.1)


def test_loss_is_zero_if_all_texts_are_equal() -> None:
    clouds = unit(3).requires_grad_()
    loss = noise_contrastive(clouds, X.new_ones(3, 4) / 2, 0.07, equal_pairs(torch.zeros(3)))
    loss.backward()
    assert loss.item() == pytest.approx(0.0) and clouds.grad is not None and clouds.grad.abs().max() < 1e-12


def test_object_nearest_to_shared_text_is_not_penalised() -> None:
    texts = torch.stack([X, X, Y])
    clouds = torch.stack([X, F.normalize(X + Y, dim=0), Y])

    def pull(positives: torch.Tensor | None) -> torch.Tensor:
        moved = clouds.clone().requires_grad_()
        noise_contrastive(moved, texts, 0.1, positives).backward()
        assert moved.grad is not None
        return moved.grad[:2] @ X

    assert pull(None)[0] > 0.0  # each text wants its own cloud alone: descending moves the nearest away
    assert (pull(equal_pairs(torch.tensor([0, 0, 1]))) < 0.0).all()


def test_positives_of_wrong_shape_are_rejected() -> None:
    with pytest.raises(ShapeError, match="every row"):
        noise_contrastive(unit(3), unit(3), 0.1, torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"\(3, 3\)"):
        noise_contrastive(unit(3), unit(3), 0.1, torch.eye(2, dtype=torch.bool))


def test_weighted_sum_is_eq_4() -> None:
    weights = ContrastiveWeights(cloud_image=1.0, cloud_text=2.0, image_text=0.5)
    terms = {"cloud_image": torch.tensor(3.0), "cloud_text": torch.tensor(5.0), "image_text": torch.tensor(7.0)}
    assert weighted_sum(terms, weights).item() == 3.0 + 10.0 + 3.5


def test_classification_loss_equals_eq_5_by_hand() -> None:
    image, texts = X.unsqueeze(0), torch.stack([X, Y])
    for scale in (1.0, 100.0):
        right = classification_loss(image, texts, torch.tensor([0]), scale).item()
        wrong = classification_loss(image, texts, torch.tensor([1]), scale).item()
        assert right == pytest.approx(math.log(1.0 + math.exp(-scale)))
        assert wrong == pytest.approx(scale + math.log(1.0 + math.exp(-scale)))


def test_gradients_equal_finite_differences() -> None:
    a, b = unit(4, 1).requires_grad_(), unit(4, 2).requires_grad_()
    shared = equal_pairs(torch.tensor([0, 1, 1, 2]))
    category = torch.tensor([0, 2, 1, 1])
    assert torch.autograd.gradcheck(lambda x, y: noise_contrastive(x, y, 0.2), (a, b))
    assert torch.autograd.gradcheck(lambda x, y: noise_contrastive(x, y, 0.2, shared), (a, b))
    assert torch.autograd.gradcheck(lambda x, y: classification_loss(x, y, category, 10.0), (a, b))
