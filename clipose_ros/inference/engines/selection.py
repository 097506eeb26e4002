"""Automatic choice of the engine on a CPU: the fastest of those that keep the accuracy, measured on this machine.

The choice is stored in the user's cache by processor, versions, weights and threads, so that only the first start
measures. Without a usable cache it is measured at each start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from clipose_ros import __version__
from clipose_ros.atomic_files import write_atomically
from clipose_ros.bounded_files import read_json
from clipose_ros.errors import DataError, DeviceError, UnreadableFileError
from clipose_ros.inference.engines.base import Engine
from clipose_ros.inference.engines.cpu.onednn import CPU_INFO
from clipose_ros.inference.engines.measured_accuracy import BASELINE, allowed_engines
from clipose_ros.model.checkpoint import weights_hash
from clipose_ros.user_folders import user_cache

if TYPE_CHECKING:
    from clipose_ros.model.network import CLIPoseNet

CACHE_FILE = Path("clipose_ros", "engines.json")
"""File in the cache of the user."""

MIN_GAIN = 0.05
"""Smallest part of the time of float32 that another engine must save."""

BUDGET_S = 0.3
"""Time for the measurement, without the engines' first calls."""

MAX_ENTRIES = 64
"""Largest number of stored choices; older ones are dropped."""

_POINTS = 1024
_MAX_BYTES = 1 << 16

_chosen: dict[str, str] = {}
"""Choices of this process, for machines whose cache cannot be written."""

_log = logging.getLogger(__name__)


def create_fastest_engine(network: CLIPoseNet, threads: int, create: Callable[[str], Engine]) -> Engine:
    """Create the fastest engine of a CPU that keeps the accuracy.

    Args:
        network: Network whose weights the engine computes with, in evaluation mode, on the CPU.
        threads: CPU threads of the engine; 0 leaves the choice to torch.
        create: Function that creates an engine by name.
    """
    weights = weights_hash(network)
    names = allowed_engines(weights)
    if len(names) == 1:
        return create(BASELINE)
    key = choice_key(weights, threads or torch.get_num_threads(), names)
    if (known := _chosen.get(key) or _read_choices().get(key)) in names:
        try:
            return create(known)
        except DeviceError:  # the file came from another machine
            _log.debug("engine '%s' of the cache does not run on this processor", known)
    engines = _create_engines(names, create)
    times_s = time_engines(engines)
    name = fastest(times_s)
    _log.info("engine '%s' is used, ms per pass: %s", name, {each: round(1e3 * t, 2) for each, t in times_s.items()})
    _chosen[key] = name
    _store_choice(key, name)
    return engines[name]


def fastest(times_s: Mapping[str, float]) -> str:
    """Return the fastest engine, or the baseline if the others do not gain ``MIN_GAIN``."""
    name = min(times_s, key=lambda name: times_s[name])
    return name if times_s[name] <= (1.0 - MIN_GAIN) * times_s[BASELINE] else BASELINE


def time_engines(engines: Mapping[str, Engine], budget_s: float = BUDGET_S) -> dict[str, float]:
    """Return the least time of one cloud by each engine, seconds; the engines take turns, at least once each."""
    cloud = np.random.default_rng(0).normal((0.0, 0.0, 0.8), 0.05, (1, _POINTS, 3)).astype(np.float32)
    category = np.zeros(1, np.int64)
    for engine in engines.values():
        engine.warm_up(_POINTS)
    times_s = dict.fromkeys(engines, float("inf"))
    end = time.perf_counter() + budget_s
    while True:
        for name, engine in engines.items():
            start = time.perf_counter()
            engine(cloud, category)
            times_s[name] = min(times_s[name], time.perf_counter() - start)
        if time.perf_counter() >= end:
            return times_s


def choice_key(weights: str, threads: int, names: Sequence[str]) -> str:
    """Return the key of a choice between engines: a hash of their names and of all on which the speed depends."""
    try:
        models = {line for line in CPU_INFO.read_text().splitlines() if line.startswith("model name")}
    except OSError:
        models = set()
    parts = [sorted(models), sorted(torch.cpu.get_capabilities().items()), weights, threads, list(names)]
    parts += [__version__, torch.__version__, version("numba")]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _create_engines(names: Sequence[str], create: Callable[[str], Engine]) -> dict[str, Engine]:
    """Create the engines whose instructions this processor has."""
    engines: dict[str, Engine] = {}
    for name in names:
        try:
            engines[name] = create(name)
        except DeviceError as error:
            _log.debug("%s", error)
    return engines


def _cache_path() -> Path:
    return user_cache() / CACHE_FILE


def _read_choices() -> dict[str, str]:
    """Read the stored choices; a file that is missing or damaged has none."""
    try:
        content = read_json(_cache_path(), _MAX_BYTES)
    except UnreadableFileError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: name for key, name in content.items() if isinstance(key, str) and isinstance(name, str)}


def _store_choice(key: str, name: str) -> None:
    """Add a choice to the file; one that cannot be written is mentioned at the level of information."""
    kept = list((_read_choices() | {key: name}).items())[-MAX_ENTRIES:]
    try:
        path = _cache_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [json.dumps(dict(kept), indent=1).encode()])
    except (OSError, DataError) as error:
        _log.info("the choice of the engine is not stored, so each start measures: %s", error)
