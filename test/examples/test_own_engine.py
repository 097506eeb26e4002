"""The example package is installed by pip and adds its engine to the predictor and to the list of engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES


@pytest.fixture(scope="module")
def run(install_example: Callable[[str], Callable[[str], Any]]) -> Callable[[str], Any]:
    """Runs a program beside the installed example."""
    return install_example("own_engine")


@pytest.mark.parametrize("passes", [1, 4])
def test_a_predictor_computes_with_it(run: Callable[[str], Any], passes: int) -> None:
    program = f"""
import json
import numpy as np
from clipose_ros.inference.predictor import Predictor

predictor = Predictor.load("clipose_small", device="cpu", engine="centroid", max_passes={passes})
predictor.warm_up(256)
points = np.random.default_rng(0).normal([0.1, 0.0, 0.8], 0.02, (2, 256, 3)).astype(np.float32)
poses = predictor.predict(points, ["mug", "bottle"])
print(json.dumps([[pose.category, pose.T_camera_object.tolist(), pose.size.tolist()] for pose in poses]))
"""
    points = np.random.default_rng(0).normal([0.1, 0.0, 0.8], 0.02, (2, 256, 3)).astype(np.float32)
    poses = run(program)
    assert [category for category, _, _ in poses] == ["mug", "bottle"]
    for (category, T_camera_object, size), cloud in zip(poses, points, strict=True):
        T = np.array(T_camera_object)
        np.testing.assert_allclose(T[:3, 3], cloud.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(T[:3, :2].T, [[0, 0, 1], [0, -1, 0]], atol=1e-6)
        np.testing.assert_allclose(size, NOCS_CATEGORIES[category].mean_size, atol=1e-6)


def test_commands_take_its_name(run: Callable[[str], Any]) -> None:
    program = """
import json
from clipose_ros.cli.evaluate_options import read_options
from clipose_ros.cli.node_settings import network_config
from clipose_ros.errors import ConfigError
from clipose_ros.inference.engines.registry import engine_names
from clipose_ros.inference.predictor import Predictor

def load(name):
    config = network_config(read_options(None, ["--data", "x.npz", "--engine", name, "--device", "cpu"]))
    try:
        return Predictor.from_config(config).device
    except ConfigError as error:
        return str(error)

print(json.dumps([engine_names(), load("centroid"), load("centroids")]))
"""
    names, device, error = run(program)
    assert names[-1] == "centroid" and device == "cpu"
    assert "did you mean 'centroid'" in error
