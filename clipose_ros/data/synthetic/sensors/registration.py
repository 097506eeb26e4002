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

from clipose_ros.data.synthetic.sensors.registration_kernels import draw_pixels
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
    image = np.zeros((colour_window.height, colour_window.width), dtype=np.float32)
    K, K_colour = (np.array([camera.fx, camera.fy, camera.cx, camera.cy]) for camera in (window, colour_window))
    draw_pixels(depth, K, K_colour, np.ascontiguousarray(T_colour_depth[:3], dtype=np.float64), image)
    return image
