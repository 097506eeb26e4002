"""Every engine of the CPU reproduces ``pytorch`` within a stated deviation, at the shipped and at the paper's widths.

Reduced precision rounds features, and rounding may make another point a neighbour; a turned axis of a few degrees is
then as accurate as before. The accuracy that decides is measured by ``evaluate``, see the table of the engines.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cpu_networks import usable_engines

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.network import PRESETS, CLIPoseNet
from clipose_ros.resources import model_path
from clipose_ros.types import FloatArray

MAX_ANGLE_DEG = {"cpu": 1.0, "cpu_bf16": 4.0, "cpu_int8": 4.0}
"""Largest angle between the y axis and that of ``pytorch``."""

MAX_DISTANCE_M = {"cpu": 0.001, "cpu_bf16": 0.004, "cpu_int8": 0.004}
"""Largest difference of a centre or size."""

CATEGORY = np.array([0, 3, 3, 1, 0])


def front_of_cylinders(count: int, points: int) -> FloatArray:
    """Return clouds ``(count, points, 3)`` of the sides and tops of cans that a camera sees, metres."""
    rng = np.random.default_rng(5)
    angle, height = rng.uniform(0.0, np.pi, (count, points)), rng.uniform(-0.06, 0.06, (count, points))
    radius = np.where(rng.random((count, points)) < 0.2, rng.uniform(0.0, 0.035, (count, points)), 0.035)
    height = np.where(radius < 0.035, -0.06, height)
    cloud = np.stack([radius * np.cos(angle), height, 0.7 - radius * np.sin(angle)], axis=2)
    tilt = np.radians(30.0)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return (cloud @ turn.T + rng.normal(scale=0.001, size=cloud.shape)).astype(np.float32)


def load_network(preset: str) -> CLIPoseNet:
    """Load the shipped model, or create a network of a preset with random weights."""
    if preset == "clipose_small":
        return load_checkpoint(model_path(preset))
    torch.manual_seed(0)
    return CLIPoseNet(PRESETS[preset], NOCS_CATEGORIES).eval()


@pytest.mark.parametrize("preset", ["clipose_small", "clipose"])
def test_deviation_from_pytorch(preset: str) -> None:
    network, points = load_network(preset), front_of_cylinders(5, 256)
    expected = create_engine("pytorch", network, "cpu", 1)(points, CATEGORY)
    for name in usable_engines():
        engine = create_engine(name, network, "cpu", 2)
        for batch in (1, 5):
            got = engine(points[:batch], CATEGORY[:batch])
            angle = np.degrees(np.arccos(np.clip((got.axis_y * expected.axis_y[:batch]).sum(axis=1), -1.0, 1.0)))
            assert angle.max() <= MAX_ANGLE_DEG[name], name
            for field in ("translation", "size"):
                np.testing.assert_allclose(
                    getattr(got, field),
                    getattr(expected, field)[:batch],
                    atol=MAX_DISTANCE_M[name],
                    rtol=0.0,
                    err_msg=name,
                )
