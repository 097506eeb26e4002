"""Test processes in parallel never share a ROS domain id."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ros_domains import DOMAIN_IDS, DomainReservation, reserve_process_domain, reserved_domain

RESERVE = """
import os, sys
from ros_domains import reserve_process_domain
kept = reserve_process_domain(os.environ)
child = "import os; print(os.environ['ROS_DOMAIN_ID'], flush=True)"
import subprocess
subprocess.run([sys.executable, "-c", child], check=True)
sys.stdin.read()
"""


def start_runner() -> tuple[subprocess.Popen[str], int]:
    """A test process that reserves an id; the id that its child inherits."""
    process = subprocess.Popen(
        [sys.executable, "-c", RESERVE],
        cwd=Path(__file__).parent,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return process, int(process.stdout.readline())


def test_processes_that_inherit_a_reserved_id_get_ids_of_their_own_and_pass_them_on():
    environment = {}
    with_parent = reserve_process_domain(environment)
    runners = [start_runner() for _ in range(4)]
    try:
        ids = [domain_id for _, domain_id in runners] + [with_parent.domain_id]
        assert len(set(ids)) == len(ids) and set(ids) <= set(DOMAIN_IDS)
    finally:
        with_parent.release()
        for process, _ in runners:
            process.communicate("")


def test_an_id_is_free_again_when_its_process_was_killed(monkeypatch: pytest.MonkeyPatch):
    process, domain_id = start_runner()
    monkeypatch.setattr("ros_domains.DOMAIN_IDS", range(domain_id, domain_id + 1))
    with pytest.raises(RuntimeError, match="all ROS domain ids"):
        DomainReservation()
    process.kill()
    process.communicate()
    with reserved_domain() as again:
        assert again == domain_id


def test_an_id_that_the_environment_asks_for_is_kept():
    environment = {"ROS_DOMAIN_ID": "7"}
    assert reserve_process_domain(environment) is None and environment == {"ROS_DOMAIN_ID": "7"}
