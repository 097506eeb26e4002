"""RViz markers: box, axes and label of every track, and a text at every rejected instance.

Markers have a lifetime. Those of a track or rejection that is gone are deleted with the next frame, and all markers
when the node is deactivated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from geometry_msgs.msg import Point, Pose
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from clipose_ros.geometry.boxes import BOX_EDGES, BOX_SIGNS
from clipose_ros.ros.rejections import LocatedRejection
from clipose_ros.types import TrackedObject
from clipose_ros.visualization.draw import AXIS_COLOURS, REJECTED_COLOUR, category_colour
from clipose_ros.visualization.labels import Colour

REJECTED_NAMESPACE = "rejected"
"""Namespace of the markers of rejected instances."""
_LINE_WIDTH_M = 0.003
_TEXT_HEIGHT_M = 0.03
_BOX_LINES = 0.5 * BOX_SIGNS[BOX_EDGES.ravel()]
"""``(24, 3)`` end points of the edges of a unit box."""
_AXIS_LINES = np.kron(0.5 * np.eye(3), [[0.0], [1.0]])
"""``(6, 3)`` end points of the axes of a unit box."""


class Markers:
    """Maker of the marker array of each frame. The markers of a track are reused until the track is deleted."""

    def __init__(self) -> None:
        self._shown: dict[tuple[str, int], _TrackMarkers] = {}
        self._rejected_shown = 0

    def update(
        self,
        header: Header,
        tracks: Sequence[TrackedObject],
        poses: Sequence[Pose],
        rejections: Sequence[LocatedRejection],
        lifetime_s: float,
    ) -> MarkerArray:
        """Make the markers of a frame, and deletions of the markers of earlier frames that are not among them.

        Args:
            header: Header of the frame.
            tracks: Objects to show.
            poses: Poses of ``tracks`` as messages.
            rejections: Rejected instances to show.
            lifetime_s: Lifetime of the markers, seconds; 0 keeps them until they are deleted.
        """
        earlier, self._shown = self._shown, {}
        lifetime = Duration(seconds=lifetime_s).to_msg()
        sizes = np.array([track.size for track in tracks]).reshape(-1, 1, 3)
        boxes, axes = (sizes * _BOX_LINES).tolist(), (sizes * _AXIS_LINES).tolist()
        for k, track in enumerate(tracks):
            key = (track.category, track.track_id)
            markers = self._shown[key] = earlier.pop(key) if key in earlier else _TrackMarkers(*key)
            markers.fill(track, poses[k], boxes[k], axes[k])
        shown = [marker for markers in self._shown.values() for marker in markers.all]
        shown += [_rejection_marker(number, located) for number, located in enumerate(rejections)]
        for marker in shown:
            marker.header, marker.lifetime = header, lifetime
        # RViz keeps a marker until it is deleted or expires: delete those of tracks and rejections that are gone.
        gone = [(marker.ns, marker.id) for _, markers in sorted(earlier.items()) for marker in markers.all]
        gone += [(REJECTED_NAMESPACE, number) for number in range(len(rejections), self._rejected_shown)]
        self._rejected_shown = len(rejections)
        deletions = [Marker(header=header, ns=ns, id=number, action=Marker.DELETE) for ns, number in gone]
        return MarkerArray(markers=[*deletions, *shown])

    def delete_all(self) -> MarkerArray:
        """Make the deletion of all markers."""
        self._shown, self._rejected_shown = {}, 0
        return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])


class _TrackMarkers:
    """Box, axes and label of one track."""

    def __init__(self, category: str, number: int) -> None:
        self._box = _marker(category, number, "box", Marker.LINE_LIST)
        self._box.scale.x = _LINE_WIDTH_M
        self._box.points = [Point() for _ in _BOX_LINES]
        self._axes = _marker(category, number, "axes", Marker.LINE_LIST)
        self._axes.scale.x = 2.0 * _LINE_WIDTH_M
        self._axes.points = [Point() for _ in _AXIS_LINES]
        self._axes.colors = [_rgba(colour) for colour in AXIS_COLOURS for _ in range(2)]
        self._label = _marker(category, number, "label", Marker.TEXT_VIEW_FACING)
        self._label.scale.z = _TEXT_HEIGHT_M
        self.all = (self._box, self._axes, self._label)

    def fill(
        self, track: TrackedObject, pose: Pose, box: Iterable[Sequence[float]], axes: Iterable[Sequence[float]]
    ) -> None:
        """Set pose, lines and label of the markers.

        Args:
            track: Track to show.
            pose: Its pose as a message.
            box: ``(24, 3)`` end points of the edges of its box, in its own axes.
            axes: ``(6, 3)`` end points of its axes.
        """
        self._box.pose = self._axes.pose = pose
        self._label.pose.position = pose.position  # the text itself stays upright
        self._label.text = f"{track.name} {track.score:.2f}"
        for marker, lines in ((self._box, box), (self._axes, axes)):
            for point, (x, y, z) in zip(marker.points, lines, strict=True):
                point.x, point.y, point.z = x, y, z
        for marker in self.all:
            marker.color.a = 1.0 if track.seen else 0.4  # a coasting track is drawn faintly


def _marker(category: str, number: int, part: str, kind: int) -> Marker:
    """Make an empty marker in the category's colour."""
    return Marker(
        ns=f"{category}/{part}", id=number, type=kind, action=Marker.ADD, color=_rgba(category_colour(category))
    )


def _rejection_marker(number: int, located: LocatedRejection) -> Marker:
    """Make the text at a rejected instance."""
    x, y, z = located.position.tolist()
    marker = Marker(
        ns=REJECTED_NAMESPACE,
        id=number,
        type=Marker.TEXT_VIEW_FACING,
        action=Marker.ADD,
        color=_rgba(REJECTED_COLOUR),
        text=f"{located.rejection.category} rejected: {located.rejection.short_reason}",
    )
    marker.pose.position = Point(x=x, y=y, z=z)
    marker.scale.z = _TEXT_HEIGHT_M
    return marker


def _rgba(colour: Colour) -> ColorRGBA:
    """Convert an 8-bit colour to an opaque colour message."""
    r, g, b = (value / 255.0 for value in colour)
    return ColorRGBA(r=r, g=g, b=b, a=1.0)
