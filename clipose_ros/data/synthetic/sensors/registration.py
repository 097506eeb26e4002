"""Registration of a depth image to a colour camera beside the depth camera.

Each depth pixel is a small square. Its centre is moved to the colour camera, and the square is drawn there with the
ratio of the focal lengths as its side, rounded outwards to whole pixels; nearer pixels cover farther ones. Two effects
follow:

- Surfaces that only the colour camera sees have no depth. Beside a near surface at z1 in front of a far one at z2, the
  shadow is f b (1 / z1 - 1 / z2) pixels wide, on the side towards the colour camera.
- If the depth camera has fewer pixels, depth is blocky.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clipose_ros.types import CameraIntrinsics, FloatArray


def register_depth(
    depth: FloatArray, window: CameraIntrinsics, colour_window: CameraIntrinsics, T_colour_depth: FloatArray
) -> FloatArray:
    """Transform a depth image to the pixels of a colour camera.

    Args:
        depth: ``(H, W)`` measured depth, metres; 0 is invalid.
        window: Intrinsics of the depth image.
        colour_window: Intrinsics of the result.
        T_colour_depth: ``(4, 4)`` pose of the depth camera in the colour camera's frame, metres.

    Returns:
        Registered depth ``(height, width)`` of ``colour_window``, float32, metres; 0 is invalid.
    """
    rows, columns = np.nonzero(depth > 0)
    z = depth[rows, columns].astype(np.float32)
    x, y = (columns - window.cx) / window.fx * z, (rows - window.cy) / window.fy * z
    moved = np.stack([x, y, z], axis=1) @ T_colour_depth[:3, :3].T + T_colour_depth[:3, 3]
    ahead = moved[:, 2] > 0.02
    moved = moved[ahead]
    scale_u, scale_v = colour_window.fx / window.fx, colour_window.fy / window.fy
    u = moved[:, 0] / moved[:, 2] * colour_window.fx + colour_window.cx
    v = moved[:, 1] / moved[:, 2] * colour_window.fy + colour_window.cy
    first_u, last_u = np.rint(u - scale_u / 2).astype(np.int64), np.rint(u + scale_u / 2).astype(np.int64)
    first_v, last_v = np.rint(v - scale_v / 2).astype(np.int64), np.rint(v + scale_v / 2).astype(np.int64)
    image = np.full((colour_window.height, colour_window.width), np.inf, dtype=np.float32)
    for dv in range(int(np.ceil(scale_v)) + 1):
        for du in range(int(np.ceil(scale_u)) + 1):
            covered = (first_u + du <= last_u) & (first_v + dv <= last_v)
            _draw(image, first_u[covered] + du, first_v[covered] + dv, moved[covered, 2])
    return np.where(np.isfinite(image), image, np.float32(0.0))


def _draw(image: FloatArray, u: NDArray[np.int64], v: NDArray[np.int64], z: FloatArray) -> None:
    """Write depth ``(N,)`` into the pixels (u, v) of an image where it is nearer."""
    height, width = image.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    np.minimum.at(image.reshape(-1), v[inside] * width + u[inside], z[inside].astype(np.float32))
