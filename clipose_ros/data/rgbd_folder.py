"""Reader of a folder of registered RGB-D frames, as recorded by cameras and found in datasets.

========== =============================================================================================================
colour     ``*color*`` or ``*rgb*``, PNG or JPEG, 8 bit
depth      ``*depth*.png``, 16 bit, registered to the colour image; 0 is invalid
pairing    by name: ``000012-color.png`` goes with ``000012-depth.png``
intrinsics one ``*.json``, ``*.yaml`` or ``*.yml`` with ``fx fy cx cy`` (or ``x_offset y_offset``), a ``K`` of nine
           values, or a ROS CameraInfo (``projection_matrix`` / ``camera_matrix``, or ``p`` / ``k``)
depth unit in the same file: ``depth_scale``, metres per unit, or ``factor_depth``, units per metre; else millimetres
========== =============================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from clipose_ros.bounded_files import read_json, read_yaml
from clipose_ros.errors import DataError, FrameError, UnreadableFileError
from clipose_ros.image_files import read_image
from clipose_ros.types import CameraIntrinsics, RgbdFrame

METRES_PER_MILLIMETRE = 0.001
"""Default depth scale."""
_COLOUR_PATTERN = re.compile(r"color|colour|rgb", re.IGNORECASE)
_DEPTH_PATTERN = re.compile(r"depth", re.IGNORECASE)


class ImagePair(NamedTuple):
    """Paths of the colour and the depth image of a frame."""

    colour: Path
    depth: Path


class Pinhole(NamedTuple):
    """Focal lengths and principal point of a camera, pixels."""

    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True, slots=True)
class RgbdFolder:
    """Frames of one camera, sorted by name.

    Attributes:
        pairs: Paths of colour and depth image of every frame.
        intrinsics: Camera intrinsics of all frames.
        depth_scale: Metres per unit of the depth images.
    """

    pairs: tuple[ImagePair, ...]
    intrinsics: CameraIntrinsics
    depth_scale: float

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int, *, stamp_ns: int = 0, frame_id: str = "") -> RgbdFrame:
        """Read one frame.

        Raises:
            DataError: An image cannot be read, or its size or type is wrong; the message names the file.
        """
        colour_path, depth_path = self.pairs[index]
        bgr = _read_image(colour_path, cv2.IMREAD_COLOR)
        raw = _read_image(depth_path, cv2.IMREAD_UNCHANGED)
        if raw.ndim != 2 or raw.dtype != np.uint16:
            raise DataError(f"'{depth_path}' must be a 16-bit image with one channel, got {raw.dtype} {raw.shape}")
        expected = (self.intrinsics.height, self.intrinsics.width)
        for path, image in ((colour_path, bgr), (depth_path, raw)):
            if image.shape[:2] != expected:
                raise DataError(
                    f"'{path}' is {image.shape[1]}x{image.shape[0]}, expected {expected[1]}x{expected[0]} as the "
                    "intrinsics and the other images: depth must be registered to colour"
                )
        depth = raw.astype(np.float32) * np.float32(self.depth_scale)
        # Zero means no measurement. NaN keeps it from being taken for a point at the camera.
        depth[raw == 0] = np.nan
        rgb = np.ascontiguousarray(bgr[..., ::-1])
        return RgbdFrame(rgb, depth, self.intrinsics, stamp_ns=stamp_ns, frame_id=frame_id)


def holds_depth_images(folder: Path) -> bool:
    """Return True if a folder holds files that ``open_rgbd_folder`` reads as depth."""
    return any(path.suffix.lower() == ".png" and _DEPTH_PATTERN.search(path.stem) for path in folder.iterdir())


def open_rgbd_folder(folder: str | Path) -> RgbdFolder:
    """Find the frames and the intrinsics of a folder. Images are read on request only.

    Raises:
        DataError: The folder is missing, holds no pair of images, or holds no usable intrinsics; the message names the
            accepted formats.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"no such folder of RGB-D frames: '{folder}'")
    pairs = _find_pairs(root)
    height, width = _read_image(pairs[0].colour, cv2.IMREAD_COLOR).shape[:2]
    try:
        source, values = _find_intrinsics(root)
        return RgbdFolder(pairs, _make_intrinsics(source, values, width, height), _parse_depth_scale(source, values))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the intrinsics in '{root}' hold a value that is not a number: {error}") from error


