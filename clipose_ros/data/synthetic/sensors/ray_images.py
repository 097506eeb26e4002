"""Ray-cast images of a scene as an infrared camera sees it: depth, surface normals, albedo and bodies of a window.

A window is a part of an image with intrinsics of its own: pixel (u, v) has the direction ((u - cx) / fx, (v - cy) / fy,
1). The texture of a body is a periodic noise image, looked up with two coordinates of the point in the world. It is
fixed to the scene, so two cameras of a stereo pair see the same texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.mesh import Mesh
from clipose_ros.data.synthetic.raycast import build_embree_scene
from clipose_ros.data.synthetic.sensors.lighting import Bodies, Lamp, RayImage, look_up_pattern
from clipose_ros.data.synthetic.sensors.ray_kernels import Materials, Rays, shade_rays
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Weights of linear red, green and blue in the albedo (Rec. 709); infrared albedo is assumed equal."""
THINNING = 6
"""Distance of the pixels at which the depth range of a window is found."""
_NOISE_SIDE = 256


@dataclass(frozen=True, slots=True, eq=False)
class RayView:
    """Surfaces that the rays of a window hit; see ``SurfaceView``.

    Attributes:
        scene: The scene.
        image: First surfaces along the rays.
    """

    scene: RayScene
    image: RayImage

    @property
    def depth(self) -> FloatArray:
        """Return the depth ``(H, W)``, metres; 0 for none."""
        return self.image.depth

    def find_surfaces(self) -> RayImage:
        """Return the surfaces."""
        return self.image

    def light(self, lamp: Lamp) -> FloatArray:
        """Return the brightness ``(H, W)``."""
        image = self.image
        brightness: FloatArray = np.full(image.depth.shape, lamp.ambient, dtype=np.float32)
        if lamp.pattern > 0.0:
            R = lamp.T_world_camera[:3, :3].astype(np.float32)
            local = (image.points - lamp.position.astype(np.float32)) @ R
            z = np.maximum(local[..., 2], 0.05)
            u = lamp.focal_px * local[..., 0] / z + lamp.offset[0]
            v = lamp.focal_px * local[..., 1] / z + lamp.offset[1]
            dots = look_up_pattern(u.astype(np.float32), v.astype(np.float32), lamp.dots)
            lit = self.scene.find_lit(image, lamp.position) if lamp.casts_shadows else np.ones(z.shape, dtype=bool)
            brightness = np.where(lit, lamp.ambient + lamp.pattern / (z * z) * dots, lamp.ambient)
        lit_surfaces = image.albedo * np.sqrt(image.cosine) * brightness
        return np.where(image.depth > 0, lit_surfaces, 0.0).astype(np.float32)


