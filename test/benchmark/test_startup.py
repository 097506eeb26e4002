"""Start-up time of new processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from clipose_ros.benchmark import startup
from clipose_ros.config import NetworkConfig

CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


@pytest.fixture
def runs(monkeypatch):
    """Record command and environment of each process instead of running it."""
    started = []

    def run(command, env, **_):
        started.append((command, env))
        return subprocess.CompletedProcess(command, 0, "", "")

    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    return started


def test_time_start_gives_each_cold_process_an_empty_cache(runs):
    timing = startup.time_start(NetworkConfig(), cold=True, repeats=3)
    folders = [env[name] for _, env in runs for name in CACHES]
    assert timing.count == len(runs) == 3
    assert len(set(folders)) == 3


def test_time_start_runs_an_untimed_process_before_warm_ones(runs):
    timing = startup.time_start(NetworkConfig(), cold=False, repeats=3)
    assert timing.count == 3 and len(runs) == 4
    assert not any(name in env for _, env in runs for name in CACHES)


def test_time_start_passes_the_whole_configuration(runs):
    config = NetworkConfig(engine="pytorch", threads=1)
    startup.time_start(config, cold=True, repeats=1)
    command, _ = runs[0]
    assert command[0] == sys.executable
    assert NetworkConfig.from_mapping(json.loads(command[-1])) == config


def test_time_start_reports_the_last_output_of_a_failed_process(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback: no such model")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(startup.StartError, match="no such model"):
        startup.time_start(NetworkConfig(), cold=True, repeats=1)


def test_time_start_reports_a_process_that_does_not_end(monkeypatch):
    def run(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(startup.StartError, match="first pose"):
        startup.time_start(NetworkConfig(), cold=True, repeats=1)
