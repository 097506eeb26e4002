"""Cut-outs: single objects with transparency, cut from photographs or rendered, to paste into other images."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from clipose_ros.data.synthetic.assets.object_library import ObjectLibrary
from clipose_ros.data.synthetic.assets.shapes import MeshObject
from clipose_ros.data.synthetic.assets.textures import Texture
from clipose_ros.data.synthetic.object_materials import make_object_material, make_random_prop_material
from clipose_ros.data.synthetic.renderer import Renderer
from clipose_ros.data.synthetic.scenes import UPRIGHT, Light, PlacedObject, Prop, Scene, random_rotation
from clipose_ros.data.synthetic.viewpoints import look_at
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.segmenter_training.environment import Environment
from clipose_ros.segmenter_training.environment_shading import EnvironmentShader
from clipose_ros.segmenter_training.hard_negatives import make_hard_negative
from clipose_ros.segmenter_training.photo_set import Photo
from clipose_ros.types import BoolArray, CameraIntrinsics, FloatArray

_NO_LAMP = Light(np.array([0.0, 0.0, 2.0]), 0.1, np.ones(3), np.ones(3))
_OVERSAMPLING = 2
"""Rendered cut-outs are rendered larger and reduced, which smooths their edges."""


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """An object with transparency.

    Attributes:
        rgb: ``(H, W, 3)`` float32 sRGB in [0, 1].
        alpha: ``(H, W)`` float32 opacity in [0, 1].
        category: Name of the category; empty for other objects.
    """

    rgb: FloatArray
    alpha: FloatArray
    category: str

    def resized(self, longer_side: float, angle_deg: float = 0.0, mirrored: bool = False) -> CutOut:
        """Return the object turned, perhaps mirrored, and scaled to a longer side, pixels."""
        layers = np.dstack([self.rgb * self.alpha[..., None], self.alpha]).astype(np.float32)
        layers = layers[:, ::-1] if mirrored else layers
        scale = longer_side / max(self.alpha.shape)
        if scale < 1.0:
            size = (max(round(layers.shape[1] * scale), 2), max(round(layers.shape[0] * scale), 2))
            layers = np.asarray(cv2.resize(layers, size, interpolation=cv2.INTER_AREA))
            scale = 1.0
        height, width = layers.shape[:2]
        side = int(np.ceil(np.hypot(height, width) * scale)) + 2
        M = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, scale)
        offset = np.array([[0.0, 0.0, (side - width) / 2], [0.0, 0.0, (side - height) / 2]])
        M = np.asarray(M, dtype=np.float64) + offset
        turned = np.asarray(cv2.warpAffine(layers, M, (side, side), flags=cv2.INTER_LINEAR), dtype=np.float32)
        return _trim(turned[..., :3], turned[..., 3], self.category)


def cut_out_photo(photo: Photo) -> CutOut:
    """Cut the main object out of a photograph, with a soft edge one pixel inside its mask."""
    image, mask = photo.load()
    inner = cv2.erode(mask.astype(np.float32), np.ones((3, 3), np.uint8))
    alpha = np.asarray(cv2.GaussianBlur(inner, (0, 0), 0.8), dtype=np.float32)
    premultiplied = image.astype(np.float32) / 255.0 * alpha[..., None]
    return _trim(premultiplied, alpha, photo.category)


def render_cut_out(
    rng: np.random.Generator, library: ObjectLibrary, category: str, environment: Environment, longer_side: int
) -> CutOut:
    """Render an object in an environment, seen from 0 to 65 degrees above.

    Args:
        rng: Random generator of object, material, pose and viewpoint.
        library: Source of objects.
        category: Name of the category; empty for an object of none.
        environment: The light.
        longer_side: Longer side of the image, pixels.
    """
    scene, radius = _place_single_object(rng, library, category)
    meshes = [item.object.mesh for item in scene.objects]
    material = make_object_material(rng, category, meshes[0]) if category else make_random_prop_material(rng, 0.6)
    shader = EnvironmentShader(environment, [material], rng, float(rng.uniform(0.5, 1.1)))
    renderer = Renderer(scene, library.categories, shader.attach)
    distance = max(rng.uniform(0.4, 1.4), 2.5 * radius)
    elevation, azimuth = np.radians(rng.uniform(0, 65)), rng.uniform(0, 2 * np.pi)
    flat = np.cos(elevation)
    eye = distance * np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    side = _OVERSAMPLING * longer_side
    focal = 0.48 * side * distance / radius
    camera = CameraIntrinsics(focal, focal, (side - 1) / 2, (side - 1) / 2, side, side)
    view = renderer.render(look_at(eye, np.zeros(3), rng.normal(0.0, 4.0)), camera, shadow_rays=6, instances=())
    opaque: BoolArray = view.depth > 0
    layers = np.dstack([view.rgb.astype(np.float32) / 255.0 * opaque[..., None], opaque.astype(np.float32)])
    size = (longer_side, longer_side)
    reduced = np.asarray(cv2.resize(layers, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return _trim(reduced[..., :3], reduced[..., 3], category)


def _place_single_object(rng: np.random.Generator, library: ObjectLibrary, category: str) -> tuple[Scene, float]:
    """Return a scene of one object at the origin, mostly upright, and the object's radius, metres."""
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(yaw), np.sin(yaw)
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ UPRIGHT
    if rng.uniform() < 0.12 and category != "laptop":
        R = random_rotation(rng)
    T = make_transform(R, np.zeros(3))
    texture = Texture.random(rng, ("plain", "plain", "plain", "noise"), (0.01, 0.08))
    if category:
        shape: MeshObject = library.make(category, rng)
        radius = float(np.linalg.norm(shape.size) / 2)
        return Scene((PlacedObject(1, shape, T, texture),), (), _NO_LAMP), radius
    mesh = make_hard_negative(rng).mesh
    radius = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)) / 2)
    return Scene((), (Prop(mesh, T, texture),), _NO_LAMP), radius


def _trim(premultiplied: FloatArray, alpha: FloatArray, category: str) -> CutOut:
    """Return the part with any opacity; colours are divided by the opacity."""
    rows, columns = np.nonzero(alpha > 0.02)
    if not len(rows):
        return CutOut(np.zeros((1, 1, 3), np.float32), np.zeros((1, 1), np.float32), category)
    window = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    alpha = np.clip(alpha[window], 0.0, 1.0)
    rgb = np.clip(premultiplied[window] / np.maximum(alpha, 1e-3)[..., None], 0.0, 1.0)
    return CutOut(rgb.astype(np.float32), alpha.astype(np.float32), category)
