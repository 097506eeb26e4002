"""Settings of the pose node from command-line options: ``--params``, ``--segmenter`` and those of the network."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from clipose_ros.bounded_files import read_yaml
from clipose_ros.config import NetworkConfig, PoseNodeConfig, installed_segmenters, nest
from clipose_ros.errors import ConfigError, UnreadableFileError
from clipose_ros.plugins import BUILTIN_SEGMENTERS
from clipose_ros.resources import HUB_PREFIX, config_path
from clipose_ros.segmentation.class_map import WEIGHTS_SUFFIX

SHIPPED_SEGMENTER = "shipped"
"""Value of ``--segmenter`` that stands for the detector in ``config/detector.yaml``."""
_WITH_WEIGHTS = [name for name, row in BUILTIN_SEGMENTERS.items() if row.takes_weights]
# The images of the commands have no boxes of another detector.
_WITHOUT_WEIGHTS = [
    name for name, row in BUILTIN_SEGMENTERS.items() if not row.takes_weights and row.frame_input != "boxes"
]
SEGMENTERS = (
    f"{SHIPPED_SEGMENTER} (the detector of this package), {', '.join(_WITHOUT_WEIGHTS)} (ground-truth masks), "
    f"{' or '.join(f'{name}:WEIGHTS' for name in _WITH_WEIGHTS)} with a local file, or NAME[:WEIGHTS] for a backend of "
    "another package"
)
"""Values that ``segmenter_settings`` accepts, for the help of commands."""
NETWORK_OPTIONS = ("model", "device", "engine", "refine", "surface_normals")
TTA_OPTIONS = ("max_passes", "disagreement_deg")
"""Options that are settings of the network as well: ``network.*`` and ``network.tta.*``."""
_NODE_NAMES = ("*", "**", "pose_node")
_ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides")


def node_config(options: argparse.Namespace) -> PoseNodeConfig:
    """Build the node's settings from ``--params``, overridden by the other options.

    The segmenter is ``labels`` if neither ``--params`` nor ``--segmenter`` is given.

    Raises:
        ConfigError: A setting or an option is wrong.
    """
    settings = read_parameters(options.params) if options.params else {}
    if options.segmenter or not options.params:
        settings |= segmenter_settings(options.segmenter or "labels", with_parameters=not options.params)
    config = PoseNodeConfig.from_mapping(nest(settings))
    # Single views are no sequence: masks cannot be propagated from one to the next.
    segmentation = replace(config.segmentation, every_n=1)
    return replace(config, network=network_config(options, config.network), segmentation=segmentation)


def network_config(options: argparse.Namespace, base: NetworkConfig | None = None) -> NetworkConfig:
    """Read the options of the network and of its test-time augmentation.

    Args:
        options: Options of the command; None stands for an option that was not given.
        base: Values of the options that were not given; the defaults of the settings if None.
    """
    base = base or NetworkConfig()
    network, tta = (
        {name: value for name in names if (value := getattr(options, name, None)) is not None}
        for names in (NETWORK_OPTIONS, TTA_OPTIONS)
    )
    if "model" in network:
        network["model"] = local_model(network["model"])
    return replace(base, **network, tta=replace(base.tta, **tta))


def local_model(model: str) -> str:
    """Return the path of a model ``hf:owner/name[@revision]`` after its download; other models are unchanged.

    Raises:
        CheckpointError: The hub has no such model, or it cannot be downloaded.
    """
    if not model.startswith(HUB_PREFIX):
        return model
    from clipose_ros.model.hub import resolve_model  # imports torch

    return resolve_model(model)


def set_parameters(entries: Sequence[str]) -> dict[str, Any]:
    """Parse ``NAME=VALUE`` entries with YAML values.

    Raises:
        ConfigError: An entry has no name or no equals sign.
    """
    parameters = {}
    for entry in entries:
        name, sign, value = entry.partition("=")
        if not (name and sign):
            raise ConfigError(f"--set needs NAME=VALUE, got '{entry}'")
        parameters[name] = yaml.safe_load(value)
    return parameters


def segmenter_settings(segmenter: str, with_parameters: bool = True) -> dict[str, Any]:
    """Return the settings that choose a segmenter; they override others and leave the rest unchanged.

    ``train_segmenter`` and ``make_segmenter`` write a parameter file beside the weights, with the class map and the
    image size that belong to them.

    Args:
        segmenter: ``shipped`` for the detector of this package with all its settings, or ``NAME[:WEIGHTS]`` with the
            name of a segmentation backend and a local file: ``labels``, ``yolo:WEIGHTS``, ``mask_rcnn:WEIGHTS``, or a
            backend that another package adds.
        with_parameters: Read the parameter file beside the weights, if there is one.

    Returns:
        Value by dotted name, such as ``segmentation.backend``.

    Raises:
        ConfigError: The backend or the file does not exist, or the package that runs it is not installed.
    """
    if segmenter == SHIPPED_SEGMENTER:
        settings = read_parameters(config_path("detector.yaml"))
    else:
        backend, colon, weights = segmenter.partition(":")
        path = Path(weights).expanduser()
        if not _is_complete(backend, bool(colon), weights) or (weights and not path.exists()):
            names = [SHIPPED_SEGMENTER, *_WITHOUT_WEIGHTS, *(f"{name}[:WEIGHTS]" for name in installed_segmenters())]
            with_weights = " or ".join(f"{name}:WEIGHTS" for name in _WITH_WEIGHTS)
            raise ConfigError(
                f"--segmenter must be {', '.join(names)}, or {with_weights} with a local file, got '{segmenter}'. "
                "Nothing is downloaded automatically"
            )
        settings = _read_parameters_beside(path) if weights and with_parameters else {}
        settings |= {"segmentation.backend": backend, "segmentation.model": str(path.resolve()) if weights else ""}
    row = BUILTIN_SEGMENTERS.get(settings["segmentation.backend"])
    if row is not None and row.package and importlib.util.find_spec(row.package) is None:
        raise ConfigError(
            f"--segmenter {segmenter} runs through {row.package} ({row.package_license}), which is not installed: "
            f"pip install {row.package}, or give --segmenter labels if the images come with labels, as simulated ones "
            "do"
        )
    return settings


def _read_parameters_beside(weights: Path) -> dict[str, Any]:
    """Read the parameter file beside weights; other YAML files, such as an architecture, are skipped."""
    path = weights.with_suffix(".yaml")
    is_file = weights.suffix == WEIGHTS_SUFFIX and path.is_file()
    return read_parameters(path) if is_file and b"ros__parameters" in path.read_bytes() else {}


def _is_complete(backend: str, has_colon: bool, weights: str) -> bool:
    """Return True if a backend exists and is given weights as it requires; backends of other packages may have some."""
    row = BUILTIN_SEGMENTERS.get(backend)
    if row is not None:
        return bool(weights) if row.takes_weights else not has_colon and backend in _WITHOUT_WEIGHTS
    return backend in installed_segmenters() and bool(weights) == has_colon


def read_parameters(path: Path) -> dict[str, Any]:
    """Read the pose node's settings from a ROS parameter file, such as ``config/pose.yaml``.

    Args:
        path: A YAML file. Parameters of other nodes, and ROS' own parameters, are skipped.

    Returns:
        Value by dotted name, as ``PoseNodeConfig`` accepts them; settings that the file lacks are left out.

    Raises:
        ConfigError: The file cannot be read, has no parameters of the pose node, or a setting is unknown or out of
            bounds.
    """
    try:
        document = read_yaml(path)
    except UnreadableFileError as error:
        raise ConfigError(f"parameters '{path}' cannot be read: {error}") from error
    sections = [
        content["ros__parameters"]
        for node, content in (document.items() if isinstance(document, Mapping) else ())
        if str(node).rpartition("/")[2] in _NODE_NAMES and isinstance(content, Mapping) and "ros__parameters" in content
    ]
    if not sections or not all(isinstance(parameters, Mapping) for parameters in sections):
        raise ConfigError(
            f"parameters '{path}' have no section of the pose node: expected '/**:' or 'pose_node:', below it "
            "'ros__parameters:' and the settings, as in config/pose.yaml"
        )
    settings = dict(pair for section in sections for pair in _flatten(section))
    try:
        PoseNodeConfig.from_mapping(nest(settings))
    except ConfigError as error:
        raise ConfigError(f"parameters '{path}': {error}") from error
    return settings


def _flatten(parameters: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values; a list with one empty string stands for an empty list, as in ROS."""
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}.")
        elif name.partition(".")[0] not in _ROS_PARAMETERS:
            yield name, [item for item in value if item != ""] if isinstance(value, list) else value
