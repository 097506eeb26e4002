"""Settings of ``collision_objects_node``."""

from __future__ import annotations

from dataclasses import dataclass

from clipose_ros.config import ConfigNode, option
from clipose_ros.manipulation.collision_scene import CollisionLimits

_LIMITS = CollisionLimits()


@dataclass(frozen=True)
class CollisionNodeConfig(ConfigNode):
    """Parameters of the node of collision objects."""

    grasps_file: str = option(
        "", "File whose rules say which categories are round and which have a handle; empty for `config/grasps.yaml`."
    )
    id_prefix: str = option("", "Prefix of the ids in the planning scene, such as `clipose/`.")
    rate_hz: float = option(2.0, "Largest rate of updates of the planning scene, per second.", low=0.01, high=100.0)
    margin_m: float = option(
        _LIMITS.margin_m, "Padding in addition to two standard deviations of the position, metres.", low=0.0, high=1.0
    )
    move_m: float = option(
        _LIMITS.move_m, "Distance from which an object is published again, metres.", low=0.0, high=1.0
    )
    turn_deg: float = option(
        _LIMITS.turn_deg, "Turn from which an object is published again, degrees.", low=0.0, high=180.0
    )
    refresh_s: float = option(
        _LIMITS.refresh_s,
        "Time after which an object is published again, though nothing changed, seconds.",
        low=0.1,
        high=3600.0,
    )
    remove_after_s: float = option(
        _LIMITS.remove_after_s,
        "Time after which an object that is not among the detections any more is removed, seconds.",
        low=0.0,
        high=3600.0,
    )
    min_score: float = option(_LIMITS.min_score, "Objects with a lower score are not added.", low=0.0, high=1.0)

    @property
    def limits(self) -> CollisionLimits:
        """Return what counts as a change."""
        return CollisionLimits(
            self.margin_m, self.move_m, self.turn_deg, self.refresh_s, self.remove_after_s, self.min_score
        )
