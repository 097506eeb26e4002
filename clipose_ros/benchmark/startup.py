"""Start-up time of a new process up to its first pose, with and without compiled kernels on disk.

This module is also the program of the timed process: it loads a model and estimates the pose of one cloud.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from clipose_ros.benchmark.timing import Timing
from clipose_ros.config import NetworkConfig
from clipose_ros.errors import CliposeError
from clipose_ros.inference.predictor import Predictor

_CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
_LIMIT_S = 300.0


class StartError(CliposeError):
    """The timed process failed; the message ends with its last output."""


def time_start(config: NetworkConfig, cold: bool, repeats: int) -> Timing:
    """Measure the time from the start of the interpreter to the first pose in new processes, one after the other.

    Args:
        config: Settings of the network.
        cold: Whether each process starts with an empty cache of compiled kernels. Otherwise an untimed process fills
            the cache first.
        repeats: Number of timed processes.

    Raises:
        StartError: A process failed or took too long.
    """
    if not cold:
        _run_process(config, {})
    durations_s = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="clipose_cold_") as folder:
            durations_s.append(_run_process(config, dict.fromkeys(_CACHES, folder) if cold else {}))
    return Timing.from_seconds(durations_s)


def _run_process(config: NetworkConfig, caches: dict[str, str]) -> float:
    """Run the timed process with the folders of the caches; return its duration, seconds."""
    settings = json.dumps(config.to_mapping())
    command = [sys.executable, "-m", "clipose_ros.benchmark.startup", settings]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=os.environ | caches, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StartError(f"expected the first pose of '{config.model}' within {_LIMIT_S:g} s, got none") from error
    duration_s = time.perf_counter() - start
    if done.returncode:
        raise StartError(f"a new process with {settings} failed:\n{done.stderr[-600:]}")
    return duration_s


def _estimate_one_pose(config: NetworkConfig) -> None:
    predictor = Predictor.from_config(config)
    cloud = np.random.default_rng(0).normal((0.0, 0.0, 0.8), 0.05, (1, 1024, 3)).astype(np.float32)
    predictor.predict(cloud, [predictor.categories.names[0]])


if __name__ == "__main__":
    _estimate_one_pose(NetworkConfig.from_mapping(json.loads(sys.argv[1])))
    os._exit(0)  # the shutdown of the interpreter is not part of the start-up time
