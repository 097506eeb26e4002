"""Messages and markers of grasps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, PoseArray, PoseWithCovariance, Vector3
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from vision_msgs.msg import BoundingBox3D, Detection3D, Detection3DArray, ObjectHypothesis, ObjectHypothesisWithPose
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.geometry.se3 import transform_points
from clipose_ros.manipulation.grasp_planner import Grasp
from clipose_ros.manipulation.gripper import GripperConfig
from clipose_ros.manipulation.plane import Plane
from clipose_ros.ros.messages import pose
from clipose_ros.types import FloatArray

MAX_DRAWN = 200
"""Largest number of grasps that are drawn as lines."""
_LINE_WIDTH_M = 0.002
_TABLE_M = 0.8
_TABLE_COLOUR = (0.2, 0.5, 0.9, 0.2)


def pose_arrays(header: Header, grasps: Sequence[Grasp]) -> tuple[PoseArray, PoseArray]:
    """Make the arrays of grasps and of pre-grasps, in the same order."""
    return (
        PoseArray(header=header, poses=[pose(grasp.T_frame_gripper) for grasp in grasps]),
        PoseArray(header=header, poses=[pose(grasp.T_frame_pregrasp) for grasp in grasps]),
    )


def grasp_details(header: Header, grasps: Sequence[Grasp], gripper: GripperConfig) -> Detection3DArray:
    """Make one detection per grasp, in the order of the poses.

    ``id`` is the name of the object, ``class_id`` the kind of grasp, and the box the space between the fingers.
    """
    openings = np.array([grasp.opening_m for grasp in grasps])
    regions = gripper.closing_region(openings).tolist()
    detections = []
    for grasp, (x, y, z) in zip(grasps, regions, strict=True):
        centre = pose(grasp.T_frame_gripper)
        hypothesis = ObjectHypothesis(class_id=grasp.kind, score=grasp.score)
        result = ObjectHypothesisWithPose(hypothesis=hypothesis, pose=PoseWithCovariance(pose=centre))
        box = BoundingBox3D(center=centre, size=Vector3(x=x, y=y, z=z))
        detections.append(Detection3D(header=header, results=[result], bbox=box, id=grasp.object_name))
    return Detection3DArray(header=header, detections=detections)


def grasp_markers(
    header: Header, grasps: Sequence[Grasp], gripper: GripperConfig, table: Plane | None, lifetime_s: float
) -> MarkerArray:
    """Make the markers of a frame, which replace those of the frame before.

    The best grasp of each object is drawn as three boxes, the others as lines from the pre-grasp to the fingertips. The
    colour goes from red at score 0 to green at score 1.
    """
    best = {grasp.object_name: grasp for grasp in reversed(grasps)}
    markers = [Marker(header=header, action=Marker.DELETEALL), _line_marker(grasps[:MAX_DRAWN], gripper)]
    for number, grasp in enumerate(best.values()):
        markers += _hand_markers(3 * number, grasp, gripper)
    if table is not None and grasps:
        markers.append(_table_marker(table, grasps[0].T_frame_gripper[:3, 3]))
    lifetime = Duration(seconds=lifetime_s).to_msg()
    for marker in markers[1:]:
        marker.header, marker.lifetime = header, lifetime
    return MarkerArray(markers=markers)


def _line_marker(grasps: Sequence[Grasp], gripper: GripperConfig) -> Marker:
    """Draw each grasp as a fork: the way from the pre-grasp, the palm and two fingers."""
    marker = Marker(ns="grasps", type=Marker.LINE_LIST, action=Marker.ADD)
    marker.scale.x = _LINE_WIDTH_M
    marker.pose.orientation.w = 1.0
    tip, palm = 0.5 * gripper.pad_length_m, -gripper.reach_m
    for grasp in grasps:
        y = 0.5 * grasp.opening_m
        fork = np.array(
            [
                *([0.0, 0.0, palm - grasp.travel_m], [0.0, 0.0, palm], [0.0, -y, palm], [0.0, y, palm]),
                *([0.0, -y, palm], [0.0, -y, tip], [0.0, y, palm], [0.0, y, tip]),
            ]
        )
        points = transform_points(grasp.T_frame_gripper, fork)
        marker.points += [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
        marker.colors += [_score_colour(grasp.score)] * len(fork)
    return marker


def _hand_markers(first_id: int, grasp: Grasp, gripper: GripperConfig) -> list[Marker]:
    """Draw fingers and palm of a grasp as boxes."""
    hand = gripper.hand_boxes(np.array([grasp.opening_m]))
    return [
        _box_marker(
            "best", first_id + k, grasp.T_frame_gripper @ hand.T[0, k], hand.size[0, k], _score_colour(grasp.score)
        )
        for k in range(3)
    ]


def _table_marker(table: Plane, above: FloatArray) -> Marker:
    """Draw a piece of the plane of the table."""
    return _box_marker("table", 0, table.pose_below(above), np.array([_TABLE_M, _TABLE_M, 0.001]), ColorRGBA(
        r=_TABLE_COLOUR[0], g=_TABLE_COLOUR[1], b=_TABLE_COLOUR[2], a=_TABLE_COLOUR[3]
    ))  # fmt: skip


def _box_marker(namespace: str, number: int, T: FloatArray, size: FloatArray, colour: ColorRGBA) -> Marker:
    """Make a box."""
    marker = Marker(ns=namespace, id=number, type=Marker.CUBE, action=Marker.ADD, pose=pose(T), color=colour)
    marker.scale.x, marker.scale.y, marker.scale.z = size.tolist()
    return marker


def _score_colour(score: float) -> ColorRGBA:
    """Return a colour between red and green."""
    return ColorRGBA(r=1.0 - score, g=score, b=0.1, a=0.9)
