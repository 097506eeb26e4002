"""ROS parameters of the configuration tree: typed, described, with ranges, validated by rebuilding the frozen tree."""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from clipose_ros.config import (
    ConfigField,
    PoseNodeConfig,
    config_fields,
    is_setting_of_other_segmenter,
    nest,
    segmenter_names,
    segmenter_settings_type,
    unknown_key_message,
    unknown_segmenter_message,
)
from clipose_ros.config_aliases import find_new_name, find_new_value
from clipose_ros.errors import ConfigError, one_line
from clipose_ros.ros.rclpy_compat import get_parameter_overrides, set_parameter_override

_BACKEND = "segmentation.backend"
_INT64_MAX = 2**63 - 1
_RCLPY_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
"""Parameters that rclpy declares itself: names, and prefixes that end with a dot."""


class NodeParameters:
    """Declares the settings of the node as parameters and keeps them as one validated, frozen tree.

    Attributes:
        config: Current settings; replaced as a whole when a parameter changes.
        warnings: Sentences about start values under unknown or earlier names; each names the parameter to set instead.
    """

    def __init__(self, node: Node) -> None:
        """Declare every setting.

        Args:
            node: Node that gets the parameters.

        Raises:
            ConfigError: A start value has the wrong type or is out of range; the message names the parameter.
        """
        # The backend is declared first: which settings exist besides the common ones depends on it.
        defaults = {field.path: field for field in config_fields(PoseNodeConfig())}
        backend = _declare_parameter(node, defaults[_BACKEND])
        self._fields = {
            field.path: field for field in config_fields(PoseNodeConfig.from_mapping(nest({_BACKEND: backend})))
        }
        # Placeholders until ``restrict``: the model that restricts the settings is loaded later.
        self._is_configured: Callable[[], bool] = lambda: False
        self._validate: Callable[[PoseNodeConfig], None] = lambda config: None
        # Before the other declarations, which read the start values.
        self.warnings = _resolve_overrides(node, self._fields, backend)
        others = [field for field in self._fields.values() if field.path != _BACKEND]
        values = {_BACKEND: backend, **{field.path: _declare_parameter(node, field) for field in others}}
        self.config: PoseNodeConfig = PoseNodeConfig.from_mapping(nest(values))
        node.add_on_set_parameters_callback(self._on_set)

    def restrict(self, is_configured: Callable[[], bool], validate: Callable[[PoseNodeConfig], None]) -> None:
        """Restrict later changes of parameters.

        Args:
            is_configured: Returns whether the node is configured; only live settings can change then.
            validate: Raises ``ConfigError`` if a tree does not fit the loaded model.
        """
        self._is_configured, self._validate = is_configured, validate

    def _on_set(self, parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        """Accept changes of parameters if the resulting tree is valid; all changes apply together or none."""
        # Parameters that rclpy declares itself, such as use_sim_time, also arrive here and are not settings.
        changes = {p.name: from_ros(self._fields[p.name], p.value) for p in parameters if p.name in self._fields}
        current = {field.path: field.value for field in config_fields(self.config)}
        for name, value in changes.items():
            if self._is_configured() and not self._fields[name].live and value != current[name]:
                reason = (
                    f"'{name}' cannot change while the node is configured: clean it up first, or set it at the start"
                )
                return SetParametersResult(successful=False, reason=reason)
        # The immutable tree is rebuilt as a whole: rules between settings (minimum below maximum) see all changes of a
        # request at once, and a frame in progress keeps the tree that it began with.
        try:
            self._check_backend(changes.get(_BACKEND, current[_BACKEND]))
            config = PoseNodeConfig.from_mapping(nest(current | changes))
            self._validate(config)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=one_line(str(error)))
        self.config = config
        return SetParametersResult(successful=True)

    def _check_backend(self, backend: str) -> None:
        """Refuse a backend that does not exist, or whose own settings are not the ones declared at the start."""
        declared = self.config.segmentation.backend
        if backend != declared and backend not in segmenter_names():
            raise ConfigError(unknown_segmenter_message(backend))
        if backend != declared and segmenter_settings_type(backend) is not segmenter_settings_type(declared):
            raise ConfigError(
                f"'{_BACKEND}' cannot change from '{declared}' to '{backend}' at run time, since their parameters "
                "differ: set it at the start"
            )


