"""Settings of ``grasp_node``."""

from __future__ import annotations

from dataclasses import dataclass, field

from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError
from clipose_ros.manipulation.grasp_planner import GraspLimits

_LIMITS = GraspLimits()


@dataclass(frozen=True)
class TableConfig(ConfigNode):
    """Plane that the gripper stays above."""

    source: str = option(
        "depth",
        "Source of the plane: `depth` fits it to the depth image, `frame` takes the xy plane of a TF frame, `none` "
        "uses no plane.",
        choices=("depth", "frame", "none"),
    )
    frame: str = option("", "TF frame whose xy plane is the table, z up. Only for `frame`.")
    height_m: float = option(
        0.0, "Height of the table above the xy plane of the frame, metres. Only for `frame`.", low=-100.0, high=100.0
    )


@dataclass(frozen=True)
class GraspNodeConfig(ConfigNode):
    """Parameters of the grasp node."""

    grasps_file: str = option("", "Gripper and kinds of grasp of each category; empty for `config/grasps.yaml`.")
    robot_frame: str = option(
        "",
        "TF frame of the base of the robot, in which grasps are published; empty for the frame of the detections, "
        "whose origin then stands for the robot.",
    )
    min_object_score: float = option(
        0.3, "Objects with a lower score have no grasps; they are avoided.", low=0.0, high=1.0
    )
    min_score: float = option(0.05, "Grasps with a lower score are dropped.", low=0.0, high=1.0)
    max_per_object: int = option(_LIMITS.max_per_object, "Largest number of grasps of an object.", low=1, high=1000)
    travel_m: float = option(_LIMITS.travel_m, "Distance from the pre-grasp to the grasp, metres.", low=0.0, high=1.0)
    max_approach_deg: float = option(
        _LIMITS.max_approach_deg,
        "Largest angle between the approach and the direction from the robot to the object, degrees.",
        low=0.0,
        high=180.0,
    )
    max_depth_age_s: float = option(
        0.2, "Largest difference of the stamps of the detections and of the depth image, seconds.", low=0.0, high=10.0
    )
    marker_lifetime_s: float = option(1.0, "Lifetime of the markers, seconds; 0 keeps them.", low=0.0, high=3600.0)
    table: TableConfig = field(default_factory=TableConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.table.source == "frame" and not self.table.frame:
            raise ConfigError("'table.frame' must name a TF frame if 'table.source' is 'frame', got ''")

    @property
    def limits(self) -> GraspLimits:
        """Return the limits of the planner."""
        return GraspLimits(self.travel_m, self.max_approach_deg, self.max_per_object, self.min_score)
