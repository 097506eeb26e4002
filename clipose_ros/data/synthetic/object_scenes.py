"""Small scenes around one to three objects: neighbours that touch, objects in front, hands, a table below.

World frame: z up, origin on the table. Nothing is built that the windows of the objects do not show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.config import ConfigNode, option
from clipose_ros.data.synthetic.assets.distractors import make_distractor
from clipose_ros.data.synthetic.assets.hand import make_flat_hand, make_grasping_hand
from clipose_ros.data.synthetic.assets.mesh import Mesh, box, compute_column_bounds
from clipose_ros.data.synthetic.assets.shapes import MeshObject, ObjectSource
from clipose_ros.data.synthetic.assets.textures import random_colour, random_wood
from clipose_ros.data.synthetic.scenes import UPRIGHT, random_rotation
from clipose_ros.geometry.se3 import make_transform
from clipose_ros.types import FloatArray

_ANGLES = np.pi * np.arange(12) / 12
_DIRECTIONS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])


@dataclass(frozen=True)
class ObjectSceneConfig(ConfigNode):
    """Shares of the kinds of scene."""

    objects_max: int = option(3, "Maximum number of objects.", low=1, high=10)
    neighbours_max: int = option(2, "Maximum number of objects without a category.", low=0, high=10)
    touching: float = option(0.4, "Share of neighbours that touch.", low=0.0, high=1.0)
    gap_max_m: float = option(0.06, "Largest gap between neighbours that do not touch, metres.", low=0.0, high=1.0)
    held: float = option(0.2, "Share of scenes in which a hand holds the first object.", low=0.0, high=1.0)
    hand: float = option(0.1, "Share of the other scenes with a hand in front.", low=0.0, high=1.0)
    upright: float = option(0.75, "Share of upright objects.", low=0.0, high=1.0)
    table: float = option(0.92, "Share of scenes with a table.", low=0.0, high=1.0)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectScene:
    """A small scene.

    Attributes:
        objects: The objects of the categories.
        T_world_objects: Their poses ``(4, 4)``, metres.
        others: Meshes without a category, world frame.
        azimuth_deg: Direction from the first object to the side that hands leave free, or the one that they hide.
    """

    objects: tuple[MeshObject, ...]
    T_world_objects: tuple[FloatArray, ...]
    others: tuple[Mesh, ...]
    azimuth_deg: float


def make_object_scene(
    rng: np.random.Generator, config: ObjectSceneConfig, categories: tuple[str, ...], make: ObjectSource
) -> ObjectScene:
    """Generate a random scene.

    Args:
        rng: Random generator; equal states give equal scenes.
        config: Shares of the kinds of scene.
        categories: Categories of the objects.
        make: Source of the objects.
    """
    names = rng.permutation(categories)[: int(rng.integers(1, config.objects_max + 1))]
    objects = [make(str(name), rng) for name in names]
    placer = _Placer(rng, config)
    is_held = rng.uniform() < config.held and str(names[0]) != "laptop"
    lift = float(rng.uniform(0.02, 0.35)) if is_held else 0.0
    placed = [(item, placer.place(item.mesh, _draw_orientation(rng, item.category, config), lift * (i == 0)))
              for i, item in enumerate(objects)]  # fmt: skip
    others: list[Mesh] = []
    for _ in range(int(rng.integers(0, config.neighbours_max + 1))):
        distractor = make_distractor(rng).mesh
        if (T := placer.place(distractor, _turn(rng) @ UPRIGHT, 0.0)) is not None:
            others.append(distractor.transformed(T))
    azimuth = float(rng.uniform(0.0, 360.0))
    first, T_first = placed[0][0], placed[0][1]
    assert T_first is not None  # nothing is in the way of the first object
    if is_held:
        others.append(make_grasping_hand(rng, first.mesh).transformed(T_first))
    elif rng.uniform() < config.hand:
        others.append(_place_hand(rng, first, T_first, azimuth))
    if rng.uniform() < config.table:
        others.append(_make_table(rng))
    others.append(_make_background(rng))
    kept = [(item, T) for item, T in placed if T is not None]
    return ObjectScene(tuple(item for item, _ in kept), tuple(T for _, T in kept), tuple(others), azimuth)


class _Placer:
    """Placement of meshes beside each other without collision.

    A mesh is moved along a direction until its footprint touches that of an earlier one, or leaves a gap. Footprints
    are intervals along twelve directions, as in ``scenes``.

    Args:
        rng: Random generator of the positions.
        config: Gaps.
    """

    def __init__(self, rng: np.random.Generator, config: ObjectSceneConfig) -> None:
        self._rng, self._config = rng, config
        self._spots: list[FloatArray] = []
        self._low, self._high = np.empty((0, 12)), np.empty((0, 12))

    def place(self, mesh: Mesh, R: FloatArray, lift_m: float) -> FloatArray | None:
        """Return a pose ``T_world_object`` beside an earlier mesh, or None if twelve directions all collide."""
        points = mesh.vertices @ R.T
        reach = points[:, :2] @ _DIRECTIONS
        low, high = compute_column_bounds(reach)
        bottom = float(points[:, 2].min())
        for _ in range(12):
            spot = self._draw_spot(low, high)
            at = spot @ _DIRECTIONS
            # A tolerance of 1 mm lets neighbours touch.
            apart = (low + at > self._high - 1e-3) | (high + at < self._low + 1e-3)
            if apart.any(axis=1).all():
                self._low, self._high = np.vstack([self._low, low + at]), np.vstack([self._high, high + at])
                self._spots.append(spot)
                return make_transform(R, np.array([*spot, lift_m - bottom]))
        return None

    def _draw_spot(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Draw a position ``(2,)`` for a mesh with a footprint of intervals ``(12,)``: beside an earlier one."""
        if not len(self._low):
            return np.zeros(2)
        index = int(self._rng.integers(len(self._low)))
        angle = self._rng.uniform(0.0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle)])
        along = direction @ _DIRECTIONS
        # The footprints part as soon as their intervals are disjoint along one of the directions.
        start = self._spots[index]
        at = start @ _DIRECTIONS
        ahead = np.where(along > 0, self._high[index] - low - at, high + at - self._low[index])
        touching = float((ahead / np.maximum(np.abs(along), 1e-6)).min())
        gap = 0.0 if self._rng.uniform() < self._config.touching else self._rng.uniform(0.0, self._config.gap_max_m)
        spot: FloatArray = start + (touching + gap) * direction
        return spot


