"""Reservation of a ROS domain id for a test process and its children."""

from __future__ import annotations

from collections.abc import MutableMapping

from clipose_ros.ros_tools.domains import VARIABLE, DomainReservation

_RESERVED = "CLIPOSE_ROS_TEST_DOMAIN_ID"
"""Variable with the id that a test runner reserved: distinguishes it from an id that the user sets."""


def reserve_process_domain(environment: MutableMapping[str, str]) -> DomainReservation | None:
    """Reserve a domain id for this process and its children, unless the user has set one.

    An id that a parent test runner reserved is replaced, so that each worker of pytest-xdist has a different one.

    Returns:
        The reservation, to be kept while the process lives; None if the user has set ``ROS_DOMAIN_ID``.
    """
    given = environment.get(VARIABLE)
    if given is not None and given != environment.get(_RESERVED):
        return None
    reservation = DomainReservation()
    environment[VARIABLE] = environment[_RESERVED] = str(reservation.domain_id)
    return reservation
