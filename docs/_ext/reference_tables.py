"""Markdown tables of the reference pages, made from the code: parameters, recipes, command lines and the API.

``python docs/_ext/reference_tables.py NAME`` prints one. This module needs the package, but no Sphinx.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import itertools
import os
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from clipose_ros.config import ConfigField, ConfigNode, PoseNodeConfig, config_fields  # noqa: E402 - needs the path

COMMANDS = {
    "checkpoint": [[], ["average"], ["calibrate"]],
    "demo": [[]],
    "doctor": [[]],
    "generate": [[]],
    "hub": [[], ["download"], ["push"]],
    "train": [[]],
    "evaluate": [[]],
    "evaluate_cameras": [[]],
    "evaluate_grasps": [[]],
    "benchmark": [[]],
    "export": [[]],
    "make_segmenter": [[]],
    "process": [[]],
    "record_frames": [[]],
    "train_segmenter": [[], ["pictures"], ["classes"], ["propose"], ["train"], ["average"], ["evaluate"]],
    "view": [[]],
}
"""Commands, each with its subcommands."""

SETTING_HEAD = ("name", "type", "default", "values", "description")
PARAMETER_HEAD = ("parameter", "type", "default", "values", "at run time", "description")

ROOMS = {
    "types": ["types", "categories", "errors"],
    "config": ["config"],
    "geometry": None,
    "decoding": None,
    "segmentation": None,
    "inference": None,
    "tracking": None,
    "manipulation": None,
    "visualization": None,
    "model": None,
    "data": None,
    "evaluation": None,
    "training": None,
    "segmenter_training": None,
}
"""Rooms of the API reference; None for every module of the package of that name."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; bars inside cells are escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def settings_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose last column keeps a readable width on narrow screens."""
    return f"{{.settings}}\n{table(head, rows)}"


def type_name(field: ConfigField) -> str:
    """Return the type of a setting in ROS's words."""
    origin, arguments = typing.get_origin(field.type), typing.get_args(field.type)
    names = {str: "string", float: "double", int: "int", bool: "bool"}
    return f"{names.get(arguments[0], 'value')} list" if origin is tuple else names.get(field.type, "value")


def default_value(field: ConfigField) -> str:
    """Return the default of a setting as code; ``empty`` for an empty string or list."""
    if isinstance(field.value, tuple):
        text = ", ".join(str(item) for item in field.value)
    else:
        text = str(field.value).lower() if isinstance(field.value, bool) else str(field.value)
    return f"`{text}`" if text else "empty"


def allowed_values(field: ConfigField) -> str:
    """Return the bounds or the choices of a setting."""
    if field.choices:
        return ", ".join(f"`{choice}`" if choice else "empty" for choice in field.choices)
    if field.low is None and field.high is None:
        return ""
    if field.high is None:
        return f"{field.low:g} or more"
    return f"up to {field.high:g}" if field.low is None else f"{field.low:g} … {field.high:g}"


def setting_row(field: ConfigField) -> list[str]:
    """Return the cells of a setting below ``SETTING_HEAD``."""
    return [f"`{field.path}`", type_name(field), default_value(field), allowed_values(field), field.doc]


def parameter_row(field: ConfigField) -> list[str]:
    """Return the cells of a node parameter below ``PARAMETER_HEAD``."""
    *cells, description = setting_row(field)
    return [*cells, "yes" if field.live else "", description]


def sections(config: ConfigNode) -> dict[str, list[ConfigField]]:
    """Group the settings of a tree by their section; settings at the root come first, under an empty name."""
    groups: dict[str, list[ConfigField]] = {}
    for field in config_fields(config):
        groups.setdefault(field.path.rpartition(".")[0], []).append(field)
    return dict(sorted(groups.items(), key=lambda item: item[0] != ""))


