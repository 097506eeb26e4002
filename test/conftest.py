"""Settings of all tests.

Each test process has a ROS domain id of its own, processes that tests start can be interrupted by Ctrl-C, the engine
``auto`` is ``cpu``, and the precision of torch's matrix products is restored after each test.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ros_domains import reserve_process_domain

from clipose_ros.inference.engines import measured_accuracy
from clipose_ros.ros_tools.domains import reserved_domain

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in os.environ.get("PYTHONPATH", "").split(os.pathsep):  # for the processes that tests start
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))

# A shell that runs the tests in the background ignores Ctrl-C for them, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Before any test module imports rclpy. The reservation ends with this process.
_DOMAIN = reserve_process_domain(os.environ)


@pytest.fixture
def own_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Set a ROS domain id that no other test uses, for one test and the processes that it starts."""
    with reserved_domain() as domain_id:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain_id))
        yield domain_id


@pytest.fixture(autouse=True)
def pinned_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave ``auto`` no choice: what it measures as the fastest depends on the machine and the moment."""
    monkeypatch.setattr(measured_accuracy, "RECORDS", ())


@pytest.fixture(autouse=True)
def products() -> Iterator[None]:
    """Takes back what training sets for the whole process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_float32_matmul_precision("highest")
