"""A scheduler of dask, and a worker on each host, as separate processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from two_hosts import Host


@dataclass(frozen=True)
class DaskHosts:
    """Address of the scheduler, its process, and those of the workers in the order of the hosts."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def dask_hosts(folder: Path, hosts: Sequence[Host]) -> Iterator[DaskHosts]:
    """Start a scheduler on the first host and a worker on each; the logs go into a folder."""
    with ExitStack() as opened:

        def start(host: Host, program: str, *options: str) -> subprocess.Popen[bytes]:
            log = opened.enter_context((folder / f"{program}_{host.address}.log").open("wb"))
            command = [
                *host.prefix,
                sys.executable,
                "-m",
                f"distributed.cli.{program}",
                "--host",
                host.address,
                *options,
            ]
            process = opened.enter_context(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
            opened.callback(process.kill)
            return process

        contact = folder / "scheduler.json"
        scheduler = start(hosts[0], "dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(contact))
        deadline = time.monotonic() + 60
        while not contact.exists() or not contact.read_text():
            assert time.monotonic() < deadline and scheduler.poll() is None, "the scheduler does not start"
            time.sleep(0.02)
        address = json.loads(contact.read_text())["address"]
        # Without the nanny, which would start another worker: the host itself is lost.
        options = [address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        yield DaskHosts(address, scheduler, [start(host, "dask_worker", *options) for host in hosts])
