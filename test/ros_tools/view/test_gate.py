"""Gate of the page: other origins, other names of this machine and visitors without the token are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.ros_tools.view.gate import Gate, host_name, is_loopback

HERE = {"host": "127.0.0.1:8080"}
TOKEN = "a-secret_1"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "127.0.0.1"])
def test_this_machine_may_pass_without_a_token(host: str) -> None:
    assert Gate(None).check("/", {"host": host}) is None
    assert Gate(None).check("/", {"host": host, "origin": f"http://{host}"}) is None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1"])
def test_pages_of_other_origins_cannot_connect(origin: str) -> None:
    for gate in (Gate(None), Gate(TOKEN)):
        answer = gate.check(f"/?token={TOKEN}", HERE | {"origin": origin})
        assert answer is not None and answer.status == 403


@pytest.mark.parametrize("host", ["evil.example:8080", "", "192.168.0.5:8080", "127.0.0.1.evil.example", "[::"])
def test_names_that_an_attacker_points_to_this_machine_are_refused(host: str) -> None:
    answer = Gate(None).check("/", {"host": host})
    assert answer is not None and answer.status == 403


def test_token_is_exchanged_for_a_cookie_that_lets_pass() -> None:
    gate, remote = Gate(TOKEN), {"host": "robot:8080"}
    answer = gate.check(f"/?token={TOKEN}", remote)
    assert answer is not None and answer.status == 303 and answer.headers["Location"] == "/"
    assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["Set-Cookie"].split("; "))
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert gate.check("/", remote | {"cookie": f"other=1; {cookie}"}) is None
    assert Gate("another").check("/", remote | {"cookie": cookie}) is not None


@given(st.text(max_size=20), st.text(max_size=20))
def test_nothing_but_the_token_lets_pass(path: str, cookie: str) -> None:
    answer = Gate(TOKEN).check(f"/?{path}", {"host": "robot:8080", "cookie": cookie})
    assert answer is not None and answer.status == 403


@given(st.text())
def test_any_host_is_a_name_or_none(text: str) -> None:
    assert isinstance(is_loopback(host_name(text)), bool)
