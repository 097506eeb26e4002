"""Markers for RViz: box, axes and label of every track, deleted when it goes and expiring when the node does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.geometry.boxes import BOX_EDGES, box_corners
from clipose_ros.ros.messages import pose
from clipose_ros.types import FloatArray, TrackedObject
from clipose_ros.visualization.draw import AXIS_COLOURS, category_colour

_LINE_M = 0.003
_LETTER_M = 0.03


class Markers:
    """Makes the marker array of a frame, and remembers what it must delete later."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, int]] = set()

    def of_frame(self, header: Header, tracks: Sequence[TrackedObject], lifetime_s: float) -> MarkerArray:
        """Markers of the tracks, and deletions of those shown before that are not among them."""
        markers = [marker for track in tracks for marker in (_box(track), _axes(track), _label(track))]
        for marker in markers:
            marker.header = header
            marker.lifetime = Duration(seconds=lifetime_s).to_msg()
        shown = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE) for ns, number in sorted(self._shown - shown)
        ]
        self._shown = shown
        return MarkerArray(markers=gone + markers)


def _marker(track: TrackedObject, part: str, kind: int, at: Pose) -> Marker:
    r, g, b = (value / 255.0 for value in category_colour(track.category))
    marker = Marker(ns=f"{track.category}/{part}", id=track.track_id, type=kind, action=Marker.ADD, pose=at)
    marker.color = ColorRGBA(r=r, g=g, b=b, a=1.0 if track.seen else 0.4)
    return marker


def _box(track: TrackedObject) -> Marker:
    marker = _marker(track, "box", Marker.LINE_LIST, pose(track.T_frame_object))
    marker.scale = Vector3(x=_LINE_M)
    marker.points = [_point(corner) for corner in box_corners(np.eye(4), track.size)[BOX_EDGES.ravel()]]
    return marker


def _axes(track: TrackedObject) -> Marker:
    marker = _marker(track, "axes", Marker.LINE_LIST, pose(track.T_frame_object))
    marker.scale = Vector3(x=2.0 * _LINE_M)
    for axis, colour in zip(np.diag(0.5 * np.asarray(track.size)), AXIS_COLOURS, strict=True):
        r, g, b = (value / 255.0 for value in colour)
        marker.points += [Point(), _point(axis)]
        marker.colors += [ColorRGBA(r=r, g=g, b=b, a=1.0)] * 2
    return marker


def _label(track: TrackedObject) -> Marker:
    top = pose(track.T_frame_object)
    top.orientation = Quaternion(w=1.0)
    marker = _marker(track, "label", Marker.TEXT_VIEW_FACING, top)
    marker.scale = Vector3(z=_LETTER_M)
    marker.text = f"{track.name} {track.score:.2f}"
    return marker


def _point(xyz: FloatArray) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))