def _draw_orientation(rng: np.random.Generator, category: str, config: ObjectSceneConfig) -> FloatArray:
    """Draw an orientation ``(3, 3)``: upright, lying, upside down or uniformly random."""
    if rng.uniform() < config.upright or category == "laptop":
        upright: FloatArray = _turn(rng) @ UPRIGHT
        return upright
    kind = rng.uniform()
    if kind < 0.35:
        return random_rotation(rng)
    # About x by 90 or 180 degrees; a bowl does not lie on its side.
    angle = np.pi if category == "bowl" or kind > 0.85 else rng.choice([-0.5, 0.5]) * np.pi + rng.uniform(-0.07, 0.07)
    c, s = np.cos(angle), np.sin(angle)
    tip = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    yaw = rng.uniform(0.0, 2 * np.pi)
    spin = np.array([[np.cos(yaw), 0.0, np.sin(yaw)], [0.0, 1.0, 0.0], [-np.sin(yaw), 0.0, np.cos(yaw)]])
    tipped: FloatArray = _turn(rng) @ UPRIGHT @ tip @ spin
    return tipped


def _turn(rng: np.random.Generator) -> FloatArray:
    """Draw a rotation ``(3, 3)`` about the vertical."""
    angle = rng.uniform(0.0, 2 * np.pi)
    return np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])


def _place_hand(rng: np.random.Generator, item: MeshObject, T_world_object: FloatArray, azimuth_deg: float) -> Mesh:
    """Place a flat hand 4 to 15 cm in front of an object, on the side of an azimuth."""
    azimuth = np.radians(azimuth_deg + rng.uniform(-15, 15))
    out = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    distance = 0.5 * float(np.linalg.norm(item.size)) + rng.uniform(0.04, 0.15)
    aside = rng.uniform(-0.5, 0.5, 3) * item.size.max() * np.array([1.0, 1.0, 0.6])
    place = T_world_object[:3, 3] + distance * out + aside
    place[2] = max(place[2], 0.03)
    return make_flat_hand(rng).transformed(make_transform(random_rotation(rng), place))


def _make_table(rng: np.random.Generator) -> Mesh:
    """Generate a table top whose edge may be close."""
    size = rng.uniform(0.5, 1.6, 2)
    shift = rng.uniform(-0.5, 0.5, 2) * np.maximum(size - 0.35, 0.0)
    colour = random_wood(rng) if rng.uniform() < 0.5 else random_colour(rng)
    top = box([size[0], size[1], 0.03]).translated([*shift, -0.015]).painted(colour)
    return top.rotated("z", rng.uniform(0.0, 360.0))


def _make_background(rng: np.random.Generator) -> Mesh:
    """Generate a floor or wall, 0.3 to 1.5 m away from the origin."""
    depth = rng.uniform(0.3, 1.5)
    if rng.uniform() < 0.5:
        return box([8, 8, 0.02]).translated([0, 0, -depth]).painted(random_colour(rng))
    wall = box([0.02, 8, 6]).translated([-depth, 0, 0]).painted(random_colour(rng))
    return wall.rotated("z", rng.uniform(0.0, 360.0))
