"""Two hosts on this machine: two loopback addresses, or two network namespaces joined by a cable."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Host:
    """A host: its address, and the start of the commands that run on it."""

    address: str
    prefix: tuple[str, ...] = ()


LOOPBACK = (Host("127.0.0.2"), Host("127.0.0.3"))


def free_port() -> int:
    """Return a TCP port that no program of this machine uses; new namespaces use none."""
    with socket.create_server(("", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def two_hosts(kind: str) -> Iterator[tuple[Host, Host]]:
    """Yield two hosts of the kind ``loopback`` or ``namespaces``; skip the test where namespaces are refused."""
    if kind == "loopback":
        yield LOOPBACK
        return
    names = tuple(f"clx-{os.getpid()}-{i}" for i in range(2))
    ends = tuple(f"clx{os.getpid()}{side}"[-15:] for side in "ab")
    addresses = ("10.77.0.1", "10.77.0.2")
    with ExitStack() as opened:
        for name in names:
            _ip("netns", "add", name)
            opened.callback(_ip, "netns", "del", name)
        _ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
        for name, end, address in zip(names, ends, addresses, strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            for device in ("lo", end):
                _ip("-n", name, "link", "set", device, "up")
        one, two = (Host(a, ("ip", "netns", "exec", n)) for a, n in zip(addresses, names, strict=True))
        yield one, two


def _ip(*arguments: str) -> None:
    """Run ``ip``; skip the test if it is missing or refused."""
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20)
    except OSError as error:
        pytest.skip(f"network namespaces need the command ip: {error}")
    if done.returncode:
        pytest.skip(f"network namespaces are refused: {done.stderr.strip()}")
