"""The configuration tree as ROS parameters: typed, described, ranged, and checked by building the frozen tree anew."""

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
from clipose_ros.errors import ConfigError

_BACKEND = "segmentation.backend"
_INT64_MAX = 2**63 - 1
_OF_ROS_ITSELF = ("use_sim_time", "start_type_description_service", "qos_overrides.")


class NodeParameters:
    """The node's settings: ``config`` is always a checked, frozen tree, replaced as a whole when a parameter changes.

    Attributes:
        config: What holds now.
        unknown: What the user set but nobody knows, as sentences that name the nearest parameter there is.
    """

    def __init__(self, node: Node) -> None:
        """Declare every setting.

        Raises:
            ConfigError: A value given at the start has the wrong type or is out of range; the message names it.
        """
        # The backend is declared first: which settings exist besides the common ones depends on it.
        defaults = {field.path: field for field in config_fields(PoseNodeConfig())}
        backend = _declared(node, defaults[_BACKEND])
        chosen = PoseNodeConfig.from_mapping(nest({_BACKEND: backend}))
        self._leaves = {leaf.path: leaf for leaf in config_fields(chosen)}
        self._settled: Callable[[], bool] = lambda: False
        self._validate: Callable[[PoseNodeConfig], None] = lambda config: None
        # The public way to these, declaring all overrides at once, meets an empty list with a bare ValueError.
        given = [name for name in node._parameter_overrides if not name.startswith(_OF_ROS_ITSELF)]
        self.unknown = [
            unknown_key_message(name, list(self._leaves))
            for name in given
            if name not in self._leaves and not is_setting_of_other_segmenter(name, backend)
        ]
        others = [leaf for leaf in self._leaves.values() if leaf.path != _BACKEND]
        values = {_BACKEND: backend, **{leaf.path: _declared(node, leaf) for leaf in others}}
        self.config: PoseNodeConfig = PoseNodeConfig.from_mapping(nest(values))
        node.add_on_set_parameters_callback(self._on_set)

    def guard(self, settled: Callable[[], bool], validate: Callable[[PoseNodeConfig], None]) -> None:
        """Say when settings that are not live are fixed, and what must hold beyond the tree's own checks.

        Args:
            settled: Whether the node is configured by now.
            validate: Raises ``ConfigError`` where a tree does not fit what is loaded.
        """
        self._settled, self._validate = settled, validate

    def _on_set(self, parameters: Sequence[Parameter[Any]]) -> SetParametersResult:
        changes = {p.name: _from_ros(self._leaves[p.name], p.value) for p in parameters if p.name in self._leaves}
        current = {leaf.path: leaf.value for leaf in config_fields(self.config)}
        for name, value in changes.items():
            if self._settled() and not self._leaves[name].live and value != current[name]:
                reason = (
                    f"'{name}' cannot change while the node is configured: clean it up first, or set it at the start"
                )
                return SetParametersResult(successful=False, reason=reason)
        try:
            self._check_backend(changes.get(_BACKEND, current[_BACKEND]))
            config = PoseNodeConfig.from_mapping(nest(current | changes))
            self._validate(config)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
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


def _declared(node: Node, leaf: ConfigField) -> Any:
    """Declare one setting and give its value, the user's where there is one."""
    try:
        value = node.declare_parameter(leaf.path, _to_ros(leaf), describe(leaf)).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        raise ConfigError(
            f"parameter '{leaf.path}' ({leaf.doc.rstrip('.')}) was set to a value it cannot have: {error}"
        ) from error
    return _from_ros(leaf, value)


def describe(leaf: ConfigField) -> ParameterDescriptor:
    """The ROS descriptor of a setting: description, range, choices, whether it can change at run time."""
    descriptor = ParameterDescriptor(description=leaf.doc)
    notes = [] if leaf.choices is None else [f"One of {', '.join(leaf.choices)}."]
    notes.append("Can change at run time." if leaf.live else "Read when the node is configured.")
    descriptor.additional_constraints = " ".join(notes)
    if leaf.low is None and leaf.high is None:
        return descriptor
    if leaf.type is float:
        low, high = leaf.low, leaf.high
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-sys.float_info.max if low is None else float(low),
                to_value=sys.float_info.max if high is None else float(high),
            )
        ]
    elif leaf.type is int:
        descriptor.integer_range = [
            IntegerRange(
                from_value=-_INT64_MAX if leaf.low is None else int(leaf.low),
                to_value=_INT64_MAX if leaf.high is None else int(leaf.high),
            )
        ]
    return descriptor


def _to_ros(leaf: ConfigField) -> Any:
    """A default as ROS takes it; ROS cannot type an empty list, so no strings at all are one empty string."""
    return list(leaf.value) or [""] if _is_list(leaf) else leaf.value


def _from_ros(leaf: ConfigField, value: Any) -> Any:
    if _is_list(leaf):
        return tuple(item for item in value or () if item != "")
    return leaf.value if value is None else value


def _is_list(leaf: ConfigField) -> bool:
    return typing.get_origin(leaf.type) is tuple
