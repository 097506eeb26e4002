"""``auto`` chooses the fastest engine of those with a recorded accuracy, once for each processor, model and version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import DeviceError
from clipose_ros.inference.engines import measured_accuracy, selection
from clipose_ros.inference.engines.base import Engine
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.measured_accuracy import AccuracyRecord, AveragePrecision, allowed_engines
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.engines.registry import BUILTIN_ENGINES
from clipose_ros.inference.engines.selection import choice_key, create_fastest_engine, fastest, time_engines
from clipose_ros.model.checkpoint import load_checkpoint, weights_hash
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.resources import model_path

RECORDS = measured_accuracy.RECORDS
"""The shipped records; a fixture of all tests leaves ``auto`` without them."""

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))
BEFORE = AveragePrecision(40.0, 70.0)
NAMES = ["cpu", "cpu_int8"]


class NamedEngine(PytorchEngine):
    """Engine of another name, as fast as ``pytorch``."""

    def __init__(self, network: CLIPoseNet, name: str) -> None:
        super().__init__(network, threads=1)
        self.name = name


@pytest.fixture
def network() -> CLIPoseNet:
    torch.manual_seed(0)
    return CLIPoseNet(TINY, NOCS_CATEGORIES).eval()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: CLIPoseNet) -> Path:
    """Allow two engines of the network, with an empty cache, and let the second one measure as the fastest."""
    reduced = {"cpu_int8": BEFORE, "cpu_bf16": AveragePrecision(39.6, 70.0)}
    record = AccuracyRecord("tiny", weights_hash(network), BEFORE, reduced)
    monkeypatch.setattr(measured_accuracy, "RECORDS", (record,))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget(monkeypatch)
    return tmp_path / selection.CACHE_FILE


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace the measurement; return the names of each."""
    calls: list[list[str]] = []

    def measure(engines: dict[str, Engine]) -> dict[str, float]:
        calls.append(list(engines))
        return {name: 1.0 if name == "cpu" else 0.5 for name in engines}

    monkeypatch.setattr(selection, "time_engines", measure)
    return calls


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the choices of this process, as a new one does."""
    monkeypatch.setattr(selection, "_chosen", {})


def maker(network: CLIPoseNet, lacking: tuple[str, ...] = ()) -> Callable[[str], Engine]:
    def create(name: str) -> Engine:
        if name in lacking:
            raise DeviceError(f"'{name}' needs another processor")
        return NamedEngine(network, name)

    return create


def test_records_are_of_the_shipped_model_and_of_reduced_engines() -> None:
    (record,) = (record for record in RECORDS if record.model == "clipose_small")
    assert record.weights == weights_hash(load_checkpoint(model_path("clipose_small"))), (
        "measure the engines with these weights, as the module describes, and enter the figures"
    )
    for name in record.reduced:
        assert "cpu" in BUILTIN_ENGINES[name].device_kinds and name not in ("pytorch", measured_accuracy.BASELINE)


@pytest.mark.parametrize(
    ("after", "allowed"),
    [
        (AveragePrecision(40.0, 70.0), True),
        (AveragePrecision(39.7, 69.7), True),
        (AveragePrecision(41.0, 75.0), True),
        (AveragePrecision(39.6, 70.0), False),
        (AveragePrecision(45.0, 69.6), False),
    ],
)
def test_an_engine_is_allowed_if_neither_figure_falls_too_far(
    after: AveragePrecision, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_accuracy, "RECORDS", (AccuracyRecord("m", "abc", BEFORE, {"cpu_int8": after}),))
    assert allowed_engines("abc") == (("cpu", "cpu_int8") if allowed else ("cpu",))
    assert allowed_engines("other weights") == ("cpu",)


def test_weights_without_a_record_are_computed_in_float32_without_measurement(
    network: CLIPoseNet, cache: Path, measured: list[list[str]]
) -> None:
    torch.nn.init.zeros_(next(network.parameters()))
    assert create_engine("auto", network, "cpu").name == "cpu"
    assert not measured and not cache.exists()


@pytest.mark.parametrize(("other", "expected"), [(0.90, "cpu_int8"), (0.95, "cpu_int8"), (0.96, "cpu"), (1.5, "cpu")])
def test_float32_is_kept_for_a_small_gain(other: float, expected: str) -> None:
    assert fastest({"cpu": 1.0, "cpu_int8": other}) == expected


def test_all_engines_are_measured_in_turns_whatever_the_budget(network: CLIPoseNet) -> None:
    engines = {name: NamedEngine(network, name) for name in ("cpu", "cpu_int8")}
    times_s = time_engines(engines, budget_s=0.0)
    assert times_s.keys() == engines.keys() and all(0.0 < t < np.inf for t in times_s.values())


def test_the_choice_is_stored_and_measured_once(
    network: CLIPoseNet, cache: Path, measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create_fastest_engine(network, 1, maker(network)).name == "cpu_int8"
    assert measured == [["cpu", "cpu_int8"]], "cpu_bf16 loses too much"
    assert json.loads(cache.read_text()) == {choice_key(weights_hash(network), 1, NAMES): "cpu_int8"}
    for _ in range(2):
        assert create_fastest_engine(network, 1, maker(network)).name == "cpu_int8"
        forget(monkeypatch)
    assert len(measured) == 1
    assert create_fastest_engine(network, 2, maker(network)).name == "cpu_int8"
    assert len(measured) == 2, "another number of threads is measured anew"
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b'{"KEY": 5}', b'{"KEY": "cpu_bf16"}', b'{"KEY": "no such"}', b"\xff\xfe", b"[" * 999],
)
def test_a_damaged_cache_is_measured_anew_and_replaced(
    content: bytes, network: CLIPoseNet, cache: Path, measured: list[list[str]]
) -> None:
    cache.parent.mkdir()
    key = choice_key(weights_hash(network), 1, NAMES)
    cache.write_bytes(content.replace(b"KEY", key.encode()))
    assert create_fastest_engine(network, 1, maker(network)).name == "cpu_int8"
    assert len(measured) == 1 and json.loads(cache.read_text()) == {key: "cpu_int8"}


def test_without_a_cache_the_choice_lasts_as_long_as_the_process(
    network: CLIPoseNet, cache: Path, measured: list[list[str]], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("INFO")
    blocker = cache.parent.with_name("file")
    blocker.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocker))  # also root cannot make a folder in a file
    for _ in range(3):
        assert create_fastest_engine(network, 1, maker(network)).name == "cpu_int8"
    assert len(measured) == 1
    assert [record.levelname for record in caplog.records if "is not stored" in record.message] == ["INFO"]


def test_an_engine_that_the_processor_lacks_is_left_out(
    network: CLIPoseNet, cache: Path, measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create_fastest_engine(network, 1, maker(network)).name == "cpu_int8"
    forget(monkeypatch)
    assert create_fastest_engine(network, 1, maker(network, lacking=("cpu_int8",))).name == "cpu"
    assert measured == [["cpu", "cpu_int8"], ["cpu"]]


def test_the_file_keeps_the_newest_choices(
    network: CLIPoseNet, cache: Path, measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MAX_ENTRIES", 3)
    for threads in range(1, 6):
        create_fastest_engine(network, threads, maker(network))
    weights = weights_hash(network)
    assert list(json.loads(cache.read_text())) == [choice_key(weights, threads, NAMES) for threads in (3, 4, 5)]
    assert list(cache.parent.iterdir()) == [cache]


def test_the_key_depends_on_weights_threads_engines_processor_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {
        choice_key("a", 1, NAMES),
        choice_key("a", 2, NAMES),
        choice_key("b", 1, NAMES),
        choice_key("a", 1, ["cpu"]),
    }
    monkeypatch.setattr(selection, "__version__", "0.0.0")
    keys.add(choice_key("a", 1, NAMES))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    keys.add(choice_key("a", 1, NAMES))
    assert len(keys) == 6
