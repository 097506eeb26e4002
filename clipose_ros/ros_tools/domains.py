"""ROS domain ids that no two processes on a machine share.

A process reserves an id by binding an abstract Unix socket that is named after the id. The operating system releases
the socket when the process ends, however it ends. An abstract socket belongs to a network namespace, as the ports of
DDS do, so containers with separate networks may use equal ids.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from clipose_ros.errors import CliposeError

DOMAIN_IDS = range(1, 102)
"""Ids whose DDS ports lie below the ephemeral ports of Linux. The default domain 0 is left to robots."""
VARIABLE = "ROS_DOMAIN_ID"
"""Environment variable from which ROS reads the domain id."""

_calls = itertools.count()


class DomainError(CliposeError):
    """All ROS domain ids are reserved."""


class DomainReservation:
    """Reservation of a ROS domain id; no other process can reserve the id before ``release``.

    Attributes:
        domain_id: The reserved id.

    Raises:
        DomainError: All ids are reserved.
    """

    def __init__(self) -> None:
        self.domain_id, self._socket = _bind_free_id()

    def release(self) -> None:
        """Release the id."""
        self._socket.close()


@contextmanager
def reserved_domain() -> Iterator[int]:
    """Reserve a domain id for the duration of the context.

    Raises:
        DomainError: All ids are reserved.
    """
    reservation = DomainReservation()
    try:
        yield reservation.domain_id
    finally:
        reservation.release()


@contextmanager
def environment_domain(environment: MutableMapping[str, str]) -> Iterator[str]:
    """Keep the domain id that ``ROS_DOMAIN_ID`` sets, or reserve one and set the variable until the context ends.

    Args:
        environment: Environment variables.

    Yields:
        Value of ``ROS_DOMAIN_ID`` within the context.

    Raises:
        DomainError: The variable is not set, and all ids are reserved.
    """
    if VARIABLE in environment:
        yield environment[VARIABLE]
        return
    with reserved_domain() as domain_id:
        environment[VARIABLE] = str(domain_id)
        try:
            yield environment[VARIABLE]
        finally:
            environment.pop(VARIABLE, None)


def _bind_free_id() -> tuple[int, socket.socket]:
    """Return a free id and the socket that reserves it."""
    # Discovery remembers a killed process for a while. Each call starts at another id, so that a released id is reused
    # as late as possible.
    start = os.getpid() + next(_calls)
    for offset in range(len(DOMAIN_IDS)):
        domain_id = DOMAIN_IDS[(start + offset) % len(DOMAIN_IDS)]
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0clipose_ros/ros_domain/{domain_id}")
        except OSError as error:
            lock.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return domain_id, lock
    raise DomainError(
        f"all ROS domain ids {DOMAIN_IDS[0]} to {DOMAIN_IDS[-1]} are reserved by running programs of clipose_ros: end "
        f"one, or set {VARIABLE}"
    )
