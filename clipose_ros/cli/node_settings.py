"""The pose node's settings for commands that run its pipeline without ROS."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.errors import ConfigError

_NODES = ("*", "**", "pose_node")
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides")


def node_config(options: argparse.Namespace) -> PoseNodeConfig:
    """What ``--params``, ``--segmenter``, ``--model``, ``--device`` and ``--engine`` say; true masks if nothing does.

    Raises:
        ConfigError: One of them is wrong.
    """
    config = read_parameters(options.params) if options.params else PoseNodeConfig()
    if options.segmenter or not options.params:
        config = with_segmenter(config, options.segmenter or "labels")
    network = replace(config.network, model=options.model, device=options.device, engine=options.engine)
    # single views are no film: there is nothing to carry masks along
    return replace(config, network=network, segmentation=replace(config.segmentation, every_n=1))


def read_parameters(path: Path) -> PoseNodeConfig:
    """Settings of a ROS parameter file, such as ``config/pose.yaml``; defaults hold for what it leaves out.

    Args:
        path: A YAML file. What it says of other nodes, and of ROS' own parameters, is passed over.

    Raises:
        ConfigError: It cannot be read, tells nothing of the pose node, or a setting is unknown or out of bounds.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"parameters '{path}' cannot be read: {error}") from error
    told = [
        content["ros__parameters"]
        for node, content in (document.items() if isinstance(document, Mapping) else ())
        if str(node).rpartition("/")[2] in _NODES and isinstance(content, Mapping) and "ros__parameters" in content
    ]
    if not told or not all(isinstance(parameters, Mapping) for parameters in told):
        raise ConfigError(
            f"parameters '{path}' tell nothing of the pose node: expected '/**:' or 'pose_node:', below it "
            "'ros__parameters:' and the settings, as in config/pose.yaml"
        )
    try:
        return PoseNodeConfig.from_mapping(nest(dict(pair for each in told for pair in _flat(each))))
    except ConfigError as error:
        raise ConfigError(f"parameters '{path}': {error}") from error


def with_segmenter(config: PoseNodeConfig, segmenter: str) -> PoseNodeConfig:
    """The settings with another segmenter.

    Args:
        config: The rest, thresholds and class map among it.
        segmenter: ``labels`` for the true masks, or ``yolo:WEIGHTS`` or ``mask_rcnn:WEIGHTS`` with a local file.

    Raises:
        ConfigError: It is none of these, or there is no such file.
    """
    backend, _, weights = segmenter.partition(":")
    known = backend in ("yolo", "mask_rcnn") and weights and Path(weights).expanduser().exists()
    if segmenter != "labels" and not known:
        raise ConfigError(
            f"--segmenter must be labels, or yolo:WEIGHTS or mask_rcnn:WEIGHTS with a local file, got '{segmenter}'. "
            "Nothing is downloaded automatically"
        )
    return replace(config, segmentation=replace(config.segmentation, backend=backend, model=weights))


def _flat(parameters: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values. One empty string stands for no strings at all, as ROS has it."""
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif name.partition(".")[0] not in _OF_ROS:
            yield name, [item for item in value if item != ""] if isinstance(value, list) else value
