"""Rasterized images of a scene as an infrared camera sees it: the fast counterpart of ``ray_images``.

Both give the same surfaces, up to rounding, and equal textures for equal random generators. The shadows of a projector
are those of its own rasterized view here, so their edges are one pixel coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.sensors.light_kernels import (
    Appearance,
    Pixels,
    Projector,
    ShadowMap,
    light_pixels,
    place_pixels,
    shade_pixels,
)
from clipose_ros.data.synthetic.sensors.lighting import Bodies, Lamp, RayImage, make_pattern
from clipose_ros.data.synthetic.sensors.ray_images import THINNING, make_materials
from clipose_ros.data.synthetic.triangle_scene import RasterImage, TriangleScene
from clipose_ros.types import CameraIntrinsics, FloatArray

_NO_SHADOW = ShadowMap(np.empty((0, 0), np.float32), *np.ones(4, np.float32))


class RasterScene:
    """A static scene of meshes with textured surfaces.

    Args:
        meshes: Bodies of the scene in world coordinates, metres; at least one.
        rng: Random generator of the textures.
        max_contrast: Largest relative change of the albedo by texture.

    Attributes:
        bodies: Triangles of the bodies.
        appearance: Appearance of the bodies.

    Raises:
        DataError: There are no meshes.
    """

    is_compiled: ClassVar[bool] = True

    def __init__(self, meshes: Sequence[Mesh], rng: np.random.Generator, max_contrast: float = 0.6) -> None:
        self.bodies = TriangleScene(meshes)
        materials = make_materials(meshes, rng, max_contrast)
        self.appearance = Appearance(self.bodies.normals, self.bodies.body_of_face, materials)
        self._last: RasterView | None = None

    def view(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> RasterView:
        """Return the surfaces that a window shows; see ``SurfaceScene``."""
        last = self._last
        if last is None or last.window != window or not np.array_equal(last.T_world_camera, T_world_camera):
            last = RasterView(self, T_world_camera, window, self.bodies.draw(T_world_camera, window))
            # The window whose bodies were found is the one that is measured next.
            self._last = last
        return last

    def find_depth_range(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> tuple[float, float] | None:
        """Return the smallest and largest depth of every sixth pixel; see ``SurfaceScene``."""
        inverse = self.view(T_world_camera, window).image.inverse_depth[::THINNING, ::THINNING]
        seen = inverse[inverse > 0]
        return (1.0 / float(seen.max()), 1.0 / float(seen.min())) if seen.size else None

    def find_bodies(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> Bodies:
        """Return the bodies that a window shows; see ``SurfaceScene``."""
        return self.view(T_world_camera, window).find_bodies()


@dataclass(frozen=True, slots=True, eq=False)
class RasterView:
    """Appearance that a window shows; see ``SurfaceView``.

    Attributes:
        scene: The scene.
        T_world_camera: ``(4, 4)`` pose of the camera, metres.
        window: Intrinsics of the window.
        image: Nearest triangles.
    """

    scene: RasterScene
    T_world_camera: FloatArray
    window: CameraIntrinsics
    image: RasterImage

    @property
    def depth(self) -> FloatArray:
        """Return the depth ``(H, W)``, metres; 0 for none."""
        return self.image.depth

    def find_bodies(self) -> Bodies:
        """Return bodies, faces within them and depth, ``(H, W)`` each."""
        face = self.image.face
        body = np.where(face >= 0, self.scene.bodies.body_of_face[face], np.int32(-1))
        first = self.scene.bodies.triangles.first_face[body].astype(np.int32)
        return Bodies(body, np.where(face >= 0, face - first, np.int32(0)), self.depth)

    def light(self, lamp: Lamp) -> FloatArray:
        """Return the brightness ``(H, W)``; see ``SurfaceView``."""
        place = (lamp.position - self.T_world_camera[:3, 3]) @ self.T_world_camera[:3, :3]
        projector = Projector(
            place.astype(np.float32), np.float32(lamp.focal_px), np.float32(lamp.ambient), np.float32(lamp.pattern),
            lamp.offset.astype(np.float32), make_pattern(lamp.dots),
        )  # fmt: skip
        shadow = self._find_shadow(lamp, place) if lamp.casts_shadows and lamp.pattern > 0.0 else _NO_SHADOW
        brightness: FloatArray = light_pixels(self._pixels, self.scene.appearance, projector, shadow)
        return brightness

    @property
    def _pixels(self) -> Pixels:
        """Return the arrays of the kernels."""
        window, T = self.window, self.T_world_camera
        K = np.array([window.fx, window.fy, window.cx, window.cy], np.float32)
        R, origin = np.ascontiguousarray(T[:3, :3], np.float32), T[:3, 3].astype(np.float32)
        return Pixels(self.image.inverse_depth, self.image.face, K, R, origin)

    def _find_shadow(self, lamp: Lamp, place: FloatArray) -> ShadowMap:
        """Return what the projector reaches of the surfaces that the window shows."""
        window, inverse = self.window, self.image.inverse_depth
        if not (inverse > 0).any():
            return _NO_SHADOW
        # A point at the column u appears in the column u - f x w of the projector, with its inverse depth w.
        shift = np.array([inverse[inverse > 0].min(), inverse.max()]) * window.fx * place[0]
        left, right = int(np.floor(-shift.max())) - 1, int(np.ceil(window.width - shift.min())) + 1
        beside = CameraIntrinsics(window.fx, window.fy, window.cx - left, window.cy, right - left, window.height)
        T_world_lamp = lamp.T_world_camera.copy()
        T_world_lamp[:3, 3] = lamp.position
        reached = self.scene.bodies.draw(T_world_lamp, beside).inverse_depth
        return ShadowMap(reached, *np.array([beside.fx, beside.fy, beside.cx, beside.cy], np.float32))

    def find_surfaces(self) -> RayImage:
        """Return positions, normals and albedo of the surfaces."""
        bodies, pixels = self.find_bodies(), self._pixels
        points, normals = place_pixels(pixels, self.scene.appearance)
        cosine, albedo = shade_pixels(pixels, self.scene.appearance)
        return RayImage(bodies.depth, bodies.body, bodies.face, normals, cosine, albedo, points)
