"""Packaging: declared dependencies, entry points, and files installed by colcon and pip."""

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

ROOT = Path(__file__).resolve().parents[1]
SHARED = [
    path.relative_to(ROOT)
    for folder in ("config", "launch", "models")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
]
ROS_PACKAGE = re.compile(
    r"rclpy|launch|launch_ros|cv_bridge|message_filters|tf2_ros|tf_transformations|\w+_(msgs|srvs|interfaces)"
)


def setup_arguments(monkeypatch, command):
    """Return the arguments that setup.py passes to setuptools for a command."""
    given = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: given.update(arguments))
    monkeypatch.setattr(sys, "argv", ["setup.py", command])
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"), run_name="__main__")
    return given


def console_scripts(monkeypatch, command):
    """Return the entry points by executable name."""
    scripts = setup_arguments(monkeypatch, command)["entry_points"]["console_scripts"]
    return dict(each.split(" = ") for each in scripts)


def imported_packages():
    """Return the top-level names that the package and its launch files import."""
    names = set()
    for path in [*(ROOT / "clipose_ros").rglob("*.py"), *(ROOT / "launch").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


def test_imported_ros_packages_are_declared():
    declared = {dependency.name for dependency in parse_package(str(ROOT)).exec_depends}
    used = {name for name in imported_packages() if ROS_PACKAGE.fullmatch(name)}
    assert used <= declared
    assert "tf2_ros_py" in declared  # where the Python module tf2_ros lies; the package tf2_ros is the C++ one


def test_package_xml_has_no_build_tool_dependency():
    package = parse_package(str(ROOT))
    assert not package.buildtool_depends  # ament_python is a build type, and no key of rosdep


def test_package_xml_is_valid_and_agrees_with_setup(monkeypatch):
    package = parse_package(str(ROOT), warnings=(warnings := []))
    package.validate()
    assert not warnings
    assert package.get_build_type() == "ament_python"
    arguments = setup_arguments(monkeypatch, "install")
    assert (package.name, package.version) == (arguments["name"], arguments["version"])
    assert arguments["license"] in package.licenses


def test_pip_executables_have_the_package_prefix(monkeypatch):
    on_path, for_colcon = console_scripts(monkeypatch, "bdist_wheel"), console_scripts(monkeypatch, "install")
    assert on_path and all(name.startswith("clipose-") for name in on_path)
    assert set(on_path.values()) == set(for_colcon.values())


def test_entry_points_exist(monkeypatch):
    for target in console_scripts(monkeypatch, "install").values():
        module, function = target.split(":")
        tree = ast.parse((ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, target


def test_colcon_test_runs_pytest(monkeypatch):
    """colcon-core looks for pytest in the extra ``test``; otherwise it runs unittest, which finds nothing here."""
    assert "pytest" in setup_arguments(monkeypatch, "install")["extras_require"]["test"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the install folder of a colcon workspace that contains this checkout."""
    workspace = tmp_path_factory.mktemp("workspace")
    (workspace / "src").mkdir()
    (workspace / "src" / "clipose_ros").symlink_to(ROOT, target_is_directory=True)
    colcon = shutil.which("colcon", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert colcon, "expected colcon (environment/requirements-dev.txt)"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "AMENT_PREFIX_PATH")}
    captured = {"cwd": workspace, "env": environment, "capture_output": True, "text": True}
    listed = subprocess.run([colcon, "list", "--names-only"], **captured, check=True)
    assert listed.stdout.split() == ["clipose_ros"]  # and none of the underlay's
    built = subprocess.run(
        [colcon, "build"], cwd=workspace, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return workspace / "install" / "clipose_ros"


def test_colcon_installs_every_shared_file(installed):
    share = installed / "share" / "clipose_ros"
    missing = [path for path in SHARED if not (share / path).is_file()]
    assert not missing
    assert (share / "package.xml").is_file()
    assert (installed / "share" / "ament_index" / "resource_index" / "packages" / "clipose_ros").is_file()


def test_colcon_installs_executables_for_ros2_run(installed, monkeypatch):
    names = {
        each.split(" = ")[0] for each in setup_arguments(monkeypatch, "install")["entry_points"]["console_scripts"]
    }
    folder = installed / "lib" / "clipose_ros"
    assert {path.name for path in folder.iterdir()} == names
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())


def test_colcon_installs_every_module(installed):
    packages = next(installed.glob("lib/python*/site-packages"))
    sources = {path.relative_to(ROOT) for path in (ROOT / "clipose_ros").rglob("*.py")}
    assert {path.relative_to(packages) for path in (packages / "clipose_ros").rglob("*.py")} == sources
    assert (packages / "clipose_ros" / "py.typed").is_file()
