"""Plugins: the table of built-in segmentation backends, and entry points of other installed packages."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from clipose_ros.errors import ConfigError

SEGMENTER_GROUP = "clipose_ros.segmenters"
"""Entry point group of segmentation backends from other packages."""


@dataclass(frozen=True)
class BuiltinSegmenter:
    """A built-in segmentation backend.

    Attributes:
        target: ``module:object`` of its ``SegmenterSpec``, imported when the backend is created.
        takes_weights: True if ``segmentation.model`` must name a file of weights.
        package: Optional Python package that the backend needs; empty for none.
        package_license: License of that package.
        frame_input: Field of ``RgbdFrame`` that a further topic supplies (``labels`` or ``boxes``); empty for none.
    """

    target: str
    takes_weights: bool
    package: str = ""
    package_license: str = ""
    frame_input: str = ""


BUILTIN_SEGMENTERS: Mapping[str, BuiltinSegmenter] = {
    "yolo": BuiltinSegmenter("clipose_ros.segmentation.yolo:YOLO", True, "ultralytics", "AGPL-3.0"),
    "labels": BuiltinSegmenter("clipose_ros.segmentation.labels:LABELS", False, frame_input="labels"),
    "mask_rcnn": BuiltinSegmenter("clipose_ros.segmentation.mask_rcnn:MASK_RCNN", True),
    "detections": BuiltinSegmenter("clipose_ros.segmentation.detections:DETECTIONS", False, frame_input="boxes"),
}
"""Built-in segmentation backends by their name in ``segmentation.backend``. New ones are added here only."""


def load_entry_points(group: str, builtin_names: Collection[str]) -> dict[str, EntryPoint]:
    """Read the entry points of a group from the metadata of all installed packages.

    No module is imported until ``EntryPoint.load`` is called. An entry point with a built-in name, or with the name of
    an earlier entry point, is ignored with a warning.

    Args:
        group: Name of the group, such as ``clipose_ros.segmenters``.
        builtin_names: Names that entry points must not replace.

    Returns:
        The entry points by name, in alphabetical order.
    """
    accepted: dict[str, EntryPoint] = {}
    # A package found twice on sys.path, as in a colcon workspace, repeats its entry points; the set removes them.
    for entry in sorted(set(entry_points(group=group)), key=lambda entry: (entry.name, entry.value)):
        package = entry.dist.name if entry.dist is not None else "unknown"
        found = f"entry point '{entry.name} = {entry.value}' of package '{package}', group '{group}', is ignored"
        if entry.name in builtin_names:
            warnings.warn(f"{found}: clipose_ros reserves the name '{entry.name}'", stacklevel=2)
        elif entry.name in accepted:
            warnings.warn(f"{found}: '{accepted[entry.name].value}' has the same name", stacklevel=2)
        else:
            accepted[entry.name] = entry
    return accepted


def import_plugin(entry: EntryPoint, setting: str) -> Any:
    """Import the object of an entry point.

    Args:
        entry: An entry point.
        setting: Dotted name of the setting that chose it, for the message.

    Raises:
        ConfigError: The module or the object does not exist, or an import inside the module fails.
    """
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"'{setting}' '{entry.name}' cannot be imported from '{entry.value}': {error}") from error