def parameters() -> str:
    """Return the parameters of the pose node, a table per section."""
    return "\n\n".join(
        f"## {f'`{name}`' if name else 'Node'}\n\n{settings_table(PARAMETER_HEAD, map(parameter_row, fields))}"
        for name, fields in sections(PoseNodeConfig()).items()
    )


def tool_parameters() -> str:
    """Return the parameters of the synthetic camera and of the players."""
    from clipose_ros.ros_tools.bag_player import BagPlayerConfig
    from clipose_ros.ros_tools.rgbd_player import RgbdPlayerConfig
    from clipose_ros.ros_tools.synthetic_camera import SyntheticCameraConfig

    parts = []
    for name, config in (
        ("synthetic_camera", SyntheticCameraConfig()),
        ("rgbd_player", RgbdPlayerConfig()),
        ("bag_player", BagPlayerConfig()),
    ):
        parts.append(f"### `{name}`\n\n{settings_table(SETTING_HEAD, map(setting_row, config_fields(config)))}")
    return "\n\n".join(parts)


def grasp_parameters() -> str:
    """Return the parameters of the grasp node."""
    from clipose_ros.ros.grasp_config import GraspNodeConfig

    return settings_table(SETTING_HEAD, map(setting_row, config_fields(GraspNodeConfig())))


def collision_parameters() -> str:
    """Return the parameters of the node of collision objects."""
    from clipose_ros.ros.collision_config import CollisionNodeConfig

    return settings_table(SETTING_HEAD, map(setting_row, config_fields(CollisionNodeConfig())))


def merge_parameters() -> str:
    """Return the parameters of the node that merges cameras."""
    from clipose_ros.ros.merge_config import MergeNodeConfig

    return settings_table(SETTING_HEAD, map(setting_row, config_fields(MergeNodeConfig())))


def grasp_rules() -> str:
    """Return the keys of ``config/grasps.yaml``: those of the gripper, and those of a category."""
    from clipose_ros.manipulation.grasp_rules import GraspRule
    from clipose_ros.manipulation.gripper import GripperConfig

    tables = (
        settings_table(SETTING_HEAD, map(setting_row, config_fields(section, prefix)))
        for section, prefix in ((GripperConfig(), "gripper."), (GraspRule(), "categories.NAME."))
    )
    return "\n\n".join(tables)


def launch_arguments() -> str:
    """Return the arguments of ``pose.launch.py``, read from its source: the launch system need not be installed."""
    tree = ast.parse((ROOT / "launch" / "pose.launch.py").read_text(encoding="utf-8"))
    tables = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    rows = [
        ["`namespace`", "empty", "Namespace of the node and of its relative topics."],
        ["`params_file`", "`config/pose.yaml`", "Parameters of the node."],
        ["`shipped_detector`", "`false`", "`true` puts `config/detector.yaml` on top of the parameters file."],
    ]
    for name, (topic, text) in ast.literal_eval(tables["TOPICS"]).items():
        rows.append([f"`{name}`", f"`{topic}`", text])
    settings = tables["SETTINGS"]
    assert isinstance(settings, ast.Dict)
    for key, value in zip(settings.keys, settings.values, strict=True):
        parameter, text = (ast.literal_eval(value.elts[place]) for place in (0, 2))
        rows.append([f"`{ast.literal_eval(key)}`", "as in the file", f"`{parameter}`: {text}"])
    for name, (value, text) in (ast.literal_eval(tables["GRASPS"]) | ast.literal_eval(tables["COLLISIONS"])).items():
        rows.append([f"`{name}`", f"`{value}`" if value else "empty", text])
    return table(("argument", "default", "description"), rows)


def help_text(command: str, arguments: Sequence[str]) -> str:
    """Return what a command prints for ``--help``."""
    module = importlib.import_module(f"clipose_ros.cli.{command}")
    out = io.StringIO()
    columns = mock.patch.dict(os.environ, {"COLUMNS": "86"})
    with columns, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        module.main([*arguments, "--help"])
    return out.getvalue().strip()


