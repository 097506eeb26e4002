"""Comparison of the stamps of the images with the clock of the node: recordings, simulations, other machines."""

from __future__ import annotations

from rclpy.clock import ROSClock
from rclpy.node import Node

MAX_AGE_S = 60.0
"""Difference of a new stamp and the node's clock from which they are of different clocks, seconds."""


def describe_missing_clock(node: Node) -> str | None:
    """Return a warning if the node waits for simulated time that nobody publishes; otherwise None."""
    if not _is_simulated(node) or node.get_clock().now().nanoseconds > 0:
        return None
    return (
        "use_sim_time is true, but no time has arrived on '/clock' while images arrive: play the recording with "
        "--clock, bridge the simulator's clock, or set use_sim_time to false"
    )


def describe_other_clock(node: Node, stamp_ns: int) -> str | None:
    """Return a hint if a new stamp and the node's clock cannot be of the same clock; otherwise None."""
    is_simulated, now_ns = _is_simulated(node), node.get_clock().now().nanoseconds
    age_s = (now_ns - stamp_ns) * 1e-9
    if abs(age_s) < MAX_AGE_S or now_ns == 0:
        return None
    source = "/clock" if is_simulated else "system time"
    remedy = (
        "set use_sim_time to false if the camera uses system time"
        if is_simulated
        else "for a recording or a simulation set use_sim_time to true (and play with --clock), for a camera correct "
        "the clock of its driver"
    )
    return (
        f"the image has the stamp {stamp_ns * 1e-9:.3f} s, {abs(age_s):.0f} s {'before' if age_s > 0 else 'after'} the "
        f"node's clock ({source}, {now_ns * 1e-9:.3f} s): {remedy}"
    )


def _is_simulated(node: Node) -> bool:
    """Return True if the node takes its time from /clock."""
    clock = node.get_clock()
    return isinstance(clock, ROSClock) and clock.ros_time_is_active
