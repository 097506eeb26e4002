"""Shipped files: search in checkouts, installations and workspaces, and error messages."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.resources import config_path, model_path, share_folders

SOURCE = Path(__file__).resolve().parents[1] / "clipose_ros"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Return the share folder of a sourced workspace with a model and a configuration."""
    share = tmp_path / "share" / "clipose_ros"
    for name in ("models/unit_test.safetensors", "config/deep/unit_test.yaml"):
        path = share / name
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path}")
    return share


def test_checkout_is_searched_first():
    assert share_folders()[0] == SOURCE.parent


def test_sourced_workspace_is_searched(workspace):
    assert model_path("unit_test") == workspace / "models" / "unit_test.safetensors"
    assert config_path("deep/unit_test.yaml") == workspace / "config" / "deep" / "unit_test.yaml"


def test_model_is_found_by_its_suffix(workspace):
    (workspace / "models" / "unit_test.pt").touch()
    assert model_path("unit_test", ".pt") == workspace / "models" / "unit_test.pt"
    with pytest.raises(CheckpointError, match=r"path of a \.pt file.*unit_test"):
        model_path("unit_tset", ".pt")


@pytest.mark.parametrize("given", ["/somewhere/model.safetensors", "relative/model.safetensors"])
def test_path_is_returned_unchanged(given):
    assert model_path(given) == Path(given)


def test_home_is_expanded():
    assert model_path("~/model.safetensors") == Path.home() / "model.safetensors"


def test_unknown_model_raises_with_the_shipped_names(workspace):
    with pytest.raises(CheckpointError, match=r"unit_test.*got 'clipose_smal'.*searched .*models"):
        model_path("clipose_smal")


def test_unknown_configuration_raises_with_the_shipped_names(workspace):
    with pytest.raises(ConfigError, match=r"deep/unit_test\.yaml.*got 'pse\.yaml'"):
        config_path("pse.yaml")


def test_installed_package_finds_its_share_folder(tmp_path):
    packages = tmp_path / "lib" / "python3" / "site-packages"
    shutil.copytree(SOURCE, packages / "clipose_ros", ignore=shutil.ignore_patterns("__pycache__"))
    model = tmp_path / "share" / "clipose_ros" / "models" / "unit_test.safetensors"
    model.parent.mkdir(parents=True)
    model.touch()
    program = "from clipose_ros.resources import model_path; print(model_path('unit_test'))"
    environment = {"PYTHONPATH": str(packages), "AMENT_PREFIX_PATH": ""}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).samefile(model)
