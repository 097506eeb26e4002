"""Random table scenes: objects and distractors standing, lying and stacked on a table in a room.

World frame: z up, origin at the centre of the table top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import ConfigNode, option
from clipose_ros.data.synthetic.assets.distractors import DistractorSource, make_distractor
from clipose_ros.data.synthetic.assets.mesh import Mesh, box, compute_column_bounds
from clipose_ros.data.synthetic.assets.shapes import MeshObject, ObjectSource, make_object
from clipose_ros.data.synthetic.assets.textures import Texture, random_colour, random_wood
from clipose_ros.errors import ConfigError
from clipose_ros.types import FloatArray

UPRIGHT = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Rotation from y up (object frames) to z up (world frame)."""
_ANGLES = np.pi * np.arange(12) / 12
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
"""``(2, 12)`` horizontal unit vectors for the separating-axis test of footprints."""
_OBJECT_TEXTURES = ("plain", "plain", "noise", "stripes")
"""Kinds of object texture; repeated kinds are drawn more often."""


@dataclass(frozen=True)
class SceneConfig(ConfigNode):
    """Number, categories and placement of the objects of a scene."""

    categories: tuple[str, ...] = option(NOCS_CATEGORIES.names, "Categories of the objects, drawn equally often.")
    objects_min: int = option(3, "Minimum number of objects.", low=1, high=50)
    objects_max: int = option(8, "Maximum number of objects.", low=1, high=50)
    distractors_max: int = option(4, "Maximum number of distractors, which have no category.", low=0, high=50)
    lying: float = option(0.15, "Share of objects lying on a side or upside down.", low=0.0, high=1.0)
    tilted: float = option(0.15, "Share of objects in a uniformly random orientation.", low=0.0, high=1.0)
    stacked: float = option(
        0.15, "Probability that an object stands on a free box, brick or stack of books.", low=0.0, high=1.0
    )
    radius_m: float = option(
        0.32, "Maximum distance of objects from the centre of the table, metres.", low=0.05, high=5.0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.categories:
            raise ConfigError("'categories' must name at least one category, got none")


@dataclass(frozen=True, slots=True, eq=False)
class PlacedObject:
    """An object of a category with its pose in the scene.

    Attributes:
        instance: Number from 1, unique in the scene.
        object: Mesh and size, in the object frame.
        T_world_object: ``(4, 4)`` pose, metres.
        texture: Texture of the surface.
    """

    instance: int
    object: MeshObject
    T_world_object: FloatArray
    texture: Texture


@dataclass(frozen=True, slots=True, eq=False)
class Prop:
    """A mesh without a category: furniture, wall or distractor.

    Attributes:
        mesh: Surface in the prop's frame, metres.
        T_world_prop: ``(4, 4)`` pose, metres.
        texture: Texture of the surface.
    """

    mesh: Mesh
    T_world_prop: FloatArray
    texture: Texture


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """A disc lamp and ambient light.

    Attributes:
        position: ``(3,)`` metres, world frame.
        radius_m: Radius of the lamp, metres; larger lamps cast softer shadows.
        colour: ``(3,)`` linear RGB intensity of the lamp.
        ambient: ``(3,)`` linear RGB intensity of the ambient light.
    """

    position: FloatArray
    radius_m: float
    colour: FloatArray
    ambient: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A static scene.

    Attributes:
        objects: Objects of the categories.
        props: Table, floor, walls and distractors.
        light: Lamp and ambient light.
    """

    objects: tuple[PlacedObject, ...]
    props: tuple[Prop, ...]
    light: Light


def make_scene(
    rng: np.random.Generator,
    config: SceneConfig | None = None,
    make: ObjectSource = make_object,
    make_prop: DistractorSource = make_distractor,
) -> Scene:
    """Generate a random scene.

    Args:
        rng: Random generator; equal states give equal scenes.
        config: Settings of the scene; the defaults if left out.
        make: Source of objects; the shape generators of the six NOCS categories if left out.
        make_prop: Source of objects without a category.
    """
    config = config or SceneConfig()
    table = _TablePlacer(rng, config)
    props = _make_room(rng, config)
    for _ in range(int(rng.integers(0, config.distractors_max + 1))):
        distractor = make_prop(rng)
        T = table.place(distractor.mesh, _draw_upright(rng), distractor.flat_top)
        if T is not None:
            props.append(
                Prop(distractor.mesh, T, Texture.random(rng, ("plain", "noise", "checker", "stripes"), (0.01, 0.06)))
            )
    objects: list[PlacedObject] = []
    for category in _draw_categories(rng, config):
        shape = make(category, rng)
        T = table.place(shape.mesh, _draw_orientation(rng, category, config), False)
        if T is not None:
            texture = Texture.random(rng, _OBJECT_TEXTURES, (0.01, 0.08))
            objects.append(PlacedObject(len(objects) + 1, shape, T, texture))
    return Scene(tuple(objects), tuple(props), _make_lamp(rng))


class _Platform(NamedTuple):
    """Flat top on which an object can be stacked.

    Attributes:
        centre: ``(2,)`` position on the table, metres.
        height: Height above the table, metres.
    """

    centre: FloatArray
    height: float


class _TablePlacer:
    """Collision-free placement of meshes on the table.

    The footprint of a mesh is its interval along each of twelve horizontal directions. Two footprints do not overlap if
    their intervals are disjoint along any direction: the separating-axis test, here with a fixed set of axes.

    Args:
        rng: Random generator of the positions.
        config: Settings of the scene.
    """

    def __init__(self, rng: np.random.Generator, config: SceneConfig) -> None:
        self._rng = rng
        self._config = config
        self._low = np.empty((0, _DIRECTIONS.shape[1]))
        self._high = np.empty((0, _DIRECTIONS.shape[1]))
        self._platforms: list[_Platform] = []

    def place(self, mesh: Mesh, R: FloatArray, flat_top: bool) -> FloatArray | None:
        """Draw a pose without collision.

        Args:
            mesh: Surface in the object frame, metres.
            R: ``(3, 3)`` orientation, ``R_world_object``.
            flat_top: True if other objects can be stacked on the mesh.

        Returns:
            ``T_world_object`` ``(4, 4)``, or None if 30 random positions all collide.
        """
        points = mesh.vertices @ R.T
        # Projection of all vertices onto each direction: its minimum and maximum bound the footprint.
        reach = points[:, :2] @ _DIRECTIONS
        low, high = compute_column_bounds(reach)
        T = np.eye(4)
        T[:3, :3] = R
        if self._platforms and not flat_top and self._rng.uniform() < self._config.stacked:
            platform = self._platforms.pop(int(self._rng.integers(len(self._platforms))))
            T[:3, 3] = *(platform.centre + self._rng.uniform(-0.02, 0.02, 2)), platform.height - points[:, 2].min()
            return T
        for _ in range(30):
            # The square root of a uniform number spreads the positions evenly over the area of the disc.
            angle, radius = self._rng.uniform(0, 2 * np.pi), self._config.radius_m * np.sqrt(self._rng.uniform())
            spot = radius * np.array([np.cos(angle), np.sin(angle)])
            at = spot @ _DIRECTIONS
            # Disjoint along any direction from every placed footprint.
            if ((low + at > self._high) | (high + at < self._low)).any(axis=1).all():
                self._low, self._high = np.vstack([self._low, low + at]), np.vstack([self._high, high + at])
                T[:3, 3] = *spot, -points[:, 2].min()
                if flat_top:
                    self._platforms.append(_Platform(spot, float(points[:, 2].max() - points[:, 2].min())))
                return T
        return None


def _draw_categories(rng: np.random.Generator, config: SceneConfig) -> list[str]:
    """Draw the categories of a scene's objects: concatenated random permutations of all categories."""
    count = int(rng.integers(config.objects_min, max(config.objects_max, config.objects_min) + 1))
    # Ceiling division.
    rounds = -(-count // len(config.categories))
    return [str(name) for _ in range(rounds) for name in rng.permutation(config.categories)][:count]


def _draw_orientation(rng: np.random.Generator, category: str, config: SceneConfig) -> FloatArray:
    """Draw an orientation ``(3, 3)``: upright, lying, upside down or uniformly random."""
    choice = rng.uniform()
    if choice < config.tilted:
        return random_rotation(rng)
    # Laptops are never laid on a side.
    if choice > config.tilted + config.lying or category == "laptop":
        return _draw_upright(rng)
    # Bowls, and mugs with a probability of 0.4, are turned upside down instead of laid on a side.
    if category == "bowl" or (category == "mug" and rng.uniform() < 0.4):
        turn = 180.0
    else:
        turn = rng.choice([90.0, -90.0]) + rng.uniform(-4, 4)
    return _draw_upright(rng) @ _rotate_about(0, turn) @ _rotate_about(1, rng.uniform(0, 360))


def _draw_upright(rng: np.random.Generator) -> FloatArray:
    """Draw an upright orientation ``(3, 3)`` with uniformly random yaw."""
    yaw: FloatArray = _rotate_about(2, rng.uniform(0, 360)) @ UPRIGHT
    return yaw


def random_rotation(rng: np.random.Generator) -> FloatArray:
    """Draw a uniformly distributed rotation ``(3, 3)``."""
    # QR of a Gaussian matrix with the signs of R's diagonal fixed gives a Haar-distributed orthogonal matrix.
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    rotation: FloatArray = q
    return rotation


def _rotate_about(axis: int, angle_deg: float) -> FloatArray:
    """Return the rotation ``(3, 3)`` about coordinate axis 0, 1 or 2."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    R = np.eye(3)
    R[first, first], R[first, second], R[second, first], R[second, second] = c, -s, s, c
    return R


class _Table(NamedTuple):
    """A table at the world origin.

    Attributes:
        props: Table top and legs.
        T_world_table: ``(4, 4)`` pose: a rotation about z.
        height: Height of the table top above the floor, metres.
    """

    props: list[Prop]
    T_world_table: FloatArray
    height: float


def _make_room(rng: np.random.Generator, config: SceneConfig) -> list[Prop]:
    """Generate a table top with legs, a floor and two walls."""
    table = _make_table(rng, config)
    return [*table.props, *_make_floor_and_walls(rng, table)]


def _make_table(rng: np.random.Generator, config: SceneConfig) -> _Table:
    """Generate a table that is large enough for the objects."""
    length, depth, thick = rng.uniform(0.9, 2.0), rng.uniform(0.75, 1.2), rng.uniform(0.02, 0.05)
    length, depth = max(length, 2.4 * config.radius_m), max(depth, 2.4 * config.radius_m)
    height = rng.uniform(0.45, 1.0)
    colour = random_wood(rng) if rng.uniform() < 0.6 else random_colour(rng)
    kinds = ("grain", "grain", "grain", "noise", "plain", "plain", "checker")
    texture = Texture.random(rng, kinds, (0.03, 0.15))
    T = np.eye(4)
    T[:3, :3] = _rotate_about(2, rng.uniform(0, 360))
    top = box([length, depth, thick]).translated([0, 0, -thick / 2])
    leg = box([0.05, 0.05, height - thick])
    x, y = length / 2 - 0.06, depth / 2 - 0.06
    corners = ((-x, -y), (-x, y), (x, -y), (x, y))
    legs = [leg.translated([*corner, -(height + thick) / 2]) for corner in corners]
    return _Table([Prop(mesh.painted(colour), T, texture) for mesh in (top, *legs)], T, height)


def _make_floor_and_walls(rng: np.random.Generator, table: _Table) -> list[Prop]:
    """Generate a floor below the table and two walls behind it, parallel to its sides."""
    texture = Texture.random(rng, ("noise", "checker", "grain", "plain"), (0.1, 0.6))
    floor = box([8, 8, 0.1]).translated([0, 0, -table.height - 0.05]).painted(random_colour(rng))
    (x, y), colour = rng.uniform(1.2, 3.0, 2), random_colour(rng)
    paper = Texture.random(rng, ("plain", "plain", "noise", "stripes"), (0.1, 0.6))
    walls = (box([0.1, 8, 5]).translated([x + 0.05, 0, 1.5]), box([8, 0.1, 5]).translated([0, y + 0.05, 1.5]))
    return [
        Prop(floor, np.eye(4), texture),
        *(Prop(wall.painted(colour), table.T_world_table, paper) for wall in walls),
    ]


def _make_lamp(rng: np.random.Generator) -> Light:
    """Draw a lamp above the table with a colour between warm and cold, and its ambient light."""
    angle, elevation, distance = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(35, 85)), rng.uniform(1.2, 2.6)
    flat = np.cos(elevation)
    position = distance * np.array([flat * np.cos(angle), flat * np.sin(angle), np.sin(elevation)])
    warmth = rng.uniform(-0.12, 0.12) * np.array([1.0, 0.1, -1.0])
    colour = rng.uniform(0.7, 1.3) * (1.0 + warmth)
    return Light(position, float(rng.uniform(0.02, 0.3)), colour, rng.uniform(0.2, 0.5) * (1.0 - 0.5 * warmth))
