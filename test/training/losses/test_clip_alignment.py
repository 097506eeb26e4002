"""Values of the CLIP alignment loss, Eq. (3) to (5), against values computed by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from clipose_ros.model.encoder import Encoding, Level
from clipose_ros.model.network import NetworkOutput
from clipose_ros.training.batches import Batch
from clipose_ros.training.clip_features import ClipFeatures
from clipose_ros.training.losses.clip_alignment import ClipAlignmentLoss
from clipose_ros.training.losses.contrastive import ContrastiveWeights
from clipose_ros.training.losses.pose import PoseTruth
from clipose_ros.training.losses.total import weighted_sum

ALL = ContrastiveWeights(
    cloud_image=2.0, cloud_text=3.0, image_text=5.0, classification=7.0, temperature=1.0, classification_scale=1.0
)
X, Y = (1.0, 0.0), (0.0, 1.0)
MATCHED = math.log(1.0 + math.exp(-1.0))
"""Eq. (3) of two pairs with cosine 1 whose mismatches have cosine 0, at temperature 1."""
SWAPPED = math.log(1.0 + math.exp(1.0))
"""Eq. (3) of two pairs with cosine 0 whose mismatches have cosine 1."""


def make_loss(weights: ContrastiveWeights = ALL) -> ClipAlignmentLoss:
    """Create a loss whose projection is the identity of two channels."""
    loss = ClipAlignmentLoss(weights, channels=2, width=2)
    with torch.no_grad():
        loss.cloud.project.weight.copy_(torch.eye(2))
        loss.cloud.project.bias.zero_()
    return loss


def make_batch() -> Batch:
    two = torch.zeros(2, 3)
    truth = PoseTruth(torch.eye(3).expand(2, 3, 3), two, two, torch.ones(2, dtype=torch.bool))
    return Batch(torch.zeros(2, 128, 3), torch.tensor([0, 1]), truth, rows=torch.tensor([4, 9]))


def make_output(*clouds: tuple[float, float]) -> NetworkOutput:
    """Create an output whose last layer has two points for each cloud; their mean is the given feature."""
    mean = torch.tensor(clouds).unsqueeze(1)
    last = torch.cat([mean + 0.5, mean - 0.5], dim=1)
    vector, scalar = torch.zeros(2, 3), torch.zeros(2)
    return NetworkOutput(vector, vector, scalar, scalar, vector, vector, Encoding((Level(last, None),)))


def make_features(
    image: tuple[tuple[float, float], ...] | None = (Y, X),
    keys: tuple[int, int] = (0, 1),
    image_keys: tuple[int, int] = (4, 9),
) -> ClipFeatures:
    rows = None if image is None else torch.tensor(image)
    return ClipFeatures(rows, torch.tensor(image_keys), torch.tensor([X, Y]), torch.tensor(keys), torch.tensor([X, Y]))


def compute(weights: ContrastiveWeights, features: ClipFeatures) -> dict[str, Tensor]:
    return make_loss(weights)(make_batch(), make_output(X, Y), features)


def test_terms_equal_values_computed_by_hand() -> None:
    terms = {name: term.item() for name, term in compute(ALL, make_features()).items()}
    assert terms == pytest.approx(
        {"cloud_text": MATCHED, "cloud_image": SWAPPED, "image_text": SWAPPED, "classification": SWAPPED}
    )


def test_weighted_sum_of_terms_equals_eq_4_by_hand() -> None:
    total = weighted_sum(compute(replace(ALL, classification=0.0), make_features()), ALL)
    assert total.item() == pytest.approx(2.0 * SWAPPED + 3.0 * MATCHED + 5.0 * SWAPPED)


def test_temperature_divides_cosines() -> None:
    terms = compute(replace(ALL, temperature=0.5), make_features())
    assert terms["cloud_text"].item() == pytest.approx(math.log(1.0 + math.exp(-2.0)))
    assert terms["cloud_image"].item() == pytest.approx(math.log(1.0 + math.exp(2.0)))


def test_cloud_feature_is_mean_over_points_scaled_to_unit_length() -> None:
    terms = make_loss()(make_batch(), make_output((3.0, 0.0), (0.0, 0.2)), make_features())
    assert terms["cloud_text"].item() == pytest.approx(MATCHED)


def test_equal_texts_are_positives_of_each_other() -> None:
    terms = compute(ALL, make_features(keys=(5, 5)))
    assert terms["cloud_text"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["image_text"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["cloud_image"].item() == pytest.approx(SWAPPED)  # images of the same text still differ


def test_images_of_equal_keys_are_positives_of_each_other() -> None:
    terms = compute(ALL, make_features(image_keys=(3, 3)))
    assert terms["cloud_image"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["image_text"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["cloud_text"].item() == pytest.approx(MATCHED)  # texts of the same images still differ


def test_image_negatives_count_against_the_clouds_alone() -> None:
    features = replace(make_features(image=(X, Y)), image_negatives=torch.tensor([X]))
    one_more, by_columns = math.log(2.0 + math.exp(-1.0)), MATCHED
    other = math.log(1.0 + 2.0 * math.exp(-1.0))  # the second cloud has cosine 0 with the negative
    expected = 0.5 * (0.5 * (one_more + other) + by_columns)
    assert compute(ALL, features)["cloud_image"].item() == pytest.approx(expected)


def test_terms_without_weight_or_image_are_left_out() -> None:
    assert compute(ALL, make_features(image=None)).keys() == {"cloud_text"}
    assert compute(ContrastiveWeights(), make_features()) == {}
    assert compute(ContrastiveWeights(image_text=1.0), make_features()).keys() == {"image_text"}


def test_gradient_reaches_the_cloud_projection() -> None:
    loss = make_loss().double()
    features = ClipFeatures(
        torch.tensor([Y, X]).double(),
        torch.tensor([4, 9]),
        torch.tensor([X, Y]).double(),
        torch.tensor([0, 1]),
        torch.eye(2).double(),
    )
    output = replace(make_output(X, Y), encoding=Encoding((Level(torch.rand(2, 5, 2).double(), None),)))

    def total(weight: Tensor) -> Tensor:
        terms = torch.func.functional_call(loss, {"cloud.project.weight": weight}, (make_batch(), output, features))
        return weighted_sum(terms, ALL)

    assert torch.autograd.gradcheck(total, (loss.cloud.project.weight,))
