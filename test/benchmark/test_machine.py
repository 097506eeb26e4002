"""Description of the machine."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import asdict

import pytest

from clipose_ros.benchmark.machine import MachineDescription, describe_machine


@pytest.fixture(scope="module")
def machine():
    return describe_machine()


def test_description_is_unchanged_by_json(machine):
    assert MachineDescription.from_json(json.loads(json.dumps(asdict(machine)))) == machine


def test_description_matches_this_process(machine):
    assert machine.cores == len(os.sched_getaffinity(0))
    assert 0.1 < machine.memory_gib < 1e5
    assert datetime.date.fromisoformat(machine.date).year >= 2024
    assert {"numpy", "torch"} <= machine.versions.keys()


def test_description_reads_settings_from_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    settings = describe_machine().settings
    assert settings["OMP_NUM_THREADS"] == "3" and "OMP_WAIT_POLICY" not in settings
