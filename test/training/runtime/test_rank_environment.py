"""Variables of torchrun: complete, absent, or refused in one line."""

from __future__ import annotations

import os
import socket

import psutil
import pytest
from torch import distributed as dist

from clipose_ros.errors import ConfigError
from clipose_ros.training.runtime.distributed import Ranks, find_interface, ranks_joined

NAMES = (
    "GLOO_SOCKET_IFNAME", "WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_MAX_RESTARTS",
)  # fmt: skip
WHOLE = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def refuse(environment: pytest.MonkeyPatch, values: dict[str, str]) -> str:
    """Return the message of the error."""
    for name, value in values.items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError, match="start with torchrun, or unset") as error:
        ranks_joined("cpu").__enter__()
    assert str(error.value).isprintable() and len(str(error.value)) < 400
    return str(error.value)


def test_complete_and_absent_environment(environment: pytest.MonkeyPatch) -> None:
    assert Ranks.from_environment() == Ranks(0, 1, 0)
    for name, value in WHOLE.items():
        environment.setenv(name, value)
    assert Ranks.from_environment() == Ranks(3, 4, 1)


@pytest.mark.parametrize(
    "values", [{"WORLD_SIZE": "1"}, {"RANK": "0"}, {"LOCAL_RANK": "0"}, {"MASTER_ADDR": "x"}, {"MASTER_PORT": "x"}]
)
def test_single_process_is_unambiguous(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)
    with ranks_joined("cpu") as device:
        assert device == "cpu"


def test_world_size_alone_names_what_is_missing(environment: pytest.MonkeyPatch) -> None:
    assert "WORLD_SIZE is 2, but RANK and MASTER_ADDR and MASTER_PORT missing" in refuse(
        environment, {"WORLD_SIZE": "2"}
    )


@pytest.mark.parametrize("missing", ["WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_each_missing_variable_is_named(environment: pytest.MonkeyPatch, missing: str) -> None:
    assert f"but {missing} missing" in refuse(environment, {k: v for k, v in WHOLE.items() if k != missing})


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"])
@pytest.mark.parametrize("value", ["abc", "", "-1", "1.5", "٣", "9" * 5000, "a\n[FATAL] b"])
def test_variable_that_is_no_number_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refuse(environment, WHOLE | {name: value})


@pytest.mark.parametrize(("name", "value"), [("WORLD_SIZE", "0"), ("RANK", "4"), ("MASTER_PORT", "65536")])
def test_number_out_of_range_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert f"{name} is '{value}', expected a number from" in refuse(environment, WHOLE | {name: value})


def test_port_in_use_is_named(environment: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        said = refuse(environment, WHOLE | {"RANK": "0", "MASTER_PORT": port})
    assert f"4 processes cannot be joined at '127.0.0.1:{port}'" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.3", "localhost"])
def test_interface_of_this_machine_is_loopback(host: str) -> None:
    assert psutil.net_if_addrs()[find_interface(host)][0].address == "127.0.0.1"


def test_first_rank_without_an_address_is_named(environment: pytest.MonkeyPatch) -> None:
    assert "MASTER_ADDR is 'nowhere.invalid', which no route leads to" in refuse(
        environment, WHOLE | {"MASTER_ADDR": "nowhere.invalid"}
    )


@pytest.mark.parametrize(("chosen", "host"), [("eth7", "nowhere.invalid"), (None, "127.0.0.1")])
def test_interface_is_searched_only_if_none_is_chosen(
    environment: pytest.MonkeyPatch, chosen: str | None, host: str
) -> None:
    for name, value in (WHOLE | {"MASTER_ADDR": host}).items():
        environment.setenv(name, value)
    if chosen:
        environment.setenv("GLOO_SOCKET_IFNAME", chosen)
    used = []
    environment.setattr(dist, "init_process_group", lambda *_, **__: used.append(os.environ["GLOO_SOCKET_IFNAME"]))
    environment.setattr(dist, "destroy_process_group", lambda: None)
    expected = chosen or find_interface(host)
    with ranks_joined("cpu"):
        pass
    assert used == [expected] and os.environ.get("GLOO_SOCKET_IFNAME") == chosen


def test_restarts_need_a_store_that_forgets_lost_processes(environment: pytest.MonkeyPatch) -> None:
    for name, value in (WHOLE | {"TORCHELASTIC_MAX_RESTARTS": "3", "TORCHELASTIC_USE_AGENT_STORE": "True"}).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigError, match="set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun on every machine"):
        Ranks.from_environment()
    environment.setenv("TORCHELASTIC_USE_AGENT_STORE", "False")
    assert Ranks.from_environment() == Ranks(3, 4, 1, 3)
