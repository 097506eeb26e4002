"""The launch tests of ``system/``: they need a sourced distribution, and this package in a sourced workspace.

Each is called as a program (``launch_test``). The pytest plugin of launch_testing is not used: pyproject.toml says why.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SYSTEM = Path(__file__).parent / "system"


def obstacle() -> str | None:
    """Return why the launch tests cannot run here, or None."""
    missing = [name for name in ("launch_ros", "launch_testing", "ament_index_python") if find_spec(name) is None]
    if missing:
        return f"needs a sourced ROS 2 distribution: {', '.join(missing)} not found, and PyPI has no launch packages"
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix("clipose_ros")
    except PackageNotFoundError:
        return "needs clipose_ros in a sourced workspace: make ros-build, then source install/setup.bash"
    return None


OBSTACLE = obstacle()


@pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE))
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["demo", "pose"])
def test_launch(name: str, own_domain: int) -> None:
    command = [sys.executable, "-m", "launch_testing.launch_test", str(SYSTEM / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
