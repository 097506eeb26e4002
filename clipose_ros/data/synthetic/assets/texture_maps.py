"""Colours of OBJ meshes: the materials (MTL) that their faces use, with diffuse colours (Kd) and images (map_Kd).

An image replaces the diffuse colour. Its texture coordinates (u, v) are interpolated over a face, v points up, and the
image repeats beyond [0, 1]. Other properties of materials, transparency included, are not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from clipose_ros.bounded_files import read_bytes
from clipose_ros.data.synthetic.assets.mesh_text import (
    USE_LINE,
    find_used_material,
    locate_below,
    normalize_name,
    split_line,
)
from clipose_ros.errors import UnreadableFileError, quoted
from clipose_ros.image_files import decode_image, read_image_size
from clipose_ros.types import ByteArray, FloatArray

MAX_MATERIALS = 256
"""Largest number of materials that the faces of a mesh use."""
MAX_MATERIAL_BYTES = 1 << 20
"""Largest size of a file of materials, bytes."""
MAX_TEXTURE_BYTES = 1 << 26
"""Largest size of an image file, bytes."""
MAX_TEXTURE_SIDE = 4096
"""Largest side of an image, pixels."""
STORED_SIDE = 1024
"""Side to which larger images are reduced, pixels."""
MAX_TEXTURES = 16
"""Largest number of images of a mesh."""
DEFAULT_COLOUR = 0.8
"""sRGB value of faces whose material has no colour."""
_TO_LINEAR = (np.linspace(0.0, 1.0, 256) ** 2.2).astype(np.float32)
_LIBRARY = re.compile(rb"^(?:\xef\xbb\xbf)?[ \t]*mtllib[ \t][^\r\n]+", re.MULTILINE)
_NO_MATERIAL = frozenset({"", "(null)", "None"})
"""Names that programs write for faces without a material."""
_CORNER_WEIGHTS = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4]], np.float32)
"""Points of a face at which its mean colour is measured: barycentric weights, not normalized."""
_ADVICE = "put the file into the folder of the mesh, or delete the line 'mtllib' of the mesh to give it random colours"


@dataclass(frozen=True, slots=True, eq=False)
class FileMaterial:
    """A material of a file.

    Attributes:
        colour: ``(3,)`` linear albedo.
        image: ``(H, W, 3)`` uint8 sRGB image that replaces the colour, or None.
    """

    colour: FloatArray
    image: ByteArray | None = None


DEFAULT_MATERIAL = FileMaterial(np.full(3, DEFAULT_COLOUR**2.2, np.float32))
"""Material of faces without one."""


@dataclass(frozen=True, slots=True, eq=False)
class TextureMap:
    """Colours of the faces of a mesh.

    Attributes:
        materials: The materials.
        material: ``(F,)`` index of the material of each face.
        uv: ``(F, 3, 2)`` float32 texture coordinates of the corners of each face.
    """

    materials: tuple[FileMaterial, ...]
    material: NDArray[np.intp]
    uv: FloatArray

    def sample(self, face: NDArray[np.integer], weights: FloatArray) -> FloatArray:
        """Return the linear albedo ``(N, 3)`` at points of faces.

        Args:
            face: ``(N,)`` indices of the faces.
            weights: ``(N, 3)`` barycentric weights of their corners.
        """
        used = self.material[face]
        albedo = np.empty((len(face), 3), np.float32)
        for number in np.unique(used):
            hit, material = np.flatnonzero(used == number), self.materials[number]
            if material.image is None:
                albedo[hit] = material.colour
                continue
            height, width = material.image.shape[:2]
            u, v = np.einsum("nk,nkc->cn", weights[hit], self.uv[face[hit]])
            # The fractions may be rounded up to 1.
            column = np.minimum((u % 1.0 * width).astype(np.intp), width - 1)
            row = np.minimum(((1.0 - v) % 1.0 * height).astype(np.intp), height - 1)
            albedo[hit] = _TO_LINEAR[material.image[row, column]]
        return albedo

    def mean_colours(self) -> FloatArray:
        """Return the mean linear albedo ``(F, 3)`` of each face, measured at four points."""
        face = np.arange(len(self.material))
        points = _CORNER_WEIGHTS / _CORNER_WEIGHTS.sum(axis=1, keepdims=True)
        sampled = [self.sample(face, np.broadcast_to(point, (len(face), 3))) for point in points]
        mean: FloatArray = np.mean(sampled, axis=0, dtype=np.float32)
        return mean


def read_materials(path: Path, data: bytes) -> dict[str, FileMaterial]:
    """Read the materials that the faces of an OBJ file use.

    Args:
        path: The OBJ file; materials and images lie in its folder or below.
        data: Its content.

    Returns:
        Materials by name; empty if the file names no file of materials, or none is used.

    Raises:
        UnreadableFileError: A file of materials or an image is missing, damaged, too large or outside the folder, or
            no file defines a used material.
    """
    used = {name for line in USE_LINE.findall(data) if (name := find_used_material(line))}
    libraries = list(dict.fromkeys(split_line(line)[1] for line in _LIBRARY.findall(data)))
    if len(used) > MAX_MATERIALS or len(libraries) > MAX_MATERIALS:
        counts = f"{len(used)} materials of {len(libraries)} files"
        raise UnreadableFileError(f"it uses {counts}, at most {MAX_MATERIALS} are read: merge some")
    found: dict[str, FileMaterial] = {}
    images: dict[str, ByteArray] = {}
    for name in libraries if used else ():
        try:
            text = read_bytes(locate_below(path.parent, name), MAX_MATERIAL_BYTES)
        except UnreadableFileError as error:
            raise UnreadableFileError(f"its materials {quoted(name)} cannot be read: {error}; {_ADVICE}") from error
        try:
            found |= _parse_materials(path, text, used, images)
        except UnreadableFileError as error:
            raise UnreadableFileError(f"its materials {quoted(name)}, {error}") from error
    if libraries and (undefined := sorted(used - found.keys() - _NO_MATERIAL)):
        raise UnreadableFileError(
            f"its material {quoted(undefined[0])} is not defined in {quoted(', '.join(libraries))}: define it, or "
            "delete the line 'mtllib' of the mesh to give it random colours"
        )
    return found


def _parse_materials(path: Path, text: bytes, used: set[str], images: dict[str, ByteArray]) -> dict[str, FileMaterial]:
    """Parse a file of materials and load the images of those that are used; ``images`` holds those already loaded."""
    found: dict[str, FileMaterial] = {}
    name = ""
    for number, line in enumerate(text.splitlines(), start=1):
        key, value = split_line(line)
        key = key.lower()
        if key == "newmtl":
            name = normalize_name(value)
            if name in used:
                found[name] = DEFAULT_MATERIAL
        elif name not in used or key not in ("kd", "map_kd"):
            continue
        elif key == "kd":
            found[name] = FileMaterial(_parse_colour(number, value), found[name].image)
        else:
            found[name] = FileMaterial(found[name].colour, _load_image(path, number, value, images))
    return found


def _parse_colour(number: int, text: str) -> FloatArray:
    """Parse three sRGB values of line ``number`` to a linear albedo ``(3,)``."""
    try:
        colour = np.array([float(part) for part in text.split()])
    except ValueError:
        colour = np.empty(0)
    if colour.shape != (3,) or not np.isfinite(colour).all():
        raise UnreadableFileError(f"line {number}: 'Kd' must be three numbers from 0 to 1, got {quoted(text)}")
    return np.asarray(np.clip(colour, 0.0, 1.0) ** 2.2, dtype=np.float32)


def _load_image(path: Path, number: int, name: str, images: dict[str, ByteArray]) -> ByteArray:
    """Return the image ``(H, W, 3)`` that line ``number`` names, reduced to ``STORED_SIDE``."""
    if name.startswith("-"):
        raise UnreadableFileError(f"line {number}: the options of 'map_Kd' are not read: delete them: {quoted(name)}")
    if name not in images:
        try:
            if len(images) >= MAX_TEXTURES:
                raise UnreadableFileError(f"at most {MAX_TEXTURES} images are read: merge some")
            images[name] = _read_texture(locate_below(path.parent, name))
        except UnreadableFileError as error:
            message = f"line {number}: the image {quoted(name)} cannot be read: {error}"
            raise UnreadableFileError(f"{message}; {_ADVICE}") from error
    return images[name]


def _read_texture(path: Path) -> ByteArray:
    """Read an image ``(H, W, 3)`` uint8 of at most ``STORED_SIDE`` pixels a side."""
    data = read_bytes(path, MAX_TEXTURE_BYTES)
    size = read_image_size(data)
    if max(size) > MAX_TEXTURE_SIDE:
        raise UnreadableFileError(f"it states {size.width}x{size.height} pixels, at most {MAX_TEXTURE_SIDE} a side")
    image = np.asarray(decode_image(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    reduction = STORED_SIDE / max(size)
    if reduction < 1.0:
        smaller = (max(1, round(size.width * reduction)), max(1, round(size.height * reduction)))
        image = np.asarray(cv2.resize(image, smaller, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.ascontiguousarray(image[..., ::-1])
