"""Engines are found by name: built-in ones in a table, foreign ones by entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import NetworkConfig
from clipose_ros.errors import ConfigError
from clipose_ros.inference.engines.factory import create_engine
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.engines.registry import (
    AUTO_GPU_ENGINE,
    BUILTIN_ENGINES,
    ENTRY_POINT_GROUP,
    engine_names,
    load_engine_factory,
)
from clipose_ros.model.network import Architecture, CLIPoseNet

TINY = Architecture(widths=(8, 8, 8, 16, 16), supports=3, neighbours=8, head_widths=(16, 8))


@pytest.fixture
def network() -> CLIPoseNet:
    torch.manual_seed(0)
    return CLIPoseNet(TINY, NOCS_CATEGORIES).eval()


def install(site: Path, *entries: str) -> None:
    """Write the metadata of an installed package that registers engines."""
    info = site / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *entries, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foreign_engines.py").write_text(
        "from clipose_ros.inference.engines.pytorch import PytorchEngine\n"
        "class Foreign(PytorchEngine):\n"
        "    name = 'foreign'\n"
        "def create(network, device, threads):\n"
        "    return Foreign(network, device, threads)\n"
    )
    return tmp_path


@pytest.mark.parametrize("name", BUILTIN_ENGINES)
def test_every_builtin_factory_exists(name: str) -> None:
    for kind in BUILTIN_ENGINES[name].device_kinds:
        assert callable(load_engine_factory(name, "cuda:0" if kind == "cuda" else kind))


def test_the_automatic_engine_of_a_gpu_computes_there() -> None:
    assert "cuda" in BUILTIN_ENGINES[AUTO_GPU_ENGINE].device_kinds


def test_listing_engines_imports_neither_torch_nor_numba() -> None:
    code = (
        "import sys; from clipose_ros.inference.engines.registry import engine_names; engine_names(); "
        "sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_entry_point_adds_an_engine(site: Path, network: CLIPoseNet) -> None:
    install(site, "foreign = foreign_engines:create")
    assert engine_names() == [*BUILTIN_ENGINES, "foreign"]
    assert create_engine("foreign", network, "cpu").name == "foreign"


@pytest.mark.parametrize("name", ["pytorch", "auto"])
def test_an_entry_point_shadows_no_builtin_engine(name: str, site: Path, network: CLIPoseNet) -> None:
    install(site, f"{name} = foreign_engines:create", "foreign = foreign_engines:create")
    with pytest.warns(UserWarning, match=f"'{name} = foreign_engines:create' of package 'foreign'.* is ignored"):
        assert engine_names() == [*BUILTIN_ENGINES, "foreign"]
    assert create_engine(name, network, "cpu").name == ("pytorch" if name == "pytorch" else "cpu")


def test_an_engine_that_does_not_load_is_named(site: Path, network: CLIPoseNet) -> None:
    install(site, "broken = no_such_module:create", "empty = foreign_engines:no_such_name")
    for name, target in (("broken", "no_such_module:create"), ("empty", "foreign_engines:no_such_name")):
        with pytest.raises(ConfigError, match=f"'{name}' is registered as '{target}', which does not load"):
            create_engine(name, network, "cpu")


def test_an_unknown_engine_is_answered_with_those_there_are(site: Path, network: CLIPoseNet) -> None:
    install(site, "foreign = foreign_engines:create")
    with pytest.raises(ConfigError, match=r"auto, pytorch, cpu.*foreign.*got 'foriegn': did you mean 'foreign'\?"):
        create_engine("foriegn", network, "cpu")
    assert NetworkConfig(engine="foreign").engine == "foreign"


@pytest.mark.parametrize(("old", "new"), [("reference", "pytorch"), ("fused", "cpu")])
@pytest.mark.filterwarnings("ignore:'network.engine':FutureWarning")
def test_earlier_names_are_translated(old: str, new: str, network: CLIPoseNet) -> None:
    assert create_engine(old, network, "cpu").name == new


def test_threads_of_the_process_stay(network: CLIPoseNet) -> None:
    before = torch.get_num_threads()
    seen = []
    network.encoder.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    PytorchEngine(network, threads=before + 1).warm_up(128)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
