"""Substitute for the launch packages, which are not on PyPI: their documented constructors record their arguments."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"


class Recorded:
    """Keeps the arguments of its construction."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.arguments, self.named = arguments, named


class LaunchContext:
    """The launch configurations that hold."""

    def __init__(self, configurations: dict[str, str]) -> None:
        self.launch_configurations = configurations


class LaunchConfiguration(Recorded):
    """A substitution for the value of a launch argument."""

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.arguments[0]]


class LaunchDescription(Recorded):
    """A list of entities."""

    @property
    def entities(self) -> list[Any]:
        return list(self.arguments[0])


class DeclareLaunchArgument(Recorded):
    """A launch argument with its default."""


class OpaqueFunction(Recorded):
    """A function that gives more entities when they are launched."""


class LogInfo(Recorded):
    """A line of the log."""


class SetEnvironmentVariable(Recorded):
    """A variable for the processes started later."""


class Node(Recorded):
    """A process that runs a node. As documented, everything is given by name."""

    def __init__(self, *, executable: str, package: str, **named: Any) -> None:
        super().__init__(executable=executable, package=package, **named)


class ParameterValue(Recorded):
    """A parameter's value with its type."""

    def __init__(self, value: Any, *, value_type: type) -> None:
        super().__init__(value, value_type=value_type)


MODULES = {
    "launch": (LaunchContext, LaunchDescription),
    "launch.actions": (DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable),
    "launch.substitutions": (LaunchConfiguration,),
    "launch_ros": (),
    "launch_ros.actions": (Node,),
    "launch_ros.parameter_descriptions": (ParameterValue,),
}


class Launched:
    """What a launch file starts with given arguments."""

    def __init__(self, name: str, given: dict[str, str], undeclared: dict[str, str]) -> None:
        description = runpy.run_path(str(LAUNCH / name))["generate_launch_description"]()
        declared = [entity for entity in description.entities if isinstance(entity, DeclareLaunchArgument)]
        self.arguments = {entity.arguments[0]: entity.named for entity in declared}
        assert set(given) <= set(self.arguments)
        defaults = {name: named["default_value"] for name, named in self.arguments.items()}
        self.context = LaunchContext(defaults | given | undeclared)
        self.nodes = [entity for entity in description.entities if isinstance(entity, Node)]
        for entity in description.entities:
            if isinstance(entity, OpaqueFunction):
                self.nodes += entity.named["function"](self.context)

    def value(self, of: Any) -> Any:
        """What a substitution or typed parameter becomes."""
        if isinstance(of, ParameterValue):
            text = self.value(of.arguments[0])
            return text == "true" if of.named["value_type"] is bool else of.named["value_type"](text)
        return of.perform(self.context) if isinstance(of, LaunchConfiguration) else of


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch):
    """Runs a launch file against the stand-in: ``launched("pose.launch.py", model="x")``.

    ``undeclared`` holds arguments that the file does not declare: ``ros2 launch`` accepts them without a word.
    """
    for name, contents in MODULES.items():
        module = ModuleType(name)
        for item in contents:
            setattr(module, item.__name__, item)
        monkeypatch.setitem(sys.modules, name, module)
    return lambda name, undeclared=(), **given: Launched(name, given, dict(undeclared))
