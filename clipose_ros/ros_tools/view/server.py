"""viser server behind a gate: bound to one address, without viser's public tunnel."""

from __future__ import annotations

import contextlib
import io
import secrets
import socket
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any

import viser
import websockets.asyncio.server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from clipose_ros.errors import ConfigError
from clipose_ros.ros_tools.view.gate import Gate, is_loopback

_Process = Callable[[Any, Request], Response | None]


class ViewServer(viser.ViserServer):
    """Server of the page.

    Args:
        host: Address to listen on. Any but a loopback address makes a token, which requests then need.
        port: Port; 0 for any free one.

    Attributes:
        url: Address to open, with the token if there is one.

    Raises:
        ConfigError: The address or the port cannot be used.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8080) -> None:
        _check_address(host, port)
        token = None if is_loopback(host) else secrets.token_urlsafe(24)
        # Its box of addresses lacks the token.
        with _gated(Gate(token)) as is_gated, contextlib.redirect_stdout(io.StringIO()):
            super().__init__(host=host, port=port, label="clipose_ros", verbose=False)
        if not is_gated() or port not in (0, self.get_port()):
            self.stop()
            raise ConfigError(f"viser {viser.__version__} cannot be guarded on port {port}: install the pinned version")
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.get_port()}/{f'?token={token}' if token else ''}"

    def request_share_url(self, verbose: bool = True) -> None:
        """Do nothing: any visitor could have the page published by a host of viser."""


@contextlib.contextmanager
def _gated(gate: Gate) -> Iterator[Callable[[], bool]]:
    """Put a gate before the servers of websockets that are created in the context; yield whether there was one."""
    serve, gated = websockets.asyncio.server.serve, []

    def serve_gated(handler: Any, *arguments: Any, process_request: _Process, **options: Any) -> Any:
        gated.append(handler)
        return serve(handler, *arguments, process_request=partial(_process, gate, process_request), **options)

    # viser offers no hook. Its thread has created the server by the time that the constructor returns.
    setattr(websockets.asyncio.server, "serve", serve_gated)  # noqa: B010 - mypy forbids to assign to a class
    try:
        yield lambda: bool(gated)
    finally:
        setattr(websockets.asyncio.server, "serve", serve)  # noqa: B010 - as above


def _process(gate: Gate, proceed: _Process, connection: Any, request: Request) -> Response | None:
    answer = gate.check(request.path, {name.lower(): value for name, value in request.headers.raw_items()})
    if answer is None:
        return proceed(connection, request)
    body = answer.text.encode()
    headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), **answer.headers})
    return Response(answer.status, HTTPStatus(answer.status).phrase, headers, body)


def _check_address(host: str, port: int) -> None:
    """Raise for an address that cannot be listened on: viser would try a thousand ports, or wait for ever."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(
            f"the view cannot listen on '{host}', port {port} ({error}): give another --port or --host"
        ) from error