class RayScene:
    """A static scene of meshes with textured surfaces.

    Args:
        meshes: Bodies of the scene in world coordinates, metres; at least one.
        rng: Random generator of the textures.
        max_contrast: Largest relative change of the albedo by texture.

    Raises:
        DataError: There are no meshes.
    """

    is_compiled: ClassVar[bool] = False

    def __init__(self, meshes: Sequence[Mesh], rng: np.random.Generator, max_contrast: float = 0.6) -> None:
        self._embree = build_embree_scene(meshes)
        self._surfaces = make_materials(meshes, rng, max_contrast)

    def view(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> RayView:
        """Return the surfaces that a window shows; see ``SurfaceScene``."""
        return RayView(self, self.cast(T_world_camera, window))

    def cast(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> RayImage:
        """Cast one ray per pixel of a window.

        Args:
            T_world_camera: ``(4, 4)`` camera pose, optical frame, metres.
            window: Intrinsics of the window.
        """
        directions = make_directions(window) @ T_world_camera[:3, :3].T.astype(np.float32)
        origin = T_world_camera[:3, 3].astype(np.float32)
        found = self._embree.run(np.tile(origin, (len(directions), 1)), directions, output=True)
        body, face = found["geomID"].astype(np.int32), found["primID"].astype(np.int32)
        points, normals, values = (np.empty((len(directions), 3), np.float32) for _ in range(3))
        shade_rays(
            Rays(origin, directions, found["tfar"], body, face, found["Ng"]), self._surfaces, points, normals, values
        )
        shape = (window.height, window.width)
        depth, cosine, albedo = (np.ascontiguousarray(values[:, k]).reshape(shape) for k in range(3))
        return RayImage(
            depth=depth,
            body=np.maximum(body, -1).reshape(shape),
            face=np.where(body >= 0, face, 0).reshape(shape),
            normals=normals.reshape(*shape, 3),
            cosine=cosine,
            albedo=albedo,
            points=points.reshape(*shape, 3),
        )

    def find_bodies(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> Bodies:
        """Cast one ray per pixel of a window and return bodies, faces and depth alone, which is faster."""
        directions = make_directions(window) @ T_world_camera[:3, :3].T.astype(np.float32)
        origins = np.tile(T_world_camera[:3, 3].astype(np.float32), (len(directions), 1))
        result = self._embree.run(origins, directions, output=True)
        hit = (result["geomID"] >= 0).reshape(window.height, window.width)
        body, face, depth = (result[key].reshape(hit.shape) for key in ("geomID", "primID", "tfar"))
        return Bodies(
            np.where(hit, body, -1).astype(np.int32),
            np.where(hit, face, 0).astype(np.int32),
            np.where(hit, depth, 0.0).astype(np.float32),
        )

    def find_depth_range(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> tuple[float, float] | None:
        """Return the smallest and largest depth of every sixth pixel; see ``SurfaceScene``."""
        depth = self.find_bodies(T_world_camera, _thin_out(window)).depth
        seen = depth[depth > 0]
        return (float(seen.min()), float(seen.max())) if seen.size else None

    def find_lit(self, image: RayImage, source: FloatArray) -> BoolArray:
        """Return True ``(H, W)`` for pixels whose surface a point source ``(3,)`` in the world reaches."""
        lit = np.zeros(image.depth.size, dtype=bool)
        pixels = np.flatnonzero(image.depth.reshape(-1) > 0)
        points = image.points.reshape(-1, 3)[pixels]
        towards = source.astype(np.float32) - points
        # The ray starts off the surface, so that it does not hit its own face.
        starts = points + 5e-4 * image.normals.reshape(-1, 3)[pixels]
        blocked = self._embree.run(starts, towards, query="OCCLUDED", dists=np.ones(len(pixels), np.float32)) >= 0
        facing = np.einsum("ij,ij->i", image.normals.reshape(-1, 3)[pixels], towards) > 0
        lit[pixels] = ~blocked & facing
        return lit.reshape(image.depth.shape)


def _thin_out(window: CameraIntrinsics) -> CameraIntrinsics:
    """Return a coarse window of the same view."""
    return CameraIntrinsics(
        window.fx / THINNING, window.fy / THINNING, window.cx / THINNING, window.cy / THINNING,
        window.width // THINNING + 1, window.height // THINNING + 1,
    )  # fmt: skip


def make_materials(meshes: Sequence[Mesh], rng: np.random.Generator, max_contrast: float) -> Materials:
    """Draw the textures of bodies.

    Args:
        meshes: The bodies.
        rng: Random generator.
        max_contrast: Largest relative change of the albedo by texture.
    """
    count = len(meshes)
    # Half of all surfaces have little texture.
    contrast = 0.04 + max_contrast * rng.uniform(0.0, 1.0, count) ** 3
    period_m = np.exp(rng.uniform(np.log(0.05), np.log(0.4), count))
    return Materials(
        albedo=np.concatenate([mesh.colours @ LUMINANCE for mesh in meshes]).astype(np.float32),
        first_face=np.cumsum([0] + [len(mesh.faces) for mesh in meshes[:-1]]).astype(np.int64),
        contrast=contrast.astype(np.float32),
        scale=(_NOISE_SIDE / period_m).astype(np.float32),
        axes=np.ascontiguousarray(np.linalg.qr(rng.normal(size=(3, 3)))[0][:, :2], dtype=np.float32),
        noise=_make_noise(),
    )


@lru_cache(maxsize=8)
def make_directions(window: CameraIntrinsics) -> FloatArray:
    """Return the ray directions ``(H * W, 3)`` float32 of a window in row-major order, camera frame."""
    u = (np.arange(window.width, dtype=np.float32) - np.float32(window.cx)) / np.float32(window.fx)
    v = (np.arange(window.height, dtype=np.float32) - np.float32(window.cy)) / np.float32(window.fy)
    directions = np.empty((window.height, window.width, 3), dtype=np.float32)
    directions[..., 0], directions[..., 1], directions[..., 2] = u, v[:, None], 1.0
    return directions.reshape(-1, 3)


@lru_cache(maxsize=1)
def _make_noise() -> FloatArray:
    """Return a periodic noise image of three octaves in [-1, 1], the same for every scene."""
    rng, noise = np.random.default_rng(7), np.zeros((_NOISE_SIDE, _NOISE_SIDE), np.float32)
    for radius in (1.0, 3.0, 9.0):
        wide = np.pad(rng.standard_normal(noise.shape).astype(np.float32), 32, mode="wrap")
        octave = cv2.GaussianBlur(wide, (0, 0), radius)[32:-32, 32:-32]
        noise += octave / octave.std()
    bounded: FloatArray = np.clip(noise / (2.0 * noise.std()), -1.0, 1.0)
    return bounded
