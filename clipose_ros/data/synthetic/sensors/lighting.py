"""Light of a depth camera and of its surroundings, and the interface of scenes that depth cameras measure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.types import CameraIntrinsics, FloatArray

TILE_PX = 512
"""Side of the periodic dot pattern, pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class RayImage:
    """First surfaces along the rays of a window of ``(H, W)`` pixels; zeros where a ray hits nothing.

    Attributes:
        depth: ``(H, W)`` float32 depth along the optical axis, metres.
        body: ``(H, W)`` int32 index of the body, -1 for none.
        face: ``(H, W)`` int32 index of the face within the body.
        normals: ``(H, W, 3)`` float32 unit normals towards the camera, world frame.
        cosine: ``(H, W)`` float32 cosine of the angle between ray and normal.
        albedo: ``(H, W)`` float32 albedo with texture, in [0, 1].
        points: ``(H, W, 3)`` float32 positions, metres, world frame.
    """

    depth: FloatArray
    body: NDArray[np.int32]
    face: NDArray[np.int32]
    normals: FloatArray
    cosine: FloatArray
    albedo: FloatArray
    points: FloatArray


class Bodies(NamedTuple):
    """Bodies behind the pixels of a window.

    Attributes:
        body: ``(H, W)`` int32 index of the body, -1 for none.
        face: ``(H, W)`` int32 index of the face within the body.
        depth: ``(H, W)`` float32 depth along the optical axis, metres; 0 for none.
    """

    body: NDArray[np.int32]
    face: NDArray[np.int32]
    depth: FloatArray


class Lamp(NamedTuple):
    """Ambient light and the projector of a depth camera.

    Attributes:
        T_world_camera: ``(4, 4)`` pose of the first camera, whose orientation the projector shares.
        x_m: Place of the projector along the x axis of the first camera, metres.
        focal_px: Focal length of camera and projector, pixels.
        ambient: Brightness of the ambient light on a white surface.
        pattern: Brightness of the dots on a white surface at 1 m; 0 for no projector.
        dots: Dots of the pattern per pixel.
        offset: ``(2,)`` shift of the pattern, pixels.
        casts_shadows: True if surfaces that the projector does not reach have no pattern.
    """

    T_world_camera: FloatArray
    x_m: float
    focal_px: float
    ambient: float
    pattern: float
    dots: float
    offset: FloatArray
    casts_shadows: bool

    @property
    def position(self) -> FloatArray:
        """Return the position ``(3,)`` of the projector, metres, world frame."""
        place: FloatArray = self.T_world_camera[:3, 3] + self.x_m * self.T_world_camera[:3, 0]
        return place


class SurfaceView(Protocol):
    """Surfaces that a window shows."""

    @property
    def depth(self) -> FloatArray:
        """Return the depth ``(H, W)`` float32 along the optical axis, metres; 0 for none."""
        ...

    def light(self, lamp: Lamp) -> FloatArray:
        """Return the brightness ``(H, W)`` float32 of the surfaces: albedo sqrt(cosine) (ambient + pattern / z^2)."""
        ...

    def find_surfaces(self) -> RayImage:
        """Return positions, normals and albedo of the surfaces."""
        ...


class SurfaceScene(Protocol):
    """Scene of bodies with textured surfaces.

    Attributes:
        is_compiled: True if depth cameras measure it with compiled kernels, which round differently.
    """

    is_compiled: ClassVar[bool]

    def view(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> SurfaceView:
        """Return the surfaces that a window of a camera with a pose ``(4, 4)`` shows."""
        ...

    def find_bodies(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> Bodies:
        """Return the bodies that a window of a camera with a pose ``(4, 4)`` shows."""
        ...

    def find_depth_range(self, T_world_camera: FloatArray, window: CameraIntrinsics) -> tuple[float, float] | None:
        """Return the approximate smallest and largest depth that a window shows, metres; None if it shows nothing."""
        ...


def look_up_pattern(u: FloatArray, v: FloatArray, dots: float) -> FloatArray:
    """Return the brightness of a pattern of a density at pixels ``(H, W)``."""
    columns, rows = (np.asarray(axis % TILE_PX, dtype=np.float32) for axis in (u, v))
    return np.asarray(cv2.remap(make_pattern(dots), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


@lru_cache(maxsize=8)
def make_pattern(dots: float) -> FloatArray:
    """Return a periodic image of random dots, about two pixels wide, with a peak brightness of about 1.

    Args:
        dots: Dots per pixel.
    """
    rng = np.random.default_rng(3)
    image = np.zeros((TILE_PX, TILE_PX), np.float32)
    count = round(dots * TILE_PX * TILE_PX)
    image[rng.integers(0, TILE_PX, count), rng.integers(0, TILE_PX, count)] = 1.0
    smooth = cv2.GaussianBlur(np.pad(image, 8, mode="wrap"), (0, 0), 1.0)[8:-8, 8:-8]
    return np.ascontiguousarray(smooth / smooth.max())