def _resolve_overrides(node: Node, fields: dict[str, ConfigField], backend: str) -> list[str]:
    """Move start values given under earlier names to the present names.

    A value under the present name takes precedence over one under an earlier name.

    Returns:
        One sentence for each start value under an earlier or unknown name, and for each renamed value.
    """
    # rclpy ignores start values of parameters that are never declared, so misspelt names would go unnoticed.
    overrides = get_parameter_overrides(node)
    warnings = []
    for name, value in overrides.items():
        if name in fields or name.startswith(_RCLPY_PARAMETERS) or is_setting_of_other_segmenter(name, backend):
            continue
        new = find_new_name(name)
        if new not in fields:
            warnings.append(f"{unknown_key_message(name, list(fields))} (ignored)")
        elif new in overrides:
            warnings.append(f"parameter '{name}' is now called '{new}', which is set, too: '{name}' is ignored")
        else:
            warnings.append(f"parameter '{name}' is now called '{new}': set '{new}'")
            set_parameter_override(node, new, value)
    # Read again: the loop above may have added start values under present names.
    for name, value in get_parameter_overrides(node).items():
        new_value = find_new_value(name, value)
        if new_value is not None:
            warnings.append(f"parameter '{name}': the value '{value}' is now called '{new_value}': set '{new_value}'")
            set_parameter_override(node, name, new_value)
    return warnings


def _declare_parameter(node: Node, field: ConfigField) -> Any:
    """Declare a setting and return its value: the start value if there is one, otherwise the default."""
    try:
        value = node.declare_parameter(field.path, to_ros(field), describe(field)).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ConfigError(
            f"parameter '{field.path}' ({field.doc.rstrip('.')}) was set to an invalid value: {error}"
        ) from error
    return from_ros(field, value)


def describe(field: ConfigField) -> ParameterDescriptor:
    """Make the ROS descriptor of a setting: description, range, choices, whether it can change at run time."""
    descriptor = ParameterDescriptor(description=field.doc)
    notes = [] if field.choices is None else [f"One of {', '.join(field.choices)}."]
    notes.append("Can change at run time." if field.live else "Read when the node is configured.")
    descriptor.additional_constraints = " ".join(notes)
    if field.low is None and field.high is None:
        return descriptor
    # ROS ranges have two ends, so an open end becomes the largest value of its type.
    if field.type is float:
        low, high = field.low, field.high
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-sys.float_info.max if low is None else float(low),
                to_value=sys.float_info.max if high is None else float(high),
            )
        ]
    elif field.type is int:
        descriptor.integer_range = [
            IntegerRange(
                from_value=-_INT64_MAX if field.low is None else int(field.low),
                to_value=_INT64_MAX if field.high is None else int(field.high),
            )
        ]
    return descriptor


def to_ros(field: ConfigField) -> Any:
    """Convert a default to a ROS value: an empty list, whose type ROS cannot infer, becomes one empty string."""
    return list(field.value) or [""] if _is_list(field) else field.value


def from_ros(field: ConfigField, value: Any) -> Any:
    """Convert a ROS value to a value of the tree: empty strings in lists are dropped, renamed values are replaced."""
    if _is_list(field):
        return tuple(item for item in value or () if item != "")
    if value is None:
        return field.value
    return find_new_value(field.path, value) or value


def _is_list(field: ConfigField) -> bool:
    """Return True if the setting is a list of strings, which is a tuple in the tree."""
    return typing.get_origin(field.type) is tuple
