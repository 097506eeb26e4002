"""Shifts of the encoder's features by category."""

from __future__ import annotations

from dataclasses import replace

import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.train import overrule, recipe_path
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.widening import widen, widening_factor
from clipose_ros.resources import model_path
from clipose_ros.training.config import read_recipe

PLAIN = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))
SHIFTED = replace(PLAIN, category_shift=True)


def clouds(count: int) -> torch.Tensor:
    points = torch.randn(count, 128, 3, generator=torch.Generator().manual_seed(4))
    return 0.05 * points + torch.tensor([0.0, 0.1, 0.8])


def test_a_network_with_shifts_starts_as_the_one_without() -> None:
    torch.manual_seed(0)
    plain = CLIPoseNet(PLAIN, NOCS_CATEGORIES).eval()
    shifted = CLIPoseNet(SHIFTED, NOCS_CATEGORIES).eval()
    assert widening_factor(PLAIN, SHIFTED) == 1 and widening_factor(SHIFTED, PLAIN) is None
    widen(plain, shifted)
    category = torch.tensor([0, 5, 2])
    with torch.no_grad():
        one, other = plain(clouds(3), category), shifted(clouds(3), category)
    for name in ("axis_y", "axis_x", "translation", "size"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_network_of_twice_the_width_starts_with_the_same_outputs() -> None:
    torch.manual_seed(1)
    narrow = CLIPoseNet(SHIFTED, NOCS_CATEGORIES).eval()
    for shift in narrow.encoder.shifts:
        torch.nn.init.normal_(shift)
    wide = CLIPoseNet(replace(SHIFTED, widths=(16, 16, 16, 32, 32)), NOCS_CATEGORIES).eval()
    assert widening_factor(SHIFTED, wide.architecture) == 2
    widen(narrow, wide)
    category = torch.tensor([0, 5, 2])
    with torch.no_grad():
        one, other = narrow(clouds(3), category), wide(clouds(3), category)
    for name in ("axis_y", "axis_x", "translation", "size"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-5)


def test_training_starts_from_the_shipped_model_as_documented() -> None:
    shipped = load_checkpoint(model_path("clipose_small")).architecture
    recipe = overrule(read_recipe(recipe_path("clipose_small")), ["ray_aligned=true", "category_shift=true"])
    assert widening_factor(shipped, recipe.architecture) == 1


def test_each_category_has_its_own_shift_in_every_layer() -> None:
    torch.manual_seed(0)
    network = CLIPoseNet(SHIFTED, NOCS_CATEGORIES).eval()
    points, both = clouds(1).expand(2, -1, -1), torch.tensor([3, 4])
    before = network(points, both)
    # the heads of this architecture do not know the category: only size differs, by the mean sizes
    torch.testing.assert_close(before.axis_y[0], before.axis_y[1], rtol=0, atol=0)
    for shift in network.encoder.shifts:
        with torch.no_grad():
            shift[3] += 1.0
        after = network(points, both)
        assert not torch.allclose(after.encoding.points[0], before.encoding.points[0])
        torch.testing.assert_close(after.encoding.points[1], before.encoding.points[1], rtol=0, atol=0)
        with torch.no_grad():
            shift[3] -= 1.0


def test_shifts_are_trained() -> None:
    network = CLIPoseNet(SHIFTED, NOCS_CATEGORIES).train()
    output = network(clouds(2), torch.tensor([1, 1]))
    (output.translation.sum() + output.axis_y.sum()).backward()
    for number, shift in enumerate(network.encoder.shifts):
        assert shift.grad is not None and not shift.grad[[0, 2, 3, 4, 5]].any()
        # behind a batch normalisation, a shift that all clouds of a batch share has no effect
        assert shift.grad[1].any() or number in (1, 2, 3)