def _find_pairs(root: Path) -> tuple[ImagePair, ...]:
    """Pair colour and depth images whose names are equal without the words ``color`` and ``depth``."""
    images = sorted(path for path in root.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    # A name such as depth_to_color contains both words: depth takes precedence.
    is_depth = {path: bool(_DEPTH_PATTERN.search(path.stem)) for path in images}
    depths = {_DEPTH_PATTERN.sub("", p.stem): p for p in images if is_depth[p] and p.suffix.lower() == ".png"}
    colours = {_COLOUR_PATTERN.sub("", p.stem): p for p in images if _COLOUR_PATTERN.search(p.stem) and not is_depth[p]}
    pairs = tuple(ImagePair(colours[key], depths[key]) for key in sorted(colours.keys() & depths.keys()))
    if not pairs:
        raise DataError(
            f"'{root}' holds {len(colours)} colour and {len(depths)} depth images but no pair of equal name: expected "
            "files such as 000000-color.png with 000000-depth.png (16 bit)"
        )
    return pairs


def _find_intrinsics(root: Path) -> tuple[Path, Mapping[str, Any]]:
    """Return the first JSON or YAML file that holds intrinsics, and its values."""
    candidates = sorted(path for path in root.iterdir() if path.suffix.lower() in (".json", ".yaml", ".yml"))
    for path in candidates:
        try:
            values = read_json(path) if path.suffix.lower() == ".json" else read_yaml(path)
        except UnreadableFileError as error:
            raise DataError(f"'{path}' cannot be read: {error}") from error
        if isinstance(values, Mapping) and _parse_pinhole(values) is not None:
            return path, values
    found = f"looked into {', '.join(p.name for p in candidates)}" if candidates else "there is no JSON or YAML file"
    raise DataError(
        f"'{root}' holds no camera intrinsics ({found}): add a camera.json with fx, fy, cx, cy in pixels of the colour "
        "image, or a CameraInfo YAML"
    )


def _parse_pinhole(values: Mapping[str, Any]) -> Pinhole | None:
    """Return the pinhole parameters under any of the accepted keys, or None."""
    # Names of the principal point in different datasets and drivers; ppx and ppy are those of RealSense.
    for centre in (("cx", "cy"), ("x_offset", "y_offset"), ("ppx", "ppy")):
        if all(key in values for key in ("fx", "fy", *centre)):
            return Pinhole(*(float(values[key]) for key in ("fx", "fy", *centre)))
    # The projection matrix comes first: it belongs to the rectified image, camera_matrix to the raw image.
    for key, columns in (
        ("projection_matrix", 4),
        ("p", 4),
        ("P", 4),
        ("camera_matrix", 3),
        ("K", 3),
        ("k", 3),
        ("cam_K", 3),
    ):
        matrix = values.get(key)
        matrix = matrix.get("data") if isinstance(matrix, Mapping) else matrix
        if matrix is not None and np.size(matrix) == 3 * columns:
            flat = np.asarray(matrix, dtype=float).reshape(3, columns)
            return Pinhole(float(flat[0, 0]), float(flat[1, 1]), float(flat[0, 2]), float(flat[1, 2]))
    return None


def _make_intrinsics(source: Path, values: Mapping[str, Any], width: int, height: int) -> CameraIntrinsics:
    """Create the intrinsics of images of a given size; a size stated in the file must agree."""
    for keys, actual in (
        (("img_width", "image_width", "width"), width),
        (("img_height", "image_height", "height"), height),
    ):
        stated = next((int(values[key]) for key in keys if key in values), actual)
        if stated != actual:
            raise DataError(
                f"'{source}' describes images with a {keys[2]} of {stated}, but the colour images have {actual}: the "
                "intrinsics belong to another resolution"
            )
    pinhole = _parse_pinhole(values)
    if pinhole is None:
        raise DataError(f"'{source}' holds no camera intrinsics")
    try:
        return CameraIntrinsics(*pinhole, width=width, height=height)
    except FrameError as error:
        raise DataError(f"'{source}': {error}") from error


def _parse_depth_scale(source: Path, values: Mapping[str, Any]) -> float:
    """Return the metres per unit of depth; values of an unknown convention raise DataError."""
    scale = float(values.get("depth_scale", METRES_PER_MILLIMETRE))
    if "factor_depth" in values:
        factor = float(values["factor_depth"])
        scale = 1.0 / factor if factor > 0.0 else 0.0
    # Other values are probably the reciprocal of the unit, such as 1000 for depth_scale.
    if not 1e-6 <= scale <= 0.01:
        raise DataError(
            f"'{source}' gives a depth unit of {scale} m: 'depth_scale' must be metres per unit (0.001 for "
            "millimetres) and 'factor_depth' units per metre (1000 for millimetres)"
        )
    return scale


def _read_image(path: Path, flags: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Read an image, or raise DataError naming the file."""
    try:
        return read_image(path, flags)
    except UnreadableFileError as error:
        raise DataError(f"'{path}' is not an image that can be read: {error}") from error
