"""Settings of ``merge_node``."""

from __future__ import annotations

from dataclasses import dataclass

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError
from clipose_ros.tracking.merging import MAX_CAMERAS, MergeLimits

_LIMITS = MergeLimits()


@dataclass(frozen=True)
class MergeNodeConfig(ConfigNode):
    """Parameters of the node that merges the tracks of several cameras."""

    cameras: tuple[str, ...] = option((), "Namespaces of the pose nodes: `NAME/pose_node/detections` is read.")
    frame: str = option("world", "TF frame in which tracks are merged and published; it does not move.")
    axial_categories: tuple[str, ...] = option(
        tuple(category.name for category in NOCS_CATEGORIES if category.symmetry.axial_y),
        "Categories whose turn about y is free.",
    )
    gate_m: float = option(
        _LIMITS.gate_m, "Largest distance of two tracks of one object, metres.", low=0.001, high=10.0
    )
    timeout_s: float = option(
        _LIMITS.timeout_s,
        "Time without images after which a camera does not count and is reported, seconds. Merging waits no longer.",
        low=0.01,
        high=60.0,
    )
    max_age_s: float = option(
        _LIMITS.max_age_s, "Time after which an object that no camera sees loses its id, seconds.", low=0.0, high=3600.0
    )
    max_offset_m: float = option(
        0.03, "Mean distance of the tracks of two cameras above which their calibration is reported, metres.",
        low=0.0, high=10.0,
    )  # fmt: skip
    max_angle_deg: float = option(
        4.0, "Angle between the poses of two cameras above which their calibration is reported, degrees.",
        low=0.0, high=180.0,
    )  # fmt: skip
    tf: bool = option(False, "Broadcast a TF frame for each object.")
    tf_prefix: str = option("", "Prefix of the names of TF frames.")
    marker_lifetime_s: float = option(0.5, "Lifetime of the markers, seconds; 0 keeps them.", low=0.0, high=3600.0)

    def require_cameras(self) -> None:
        """Raise ``ConfigError`` unless cameras and a frame are named: there is no default for the cameras."""
        if not 0 < len(set(self.cameras)) == len(self.cameras) <= MAX_CAMERAS:
            raise ConfigError(
                f"'cameras' must name 1 to {MAX_CAMERAS} different namespaces, got {list(self.cameras)!r:.80}: "
                "-p cameras:=\"['left', 'right']\""
            )
        if not self.frame:
            raise ConfigError("'frame' must name a TF frame that does not move, got ''")

    @property
    def limits(self) -> MergeLimits:
        """Return the limits of the fusion."""
        return MergeLimits(self.gate_m, self.timeout_s, self.max_age_s)
