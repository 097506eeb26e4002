"""Number of points of a step."""

from __future__ import annotations

import pytest

from clipose_ros.training.config import TrainConfig
from clipose_ros.training.optim.schedule import points_at


@pytest.mark.parametrize(
    ("early", "looked_at", "first", "last"),
    [(0, 0, 0, 0), (128, 0, 128, 0), (0, 512, 512, 512), (128, 512, 128, 512), (1024, 512, 512, 512)],
)
def test_points_at_step_follow_recipe(early: int, looked_at: int, first: int, last: int) -> None:
    config = TrainConfig(
        preset="clipose_tiny", points=looked_at, steps=10, initial_points=early, initial_points_fraction=0.3
    )
    assert [points_at(step, config) for step in range(10)] == [first] * 3 + [last] * 7
