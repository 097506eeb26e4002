"""ROS domain ids that no two test processes on a machine share.

Each id in use is locked by the process that uses it, so test runners in parallel (several runs, or workers of
pytest-xdist) get different ids. The operating system releases the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

DOMAIN_IDS = range(1, 102)
"""Ids whose ports lie below Linux' ephemeral ports; 0, the default domain, is left to robots."""

_RESERVED = "CLIPOSE_ROS_TEST_DOMAIN_ID"
"""Variable with the id that a test runner reserved: distinguishes it from one that the user asks for."""


_CALLS = itertools.count()


class DomainReservation:
    """A locked ROS domain id.

    Attributes:
        domain_id: The id; no other process can reserve it before ``release``.
    """

    def __init__(self) -> None:
        self.domain_id, self._file = _lock_free_id()

    def release(self) -> None:
        """Release the id."""
        self._file.close()


def reserve_process_domain(environment: MutableMapping[str, str]) -> DomainReservation | None:
    """Reserve a domain id for this process and its children, unless the environment asks for one.

    An id that a parent test runner reserved is not taken over: the workers of one run get ids of their own.

    Returns:
        The reservation, to be kept while the process lives; None if ``ROS_DOMAIN_ID`` is given.
    """
    given = environment.get("ROS_DOMAIN_ID")
    if given is not None and given != environment.get(_RESERVED):
        return None
    reservation = DomainReservation()
    environment["ROS_DOMAIN_ID"] = environment[_RESERVED] = str(reservation.domain_id)
    return reservation


@contextmanager
def reserved_domain() -> Iterator[int]:
    """Reserve one more domain id for the duration of the context."""
    reservation = DomainReservation()
    try:
        yield reservation.domain_id
    finally:
        reservation.release()


def _lock_free_id() -> tuple[int, TextIO]:
    folder = Path(tempfile.gettempdir()) / f"clipose_ros_test_domains_{os.getuid()}"
    folder.mkdir(exist_ok=True)
    # Each call starts at another id: discovery remembers a killed process for a while, so a released id is reused last.
    start = os.getpid() + next(_CALLS)
    for offset in range(len(DOMAIN_IDS)):
        domain_id = DOMAIN_IDS[(start + offset) % len(DOMAIN_IDS)]
        file = (folder / str(domain_id)).open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
        else:
            return domain_id, file
    raise RuntimeError(f"all ROS domain ids {DOMAIN_IDS.start}..{DOMAIN_IDS[-1]} are locked by test runs, see {folder}")
