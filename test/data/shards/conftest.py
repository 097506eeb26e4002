"""A scheduler of dask and workers at addresses of their own, as separate processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pytest

ROOT = Path(__file__).parents[3]


class DaskHosts:
    """A scheduler and one worker on each host; all processes end with the context.

    Args:
        folder: Folder for the logs and the scheduler file.
        hosts: Address of each host; the scheduler is on the first.
        inside: Start of the commands on each host, such as ``ip netns exec NAME``; empty for this host.
    """

    def __init__(self, folder: Path, hosts: Sequence[str], inside: Sequence[Sequence[str]] | None = None) -> None:
        self._folder, self._hosts, self._inside = folder, hosts, inside or [()] * len(hosts)
        self._opened = ExitStack()
        self.address = ""
        self.workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> DaskHosts:
        contact = self._folder / "scheduler.json"
        options = ["--host", self._hosts[0], "--port", "0", "--no-dashboard", "--no-show"]
        self.scheduler = self._start(0, "dask_scheduler", *options, "--scheduler-file", str(contact))
        deadline = time.monotonic() + 60
        while not contact.exists() or not contact.read_text():
            assert time.monotonic() < deadline and self.scheduler.poll() is None, self.log("scheduler")
            time.sleep(0.02)
        self.address = json.loads(contact.read_text())["address"]
        for index, host in enumerate(self._hosts):
            # Without the nanny, which would start another worker: the host itself is lost.
            options = ["--host", host, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
            self.workers.append(self._start(index, "dask_worker", self.address, *options))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def log(self, name: str) -> str:
        """Return the end of the logs of the programs whose names end with ``name``."""
        return "\n".join(path.read_text()[-3000:] for path in sorted(self._folder.glob(f"*{name}.log")))

    def run(self, index: int, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command on a host."""
        return subprocess.run([*self._inside[index], *command], env=_environment(), capture_output=True, text=True)

    def _start(self, index: int, program: str, *options: str) -> subprocess.Popen[bytes]:
        log = self._opened.enter_context((self._folder / f"{index}_{program}.log").open("wb"))
        command = [*self._inside[index], sys.executable, "-m", f"distributed.cli.{program}", *options]
        process = self._opened.enter_context(
            subprocess.Popen(command, env=_environment(), cwd=self._folder, stdout=log, stderr=log)
        )
        self._opened.callback(process.kill)
        return process


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture
def dask_hosts() -> type[DaskHosts]:
    """Return the class that starts a scheduler and workers."""
    return DaskHosts