def command_lines() -> str:
    """Return the help texts of all commands."""
    parts = []
    for command, subcommands in COMMANDS.items():
        installed = f"clipose-{command.replace('_', '-')}"
        parts.append(
            f"## `{command}`\n\n"
            f"`ros2 run clipose_ros {command}`, `{installed}` or `python -m clipose_ros.cli.{command}`"
        )
        for arguments in subcommands:
            if arguments:
                parts.append(f"### `{command} {' '.join(arguments)}`")
            parts.append(f"```text\n{help_text(command, arguments)}\n```")
    return "\n\n".join(parts)


def recipes() -> str:
    """Return the shipped recipes with the comments at their beginning."""
    rows = []
    for path in sorted((ROOT / "config" / "recipes").glob("*.yaml")):
        comments = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        rows.append([f"`{path.stem}`", " ".join(line.removeprefix("#").strip() for line in comments)])
    return table(("recipe", "content"), rows)


def recipe_keys() -> str:
    """Return the settings of a recipe, a table per section."""
    from clipose_ros.training.config import TrainConfig

    return "\n\n".join(
        f"### {f'`{name}`' if name else 'Run'}\n\n{settings_table(SETTING_HEAD, map(setting_row, fields))}"
        for name, fields in sections(TrainConfig()).items()
    )


def segmenter_recipe_keys() -> str:
    """Return the settings of a recipe of ``train_segmenter``."""
    from clipose_ros.segmenter_training.trainer import SegmenterTrainConfig

    return settings_table(SETTING_HEAD, map(setting_row, config_fields(SegmenterTrainConfig())))


def architectures() -> str:
    """Return the presets of the network."""
    from clipose_ros.model.network import PRESETS

    names = ("widths", "neighbours", "head_widths", "points", "head_points", "unit_m", "dropout", "one_hot")
    rows = []
    for name, preset in PRESETS.items():
        values = (getattr(preset, each) for each in names)
        rows.append([f"`{name}`", *(", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in values)])
    return table(("preset", *(f"`{name}`" for name in names)), rows)


def rejection_reasons() -> str:
    """Return the reasons for which an object gets no pose."""
    from clipose_ros.types import RejectionReason

    return table(
        ("key in the diagnostics", "meaning"),
        ([f"`rejections.{reason.name.lower()}`", reason.value] for reason in RejectionReason),
    )


def earlier_names() -> str:
    """Return the settings that have been renamed."""
    from clipose_ros import config_aliases

    rows = [[f"`{old}`", f"`{new}`"] for old, new in sorted(config_aliases.RENAMED_SETTINGS.items())]
    return table(("earlier name", "present name"), rows)


def api_modules(room: str) -> list[str]:
    """Return the dotted names of the modules of a room."""
    listed = ROOMS[room]
    if listed is not None:
        return [f"clipose_ros.{name}" for name in listed]
    folder = ROOT / "clipose_ros" / room
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not any(part.startswith("_") and part != "__init__" for part in parts):
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return sorted(names, key=lambda name: (name.count(".") > 2, name))  # subpackages last


def api(room: str) -> str:
    """Return the autodoc directives of a room."""
    return "\n\n".join(
        f"## `{name.removeprefix('clipose_ros.')}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```"
        for name in api_modules(room)
    )


TABLES: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        parameters,
        tool_parameters,
        grasp_parameters,
        grasp_rules,
        collision_parameters,
        merge_parameters,
        launch_arguments,
        command_lines,
        recipes,
        recipe_keys,
        segmenter_recipe_keys,
        architectures,
        rejection_reasons,
        earlier_names,
        api,
    )
}
"""Generators by the name that a page's mark gives, ``<!-- generated: NAME ARGUMENTS -->``."""


if __name__ == "__main__":
    print(TABLES[sys.argv[1]](*sys.argv[2:]))
