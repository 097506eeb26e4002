"""The example package is installed by pip and adds its engine to the predictor and to the list of engines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example into a folder, without a network."""
    folder = tmp_path_factory.mktemp("own_engine")
    source = shutil.copytree(ROOT / "examples" / "own_engine", folder / "source")  # pip builds inside it
    command = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([sys.executable, *command, "--target", folder / "site", source], check=True, timeout=100)
    return folder / "site"


def run_python(site: Path, program: str) -> None:
    """Run a program in a process that finds the package and the example."""
    path = os.pathsep.join([str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:clipose_ros", "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("passes", [1, 4])
def test_a_predictor_computes_with_it(site: Path, passes: int) -> None:
    program = f"""
import numpy as np
from clipose_ros.inference.predictor import Predictor

predictor = Predictor.load("clipose_small", device="cpu", engine="centroid", max_passes={passes})
predictor.warm_up(256)
points = np.random.default_rng(0).normal([0.1, 0.0, 0.8], 0.02, (2, 256, 3)).astype(np.float32)
mug, bottle = predictor.predict(points, ["mug", "bottle"])
for pose, cloud in zip((mug, bottle), points):
    np.testing.assert_allclose(pose.T_camera_object[:3, 3], cloud.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(pose.size, predictor.categories[pose.category].mean_size, atol=1e-6)
    np.testing.assert_allclose(pose.T_camera_object[:3, :2].T, [[0, 0, 1], [0, -1, 0]], atol=1e-6)
"""
    run_python(site, program)


def test_commands_take_its_name(site: Path) -> None:
    program = """
import pytest
from clipose_ros.cli.evaluate_options import read_options
from clipose_ros.cli.node_settings import network_config
from clipose_ros.errors import ConfigError
from clipose_ros.inference.engines.registry import engine_names
from clipose_ros.inference.predictor import Predictor

assert engine_names()[-1] == "centroid"
for name in ("centroid", "centroids"):
    config = network_config(read_options(None, ["--data", "x.npz", "--engine", name, "--device", "cpu"]))
    if name == "centroid":
        assert Predictor.from_config(config).device == "cpu"
    else:
        with pytest.raises(ConfigError, match="did you mean 'centroid'"):
            Predictor.from_config(config)
"""
    run_python(site, program)
