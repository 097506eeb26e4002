"""Refuses and records every address but loopback. Python imports this module at start if PYTHONPATH has its folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any


def is_local(address: object) -> bool:
    """Return True for loopback, this machine's name, and addresses that are no names or numbers of hosts."""
    host = address[0] if isinstance(address, tuple) and address else address
    host = host.decode() if isinstance(host, bytes) else host
    if not isinstance(host, str) or not isinstance(address, (tuple, str)):
        return True  # a local socket, a wildcard
    return host in ("", "localhost", "0.0.0.0", "::", "::1", socket.gethostname()) or host.startswith("127.")


def guarded(function: Callable[..., Any], place: int, is_address: Callable[[Any], bool]) -> Callable[..., Any]:
    """Return ``function`` that refuses hosts; ``place`` is the index of the address among its arguments."""

    def guard(*arguments: Any, **options: Any) -> Any:
        address = arguments[place] if -len(arguments) <= place < len(arguments) else None
        if is_address(address) and not is_local(address):
            with Path(os.environ["SOCKET_GUARD_LOG"]).open("a") as log:
                log.write(f"{function.__name__} {address!r}\n")
            raise ConnectionRefusedError(f"the socket guard refuses {address!r}")
        return function(*arguments, **options)

    return guard


if "SOCKET_GUARD_LOG" in os.environ:
    for name, place in (("connect", 1), ("connect_ex", 1), ("sendto", -1)):
        # Addresses of local sockets are texts.
        setattr(socket.socket, name, guarded(getattr(socket.socket, name), place, lambda a: isinstance(a, tuple)))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        setattr(socket, name, guarded(getattr(socket, name), 0, lambda a: isinstance(a, (str, bytes))))
