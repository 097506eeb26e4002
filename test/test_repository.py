"""Workflows, hooks, issue forms and citation agree with the Makefile, the constraints and the package."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from catkin_pkg.changelog import get_changelog_from_path
from catkin_pkg.package import parse_package

import clipose_ros

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
MAKE = re.compile(r"make ([a-z-]+)( [A-Z_]+=\S+( \S+ \}\})?)*")
PINNED_ACTION = re.compile(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+")
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def read(*parts: str) -> str:
    """Return the text of a file of this repository."""
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def workflow_steps(path: Path) -> list[dict[str, Any]]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values() for step in job["steps"]]


def constraint(package: str) -> str:
    """Return the version of a package in environment/constraints.txt."""
    return re.search(rf"^{re.escape(package)}==(\S+)$", read("environment", "constraints.txt"), re.MULTILINE)[1]


def pytest_options() -> dict[str, Any]:
    """Return the settings of pytest in pyproject.toml."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    return tomllib.loads(read("pyproject.toml"))["tool"]["pytest"]["ini_options"]


def test_versions_are_equal() -> None:
    version = clipose_ros.__version__
    assert parse_package(str(ROOT)).version == version
    assert f'version="{version}"' in read("setup.py")
    assert yaml.safe_load(read("CITATION.cff"))["version"] == version


def test_model_cards_state_the_hashes_of_the_files() -> None:
    folder = ROOT / "models"
    rows = re.findall(r"`(\S+)`, [\d.]+ MB, SHA-256 `(\w{64})`", "".join(map(Path.read_text, folder.glob("*.md"))))
    files = [path for path in folder.rglob("*.*") if path.suffix not in (".md", ".LICENSE", ".yaml")]
    assert dict(rows) == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert len(rows) == len(files) == 4


def test_changelog_can_be_released() -> None:
    """catkin's tools read it (REP-132), and the present version comes first."""
    changelog = get_changelog_from_path(str(ROOT), "clipose_ros")
    versions = [version for version, _, _ in changelog.foreach_version(reverse=True)]
    assert versions == ["0.2.0", "0.1.0"]
    assert versions[0] == clipose_ros.__version__


def test_workflows_and_issue_forms_exist() -> None:
    assert {path.stem for path in WORKFLOWS} == {"ci", "ros", "docs"}
    assert {path.stem for path in FORMS} == {"bug", "feature", "question"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_only_call_make(path: Path) -> None:
    for step in workflow_steps(path):
        if "uses" in step:
            assert PINNED_ACTION.fullmatch(step["uses"]), step
        else:
            match = MAKE.fullmatch(step["run"])
            assert match and match[1] in TARGETS, step


def test_workflows_use_the_pythons_of_the_environment_script() -> None:
    job = yaml.safe_load(read(".github", "workflows", "ci.yml"))["jobs"]["test"]
    supported = runpy.run_path(str(ROOT / "environment" / "make_env.py"))["WHEEL_PYTHONS"]
    assert job["strategy"]["matrix"]["python"] == sorted(supported)


def test_workflow_distributions_are_options_of_the_bug_form() -> None:
    job = yaml.safe_load(read(".github", "workflows", "ros.yml"))["jobs"]["colcon"]
    form = yaml.safe_load(read(".github", "ISSUE_TEMPLATE", "bug.yml"))
    options = next(field for field in form["body"] if field.get("id") == "installation")["attributes"]["options"]
    assert all(f"ROS 2 {name.capitalize()}" in options for name in job["strategy"]["matrix"]["distribution"])
    assert job["continue-on-error"] is True


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_complete(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert any(field.get("validations", {}).get("required") for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_hooks_use_the_versions_of_the_environment() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    pins = [pin for hook in repository["hooks"] for pin in hook.get("additional_dependencies", [])]
    assert pins
    for pin in pins:
        package, version = pin.split("==")
        assert version == constraint(package)


def test_hooks_run_what_lint_runs() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    lint = read("Makefile").split("\nlint:", 1)[1].split("\n\n", 1)[0]
    for hook in repository["hooks"]:
        if hook["language"] == "python":
            command = hook["entry"].removesuffix(" --force-exclude")
            assert f"-m {command} ." in lint
        else:
            assert hook["entry"] == "make lint"


def test_slow_tests_are_excluded_by_default() -> None:
    options = pytest_options()
    assert "-m 'not slow'" in options["addopts"]
    assert any(marker.startswith("slow:") for marker in options["markers"])
    recipe = read("Makefile").split("\ntest-slow:", 1)[1].split("\n\n", 1)[0]
    assert "-m pytest -m slow" in recipe


def test_ci_runs_existing_make_targets() -> None:
    called = re.findall(r"^make ([a-z-]+)$", read(".ci", "run"), re.MULTILINE)
    assert called == ["lint", "test", "docs", "test-slow"]
    assert set(called) <= TARGETS


@pytest.mark.parametrize("script", ["run", "ros"])
def test_ci_scripts_are_valid_bash(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / script)], check=True)


def test_ros_script_without_a_distribution_exits_with_a_message() -> None:
    """Without a distribution it ends with a message before it installs or builds anything."""
    done = subprocess.run(
        [str(ROOT / ".ci" / "ros"), "build", ".venv"],
        env={"PATH": "/usr/bin:/bin", "ROS_DISTRO": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "expected a sourced ROS 2 distribution" in done.stderr and "'none'" in done.stderr


def test_pytest_disables_incompatible_ros_plugins() -> None:
    """launch_testing's plugin declares hook arguments that pytest 9 refuses."""
    options = pytest_options()["addopts"]
    assert "-p no:launch_testing" in options and "-p no:launch_ros" in options


def test_containers_use_the_image_targets() -> None:
    """Image targets named by the compose file and the dev containers exist, and the page on containers names them."""
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", read("Dockerfile"), re.MULTILINE))
    services = yaml.safe_load(read("compose.yaml"))["services"]
    used = {service["build"]["target"] for service in services.values()}
    for path in sorted((ROOT / ".devcontainer").glob("*/devcontainer.json")):
        build = json.loads(path.read_text(encoding="utf-8"))["build"]
        used.add(build["target"])
        assert (path.parent / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
        assert (path.parent / build["context"]).resolve() == ROOT
    assert used == {"base", "cpu", "cuda"} and used <= targets
    page = read("docs", "how-to", "containers.md")
    assert all(f"--target {target} " in page for target in ("cpu", "cuda"))


def test_image_has_a_supported_python() -> None:
    supported = runpy.run_path(str(ROOT / "environment" / "make_env.py"))["WHEEL_PYTHONS"]
    assert re.search(r"^ARG PYTHON_VERSION=(\S+)$", read("Dockerfile"), re.MULTILINE)[1] in supported


def test_the_placeholder_maintainer_is_flagged() -> None:
    (maintainer,) = parse_package(str(ROOT)).maintainers
    if maintainer.email.endswith("@example.org"):
        assert maintainer.email in read("CONTRIBUTING.md") and "Placeholder" in read("package.xml")


def test_contributing_names_the_targets_and_what_was_not_run() -> None:
    text = read("CONTRIBUTING.md")
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= TARGETS
    not_run = text.split("## Not run so far", 1)[1]
    for path in ("workflows/ci.yml", "docs.yml", "workflows/ros.yml", "Dockerfile", "compose.yaml", ".devcontainer/"):
        assert path in not_run
