"""Interface of segmentation backends, and the lookup of a backend by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Protocol

from clipose_ros.categories import CategorySet
from clipose_ros.config import ConfigNode, SegmentationConfig, installed_segmenters, unknown_segmenter_message
from clipose_ros.errors import ConfigError
from clipose_ros.plugins import BUILTIN_SEGMENTERS, SEGMENTER_GROUP, import_plugin
from clipose_ros.types import InstanceMask, Rejection, RgbdFrame


class Segmenter(Protocol):
    """Segmentation backend: finds the instances of known categories in a frame."""

    def segment(self, frame: RgbdFrame) -> Sequence[InstanceMask | Rejection]:
        """Segment a frame.

        Args:
            frame: One registered colour and depth image, with labels if the backend reads them.

        Returns:
            Instance masks cropped to their boxes, in pixels of ``frame``, at most ``max_instances``, sorted by
            descending score; empty if nothing is found. Pixels that the backend cannot interpret are returned as a
            rejection and do not affect the other instances.

        Raises:
            SegmentationError: The frame lacks an input that the backend reads.
        """
        ...

    def reconfigure(self, config: SegmentationConfig) -> None:
        """Apply the settings that may change at run time: thresholds, number of instances, the backend's live ones."""
        ...


@dataclass(frozen=True)
class SegmenterSpec:
    """Description of a segmentation backend; an entry point of the group ``clipose_ros.segmenters`` names one.

    Attributes:
        create: Builds the backend from the settings, the categories of the pose network and a device (``auto``,
            ``cpu``, ``cuda`` or ``cuda:N``).
        settings_type: Frozen dataclass of the backend's own settings, whose fields are made by ``config.option``.
            They are read from the section ``segmentation.<name>`` into ``SegmentationConfig.backend_settings``.
            None if the backend has none.
    """

    create: Callable[[SegmentationConfig, CategorySet, str], Segmenter]
    settings_type: type[ConfigNode] | None = None


def load_segmenter_spec(name: str) -> SegmenterSpec:
    """Import a segmentation backend, built-in or added by another package.

    Args:
        name: Value of ``segmentation.backend``.

    Raises:
        ConfigError: No backend has this name (the message lists all and the nearest), it cannot be imported, or its
            entry point does not name a ``SegmenterSpec``.
    """
    builtins = {key: EntryPoint(key, row.target, SEGMENTER_GROUP) for key, row in BUILTIN_SEGMENTERS.items()}
    entry = {**installed_segmenters(), **builtins}.get(name)
    if entry is None:
        raise ConfigError(unknown_segmenter_message(name))
    spec = import_plugin(entry, "segmentation.backend")
    if not isinstance(spec, SegmenterSpec):
        raise ConfigError(
            f"entry point '{name} = {entry.value}' of group '{SEGMENTER_GROUP}' must name a SegmenterSpec, got {spec!r}"
        )
    return spec
