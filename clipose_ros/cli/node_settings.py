"""The pose node's settings as commands say them: a ROS parameter file, a segmenter, a model."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from clipose_ros.config import NetworkConfig, PoseNodeConfig, nest
from clipose_ros.errors import ConfigError
from clipose_ros.resources import config_path

SEGMENTERS = "shipped (the package's detector), labels (true masks), or a local file: yolo:FILE or mask_rcnn:FILE"
"""What ``segmenter_settings`` understands, for a command's help."""
NETWORK_OPTIONS = ("model", "device", "engine")
TTA_OPTIONS = ("max_passes", "disagreement_deg")
"""Options that are settings of the network too: ``network.*`` and ``network.tta.*``."""
_NODES = ("*", "**", "pose_node")
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides")


def node_config(options: argparse.Namespace) -> PoseNodeConfig:
    """What ``--params`` says, but for what other options do; true masks where neither chooses a segmenter.

    Raises:
        ConfigError: One of them is wrong.
    """
    settings = read_parameters(options.params) if options.params else {}
    if options.segmenter or not options.params:
        settings |= segmenter_settings(options.segmenter or "labels")
    config = PoseNodeConfig.from_mapping(nest(settings))
    # single views are no film: there is nothing to carry masks along
    segmentation = replace(config.segmentation, every_n=1)
    return replace(config, network=network_config(options, config.network), segmentation=segmentation)


def network_config(options: argparse.Namespace, told: NetworkConfig | None = None) -> NetworkConfig:
    """Read ``--model``, ``--device``, ``--engine``, ``--max-passes`` and ``--disagreement-deg``, as far as given.

    Args:
        options: Of the command; None stands for an option that was left out.
        told: What holds for those; the defaults of the settings if left out.
    """
    base = told or NetworkConfig()
    network, tta = (
        {name: value for name in names if (value := getattr(options, name)) is not None}
        for names in (NETWORK_OPTIONS, TTA_OPTIONS)
    )
    return replace(base, **network, tta=replace(base.tta, **tta))


def segmenter_settings(which: str) -> dict[str, Any]:
    """The settings that choose a segmenter; they hold against others, and what they leave out stays.

    Args:
        which: ``shipped`` for the detector that comes with the package, with all its settings; ``labels`` for a
            camera's label images; ``yolo:WEIGHTS`` or ``mask_rcnn:WEIGHTS`` with a local file.

    Returns:
        Value by dotted name, such as ``segmentation.backend``.

    Raises:
        ConfigError: It is none of these, there is no such file, or the library that runs it is not installed.
    """
    backend, _, weights = which.partition(":")
    if which == "labels":
        return {"segmentation.backend": "labels", "segmentation.model": ""}
    path = Path(weights).expanduser()
    if which == "shipped":
        settings = read_parameters(config_path("detector.yaml"))
    elif backend in ("yolo", "mask_rcnn") and weights and path.exists():
        settings = {"segmentation.backend": backend, "segmentation.model": str(path.resolve())}
    else:
        raise ConfigError(
            "--segmenter must be shipped, labels, or yolo:WEIGHTS or mask_rcnn:WEIGHTS with a local file, got "
            f"'{which}'. Nothing is downloaded automatically"
        )
    if settings["segmentation.backend"] == "yolo" and importlib.util.find_spec("ultralytics") is None:
        raise ConfigError(
            f"--segmenter {which} runs through ultralytics (AGPL-3.0), which is not installed: pip install "
            "ultralytics, or give --segmenter labels where images come with labels, as simulated ones do"
        )
    return settings


def read_parameters(path: Path) -> dict[str, Any]:
    """Settings of a ROS parameter file, such as ``config/pose.yaml``.

    Args:
        path: A YAML file. What it says of other nodes, and of ROS' own parameters, is passed over.

    Returns:
        Value by dotted name; ``PoseNodeConfig`` takes them, defaults hold for the rest.

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
    settings = dict(pair for each in told for pair in _flat(each))
    try:
        PoseNodeConfig.from_mapping(nest(settings))
    except ConfigError as error:
        raise ConfigError(f"parameters '{path}': {error}") from error
    return settings


def _flat(parameters: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values. One empty string stands for no strings at all, as ROS has it."""
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif name.partition(".")[0] not in _OF_ROS:
            yield name, [item for item in value if item != ""] if isinstance(value, list) else value
