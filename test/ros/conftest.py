"""Fixtures for tests over real DDS: an own domain, a spinning node with condition waits, message builders."""

from __future__ import annotations

import os

# before rclpy reads them; a run in parallel gets a domain of its own by its process id
os.environ.setdefault("ROS_DOMAIN_ID", str(30 + os.getpid() % 20))
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
