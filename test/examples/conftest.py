"""Programs of the examples folder, run as a reader would run them, and example packages installed by pip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_python(*arguments: str, paths: tuple[Path, ...] = (), timeout: float = 110.0) -> str:
    """Run Python in a process that finds clipose_ros and further paths, and return its output."""
    path = os.pathsep.join([*map(str, paths), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run_example() -> Callable[..., str]:
    """Run a program below ``examples`` with arguments and return its output."""

    def run(program: str, *arguments: object, timeout: float = 110.0) -> str:
        return run_python(str(ROOT / "examples" / program), *map(str, arguments), timeout=timeout)

    return run


@pytest.fixture(scope="module")
def install_example(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Callable[[str], Any]]:
    """Install ``examples/<name>`` without a network and return a function that runs a program text beside it.

    The function returns the program's last line of output, decoded from JSON. Warnings of the package are errors, so
    an entry point that does not load fails the program.
    """

    def install(name: str) -> Callable[[str], Any]:
        folder = tmp_path_factory.mktemp(name)
        source = shutil.copytree(ROOT / "examples" / name, folder / "source")  # pip builds inside the source folder
        command = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--quiet"]
        subprocess.run([sys.executable, *command, "--target", folder / "site", source], check=True, timeout=100)
        strict = ("-W", "error::UserWarning:clipose_ros")
        return lambda text: json.loads(run_python(*strict, "-c", text, paths=(folder / "site",)).splitlines()[-1])

    return install
