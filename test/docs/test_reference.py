"""The reference pages have every parameter, topic, service and diagnostic of the node."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from clipose_ros.config import PoseNodeConfig, config_fields
from clipose_ros.types import RejectionReason

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
ROS = ROOT / "clipose_ros" / "ros"


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """Return the module that generates tables."""
    spec = importlib.util.spec_from_file_location("reference_tables", ROOT / "docs" / "_ext" / "reference_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def created(module: str, function: str) -> list[tuple[str, str]]:
    """Return type and name in each call of a function that creates a publisher or a service."""
    tree = ast.parse((ROS / module).read_text(encoding="utf-8"))
    return [
        (node.args[0].id, node.args[1].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == function
        and isinstance(node.args[0], ast.Name) and isinstance(node.args[1], ast.Constant)
    ]  # fmt: skip


def test_reference_page_has_every_parameter(tables: ModuleType) -> None:
    rows = tables.parameters().splitlines()
    for field in config_fields(PoseNodeConfig()):
        row = next(line for line in rows if line.startswith(f"| `{field.path}` |"))
        assert row.endswith(f"| {'yes' if field.live else ''} | {field.doc} |".replace("|  |", "|  |"))
    assert sum(row.startswith("| `") for row in rows) == len(config_fields(PoseNodeConfig()))
    assert "<!-- generated: parameters -->" in (REFERENCE / "parameters.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "function"),
    [("publishers.py", "create_lifecycle_publisher"), ("services.py", "create_service")],
)
def test_topics_page_has_every_publisher_and_service(module: str, function: str) -> None:
    page = (REFERENCE / "topics.md").read_text(encoding="utf-8")
    found = created(module, function)
    assert found
    for kind, name in found:
        assert re.search(rf"^\| `{re.escape(name)}` \| \w+/{kind} \|", page, re.MULTILINE), name


def test_topics_page_has_every_input() -> None:
    page = (REFERENCE / "topics.md").read_text(encoding="utf-8")
    source = (ROS.parent / "decoding" / "messages.py").read_text(encoding="utf-8")
    names = re.findall(
        r'"([^"]+)"', re.search(r"^INPUT_TOPICS = Topics\((.*?)\)$", source, re.MULTILINE | re.DOTALL)[1]
    )
    assert len(names) == 5
    assert all(re.search(rf"^\| `{name}` \| (sensor|vision)_msgs/", page, re.MULTILINE) for name in names)


def test_diagnostics_page_has_every_kind_of_problem() -> None:
    page = (REFERENCE / "diagnostics.md").read_text(encoding="utf-8")
    sources = "\n".join(path.read_text(encoding="utf-8") for path in ROS.glob("*.py"))
    kinds = set(re.findall(r"\.(?:warning|error)\(\s*\"(\w+)\"", sources))
    assert {"time_jump", "stamp", "configure"} <= kinds
    assert not {kind for kind in kinds if f"`problem.{kind}`" not in page}


def test_rejection_reasons_are_listed(tables: ModuleType) -> None:
    text = tables.rejection_reasons()
    assert all(f"`rejections.{reason.name.lower()}` | {reason.value} |" in text for reason in RejectionReason)


def test_recipes_and_launch_arguments_are_listed(tables: ModuleType) -> None:
    recipes = {path.stem for path in (ROOT / "config" / "recipes").glob("*.yaml")}
    assert set(re.findall(r"^\| `(\w+)`", tables.recipes(), re.MULTILINE)) == recipes
    launch = (ROOT / "launch" / "pose.launch.py").read_text(encoding="utf-8")
    for name in re.findall(r"^\| `(\w+)`", tables.launch_arguments(), re.MULTILINE):
        assert f'"{name}"' in launch
