"""Server of the page: everything comes from it, and its gate holds for files and WebSockets."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("viser")
import viser
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from clipose_ros.errors import ConfigError
from clipose_ros.ros_tools.view import server as module
from clipose_ros.ros_tools.view.server import ViewServer


@pytest.fixture(params=["open", "token"])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ViewServer]:
    """A server on loopback; the second one treats it as an address that others reach."""
    if request.param == "token":
        monkeypatch.setattr(module, "is_loopback", lambda host: False)
    served = ViewServer(port=0)
    yield served
    served.stop()


def fetch(server: ViewServer, path: str = "/", **headers: str) -> tuple[int, str, str]:
    """Return status, body and cookie of the reply."""
    connection = http.client.HTTPConnection("127.0.0.1", server.get_port(), timeout=30)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    cookie = (reply.getheader("Set-Cookie") or "").partition(";")[0]
    return reply.status, reply.read().decode(), cookie


def handshake(server: ViewServer, **options: object) -> int:
    """Return the HTTP status of an attempt to open a WebSocket."""

    async def attempt() -> int:
        protocols = [Subprotocol(f"viser-v{viser.__version__}")]
        try:
            async with connect(f"ws://127.0.0.1:{server.get_port()}/", subprotocols=protocols, **options):
                return 101
        except InvalidStatus as error:
            return error.response.status_code

    return asyncio.run(attempt())


def test_page_and_socket_are_served_to_who_may_see_them(server: ViewServer) -> None:
    token = server.url.partition("token=")[2]
    if token:
        assert fetch(server)[0] == fetch(server, "/?token=wrong")[0] == handshake(server) == 403
        status, _, cookie = fetch(server, f"/?token={token}")
        assert status == 303
        assert "<!doctype html>" in fetch(server, Cookie=cookie)[1]
        assert handshake(server, additional_headers={"Cookie": cookie}) == 101
    else:
        assert "<!doctype html>" in fetch(server)[1] and handshake(server) == 101


def test_other_web_sites_open_no_socket(server: ViewServer) -> None:
    assert handshake(server, origin=Origin("http://evil.example")) == 403
    assert fetch(server, Host="evil.example")[0] == 403


def test_nobody_can_publish_the_page(server: ViewServer) -> None:
    assert server.request_share_url() is None


def test_other_servers_of_the_process_are_not_gated() -> None:
    import websockets.asyncio.server

    before = websockets.asyncio.server.serve
    ViewServer(port=0).stop()
    assert websockets.asyncio.server.serve is before


def test_page_names_no_other_host() -> None:
    text = (Path(viser.__file__).parent / "client" / "build" / "index.html").read_text(encoding="utf-8")
    assert 'src="http' not in text and 'href="http' not in text


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_address_that_cannot_be_used_is_one_line(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot listen on"):
        ViewServer(host, 0)


def test_port_in_use_is_one_line(server: ViewServer) -> None:
    with pytest.raises(ConfigError, match=f"port {server.get_port()}"):
        ViewServer(port=server.get_port())
