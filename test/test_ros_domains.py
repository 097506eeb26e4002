"""Reservation of ROS domain ids by test processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ros_domains import reserve_process_domain

from clipose_ros.ros_tools import domains
from clipose_ros.ros_tools.domains import DOMAIN_IDS, DomainError, DomainReservation, reserved_domain

RESERVE = """
import os, sys
from ros_domains import reserve_process_domain
kept = reserve_process_domain(os.environ)
child = "import os; print(os.environ['ROS_DOMAIN_ID'], flush=True)"
import subprocess
subprocess.run([sys.executable, "-c", child], check=True)
sys.stdin.read()
"""


def start_runner(environment: dict[str, str]) -> tuple[subprocess.Popen[str], int]:
    """Start a test process that reserves an id; return it and the id that its child inherits.

    Args:
        environment: Variables with the id that the parent process has reserved.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", RESERVE],
        cwd=Path(__file__).parent,
        env=os.environ | environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    return process, int(process.stdout.readline())


def test_process_domains_differ_for_runners_with_an_inherited_id():
    environment = {}
    with_parent = reserve_process_domain(environment)
    runners = [start_runner(environment) for _ in range(4)]
    try:
        ids = [domain_id for _, domain_id in runners] + [with_parent.domain_id]
        assert len(set(ids)) == len(ids) and set(ids) <= set(DOMAIN_IDS)
    finally:
        with_parent.release()
        for process, _ in runners:
            process.communicate("")


def test_process_domain_is_free_after_the_process_is_killed(monkeypatch: pytest.MonkeyPatch):
    environment = {}
    with_parent = reserve_process_domain(environment)
    process, domain_id = start_runner(environment)
    with_parent.release()
    monkeypatch.setattr(domains, "DOMAIN_IDS", range(domain_id, domain_id + 1))
    with pytest.raises(DomainError, match="all ROS domain ids"):
        DomainReservation()
    process.kill()
    process.communicate()
    with reserved_domain() as again:
        assert again == domain_id


def test_process_domain_of_the_user_is_kept():
    environment = {"ROS_DOMAIN_ID": "7"}
    assert reserve_process_domain(environment) is None and environment == {"ROS_DOMAIN_ID": "7"}
