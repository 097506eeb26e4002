"""ROS domain ids of commands that start several processes."""

from __future__ import annotations

import contextlib

import pytest

from clipose_ros.ros_tools import domains
from clipose_ros.ros_tools.domains import DOMAIN_IDS, DomainError, environment_domain, reserved_domain


def test_reserved_domains_are_distinct_and_exclude_the_default_domain() -> None:
    with contextlib.ExitStack() as stack:
        ids = [stack.enter_context(reserved_domain()) for _ in range(5)]
    assert len(set(ids)) == 5 and set(ids) <= set(DOMAIN_IDS) and 0 not in DOMAIN_IDS


def test_environment_domain_is_reserved_until_the_context_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"HOME": "/home"}
    with environment_domain(environment) as domain:
        assert environment["ROS_DOMAIN_ID"] == domain
        monkeypatch.setattr(domains, "DOMAIN_IDS", range(int(domain), int(domain) + 1))
        with (
            pytest.raises(DomainError, match=f"ids {domain} to {domain} are reserved"),
            reserved_domain(),
        ):
            pass
    assert environment == {"HOME": "/home"}
    with reserved_domain() as again:
        assert again == int(domain)


def test_environment_domain_is_removed_after_an_error() -> None:
    environment: dict[str, str] = {}
    with pytest.raises(KeyboardInterrupt), environment_domain(environment):
        raise KeyboardInterrupt
    assert environment == {}


def test_environment_domain_set_by_the_user_is_kept() -> None:
    environment = {"ROS_DOMAIN_ID": "7"}
    with environment_domain(environment) as domain:
        assert (domain, environment) == ("7", {"ROS_DOMAIN_ID": "7"})
    assert environment == {"ROS_DOMAIN_ID": "7"}
