"""Drawing of the 3D scene with viser. What has not changed in kind is updated in place, not made anew."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import viser

from clipose_ros.geometry.se3 import quat_xyzw_from_rotation
from clipose_ros.ros_tools.view.scene import ColoredPoints, Ellipsoid, Label, Lines, Scene
from clipose_ros.types import ByteArray, CameraIntrinsics, FloatArray

LAYERS = ("point cloud", "boxes", "axes", "labels", "uncertainty", "history", "camera", "rejected")
"""Parts of the scene that can be hidden."""
_LINE_PX = {"boxes": 2.5, "axes": 4.0, "history": 2.0}
_POINT_SIZE_M = 0.003
_FRUSTUM_M = 0.08
_THUMBNAIL_WIDTH = 160
DISTANCE_M = 0.8
"""Distance before the camera at which visitors look without objects, metres."""
_UP = {True: (0.0, -1.0, 0.0), False: (0.0, 0.0, 1.0)}
"""Direction that is up in a camera optical frame, and in other frames."""


class Canvas:
    """3D scene for all visitors.

    Args:
        server: Server of the page.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        self._server, self._scene = server, server.scene
        self._layers = {name: self._scene.add_frame(f"/{name}", show_axes=False) for name in LAYERS}
        self._lines: dict[str, viser.LineSegmentsHandle] = {}
        self._labels: dict[str, list[viser.LabelHandle]] = {"labels": [], "rejected": []}
        self._ellipsoids: list[viser.IcosphereHandle] = []
        self._is_optical: bool | None = None

    def show_layer(self, name: str, is_shown: bool) -> None:
        """Show or hide a layer."""
        self._layers[name].visible = is_shown

    def look(self, is_optical: bool, eye: FloatArray, target: FloatArray) -> None:
        """Place visitors beside the camera, once for each kind of frame.

        Args:
            is_optical: The frame of the poses is a camera optical frame.
            eye: ``(3,)`` position of the camera.
            target: ``(3,)`` point to look at.
        """
        if self._is_optical is is_optical:
            return
        self._is_optical = is_optical
        up = np.array(_UP[is_optical])
        back = eye - target
        position = target + 0.65 * back + 0.3 * np.cross(up, back) + 0.12 * up
        self._scene.set_up_direction(_UP[is_optical])
        first = self._server.initial_camera
        first.up, first.position, first.look_at = up, position, target
        for client in self._server.get_clients().values():
            client.camera.up_direction, client.camera.position, client.camera.look_at = up, position, target

    def show_scene(self, scene: Scene, trails: Lines) -> None:
        """Draw the objects of a frame and their history."""
        self._show_lines("boxes", scene.boxes)
        self._show_lines("axes", scene.axes)
        self._show_lines("history", trails)
        self._show_labels("labels", scene.labels)
        self._show_ellipsoids(scene.ellipsoids)

    def show_rejected(self, labels: Sequence[Label]) -> None:
        """Draw the reasons at rejected instances."""
        self._show_labels("rejected", labels)

    def show_points(self, cloud: ColoredPoints) -> None:
        """Draw the point cloud."""
        self._scene.add_point_cloud(
            "/point cloud/points", cloud.points, cloud.colours, point_size=_POINT_SIZE_M, point_shading="flat"
        )

    def show_camera(self, intrinsics: CameraIntrinsics, T_frame_camera: FloatArray, rgb: ByteArray) -> None:
        """Draw the frustum of the camera with its image."""
        fov = 2.0 * np.arctan(0.5 * intrinsics.height / intrinsics.fy)
        self._scene.add_camera_frustum(
            "/camera/frustum",
            float(fov),
            intrinsics.width / intrinsics.height,
            scale=_FRUSTUM_M,
            thickness=2.0,
            thickness_units="screen",
            color=(230, 230, 230),
            image=scaled(rgb, _THUMBNAIL_WIDTH),
            wxyz=np.roll(quat_xyzw_from_rotation(T_frame_camera[:3, :3]), 1),
            position=T_frame_camera[:3, 3],
            cast_shadow=False,
            receive_shadow=False,
        )

    def _show_lines(self, layer: str, lines: Lines) -> None:
        handle = self._lines.get(layer)
        if not len(lines.points):
            if handle is not None:
                handle.visible = False
        elif handle is not None and handle.points.shape == lines.points.shape:
            handle.points, handle.colors, handle.visible = lines.points, linear(lines.colours), True
        else:
            self._lines[layer] = self._scene.add_line_segments(
                f"/{layer}/lines",
                lines.points,
                linear(lines.colours),
                thickness=_LINE_PX[layer],
                thickness_units="screen",
            )

    def _show_labels(self, layer: str, labels: Sequence[Label]) -> None:
        handles = self._labels[layer]
        while len(handles) > len(labels):
            handles.pop().remove()
        for number, label in enumerate(labels):
            if number < len(handles):
                handles[number].text, handles[number].position = label.text, label.position
            else:
                handles.append(
                    self._scene.add_label(
                        f"/{layer}/{number}", label.text, position=label.position, anchor="bottom-center"
                    )
                )

    def _show_ellipsoids(self, ellipsoids: Sequence[Ellipsoid]) -> None:
        handles = self._ellipsoids
        while len(handles) > len(ellipsoids):
            handles.pop().remove()
        for number, item in enumerate(ellipsoids):
            x, y, z = np.maximum(item.radii, 1e-4).tolist()
            if number < len(handles):
                handle = handles[number]
                handle.position, handle.wxyz, handle.scale, handle.color = (
                    item.position,
                    item.quat_wxyz,
                    (x, y, z),
                    item.colour,
                )
            else:
                handles.append(
                    self._scene.add_icosphere(
                        f"/uncertainty/{number}",
                        1.0,
                        item.colour,
                        subdivisions=2,
                        scale=(x, y, z),
                        opacity=0.45,
                        position=item.position,
                        wxyz=item.quat_wxyz,
                        cast_shadow=False,
                        receive_shadow=False,
                    )
                )


def linear(colours: ByteArray) -> ByteArray:
    """Return sRGB colours in linear light, in which viser takes those of lines; they would be pale otherwise."""
    return np.asarray(np.rint(255.0 * (colours / 255.0) ** 2.2), np.uint8)


def scaled(rgb: ByteArray, width: int) -> ByteArray:
    """Return an image of at most a width, pixels."""
    if rgb.shape[1] <= width:
        return rgb
    height = max(1, round(rgb.shape[0] * width / rgb.shape[1]))
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
