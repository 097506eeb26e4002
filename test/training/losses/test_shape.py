"""Loss terms on points: enabled terms, values for true poses, and gradients."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_source import InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model.network import Architecture, CLIPoseNet, NetworkOutput
from clipose_ros.training.batches import stored_batch
from clipose_ros.training.losses.shape import ShapeLoss, predicted_rotation
from clipose_ros.training.losses.shape_weights import ShapeWeights
from clipose_ros.training.losses.total import weighted_sum

ALL = ShapeWeights(*[1.0] * 13, symmetry_widths=(8,), face_widths=(8,), coordinate_widths=(8,))


def perfect(output: NetworkOutput, R: torch.Tensor, t: torch.Tensor, size: torch.Tensor) -> NetworkOutput:
    return replace(output, axis_y=R[:, :, 1], axis_x=R[:, :, 0], translation=t, size=size)


def test_shape_terms_vanish_for_true_pose(tiny_architecture: Architecture, seen_samples: CloudSamples) -> None:
    network = CLIPoseNet(tiny_architecture, NOCS_CATEGORIES)
    axial = torch.tensor([c.symmetry.axial_y for c in NOCS_CATEGORIES])
    batch = stored_batch(*InMemorySource(seen_samples, 0).fetch(range(6)), axial)
    output = network(batch.points, batch.category)
    objective = ShapeLoss(ALL, network, NOCS_CATEGORIES)
    true_output = perfect(output, batch.truth.R, batch.truth.t, batch.truth.size)
    terms = objective(batch, true_output, objective.predict(batch, output))
    assert terms["point_matching"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["box_matching"].item() == pytest.approx(0.0, abs=1e-6)
    assert terms["symmetry"].item() > 0.0 and set(terms) == set(ALL.to_mapping()) - {
        "symmetry_widths",
        "face_widths",
        "coordinate_widths",
    }


def test_shape_loss_computes_enabled_terms_only(tiny_architecture: Architecture, seen_samples: CloudSamples) -> None:
    network = CLIPoseNet(tiny_architecture, NOCS_CATEGORIES)
    batch = stored_batch(*InMemorySource(seen_samples, 0).fetch(range(6)), torch.zeros(6, dtype=torch.bool))
    output = network(batch.points, batch.category)
    off = ShapeLoss(ShapeWeights(), network, NOCS_CATEGORIES)
    nothing = off.predict(batch, output)
    assert off(batch, output, nothing) == {} and not list(off.parameters()) and not off.state_dict()
    one = ShapeLoss(ShapeWeights(box_matching=2.0), network, NOCS_CATEGORIES)
    terms = one(batch, output, nothing)
    assert set(terms) == {"box_matching"}
    torch.testing.assert_close(weighted_sum(terms, one.weights), 2.0 * terms["box_matching"])


def test_shape_loss_has_no_gradient_to_undetermined_x_axis_and_confidences(
    tiny_architecture: Architecture, seen_samples: CloudSamples
) -> None:
    network = CLIPoseNet(tiny_architecture, NOCS_CATEGORIES)
    batch = stored_batch(*InMemorySource(seen_samples, 0).fetch(range(6)), torch.zeros(6, dtype=torch.bool))
    output = network(batch.points, batch.category)
    leaf_outputs = {n: getattr(output, n).detach().requires_grad_() for n in ("axis_x", "axis_y", "confidence_x")}
    determined = torch.tensor([True, False] * 3)
    R = predicted_rotation(replace(output, **leaf_outputs), determined)
    torch.testing.assert_close(R[1::2, :, 1], leaf_outputs["axis_y"][1::2])
    torch.testing.assert_close(R @ R.mT, torch.eye(3).expand(6, 3, 3), atol=1e-5, rtol=0)
    (R * torch.arange(9.0).reshape(3, 3)).sum().backward()
    x, y = leaf_outputs["axis_x"].grad, leaf_outputs["axis_y"].grad
    assert x is not None and y is not None and leaf_outputs["confidence_x"].grad is None
    assert not x[1::2].any() and x[::2].any() and y.any()
