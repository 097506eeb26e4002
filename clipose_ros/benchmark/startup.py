"""From a fresh process to its first pose, with compiled kernels on disk and without.

As a program it is that process: it loads a model, poses one cloud and says so.
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
    """The fresh process failed; the message carries its last words."""


def time_start(config: NetworkConfig, cold: bool, times: int) -> Timing:
    """Start so many processes one after the other; from the start of the interpreter to the first pose.

    Args:
        config: The network.
        cold: Whether each finds no compiled kernel of an earlier one; otherwise one that is not timed fills the cache.
        times: How often.
    """
    if not cold:
        _first_pose_s(config, {})
    took_s = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="clipose_cold_") as folder:
            took_s.append(_first_pose_s(config, dict.fromkeys(_CACHES, folder) if cold else {}))
    return Timing.of(took_s)


def _first_pose_s(config: NetworkConfig, caches: dict[str, str]) -> float:
    settings = json.dumps(config.to_mapping())
    command = [sys.executable, "-m", "clipose_ros.benchmark.startup", settings]
    begun = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=os.environ | caches, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StartError(f"expected a first pose of '{config.model}' in {_LIMIT_S:g} s, got none") from error
    took_s = time.perf_counter() - begun
    if done.returncode:
        raise StartError(f"a fresh process with {settings} failed:\n{done.stderr[-600:]}")
    return took_s


def _pose_once(config: NetworkConfig) -> None:
    predictor = Predictor.from_config(config)
    cloud = np.random.default_rng(0).normal((0.0, 0.0, 0.8), 0.05, (1, 1024, 3)).astype(np.float32)
    predictor.predict(cloud, [predictor.categories.names[0]])


if __name__ == "__main__":
    _pose_once(NetworkConfig.from_mapping(json.loads(sys.argv[1])))
    os._exit(0)  # how long it takes to end is not asked
