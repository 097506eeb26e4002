"""Decision which HTTP requests reach the page: those of its own address; from other machines only with a token.

viser has no authentication. Browsers open WebSockets to any address for any web site, so the origin is compared, too.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a request that does not reach the page.

    Attributes:
        status: HTTP status.
        text: Body.
        headers: Header fields.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Gate:
    """Check of each request, before a WebSocket is opened or a file is sent.

    Args:
        token: Secret that a request needs; None for a page that only this machine can reach.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        # Cookies of a host are shared by all of its ports.
        self._cookie = f"clipose_view_{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"

    def check(self, path: str, headers: Mapping[str, str]) -> Answer | None:
        """Return the answer to a request that is refused or redirected; None for one that may pass.

        Args:
            path: Path with query.
            headers: Header fields by lower-case name.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return Answer(403, "The page belongs to another origin.\n")
        if self._token is None:
            return None if is_loopback(host_name(host)) else Answer(403, "The page is reached as 127.0.0.1 only.\n")
        if self._is_token(parse_qs(urlsplit(path).query).get("token", [""])[0]):
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            return Answer(303, "", {"Location": "/", "Set-Cookie": cookie})
        if self._is_token(self._read_cookie(headers.get("cookie", ""))):
            return None
        return Answer(403, "Open the address with the token that `view` has printed.\n")

    def _is_token(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    def _read_cookie(self, text: str) -> str:
        try:
            morsel = SimpleCookie(text).get(self._cookie)
        except CookieError:
            return ""
        return morsel.value if morsel is not None else ""


def host_name(host: str) -> str:
    """Return the name in a ``Host`` header, without its port and brackets; empty if it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Return True if an address or name stands for this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
