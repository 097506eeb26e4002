"""Random surface colours and procedural textures."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from clipose_ros.types import BoolArray, FloatArray


def random_colour(rng: np.random.Generator) -> FloatArray:
    """Draw a linear albedo ``(3,)``: white, grey or black in 44 % of the cases, as is typical of household objects."""
    kind = rng.choice(["white", "grey", "black", "pastel", "vivid", "dark"], p=[0.22, 0.1, 0.12, 0.2, 0.26, 0.1])
    saturation, value = {
        "white": (rng.uniform(0.0, 0.08), rng.uniform(0.7, 0.9)),
        "grey": (rng.uniform(0.0, 0.08), rng.uniform(0.2, 0.6)),
        "black": (rng.uniform(0.0, 0.2), rng.uniform(0.015, 0.08)),
        "pastel": (rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.85)),
        "vivid": (rng.uniform(0.6, 0.95), rng.uniform(0.4, 0.85)),
        "dark": (rng.uniform(0.3, 0.9), rng.uniform(0.08, 0.3)),
    }[str(kind)]
    return np.array(colorsys.hsv_to_rgb(rng.uniform(), saturation, value))


METAL_TINT = np.array([1.0, 0.99, 0.97])
"""Relative linear albedo of bare metal."""


def random_metal(rng: np.random.Generator) -> FloatArray:
    """Draw the linear albedo ``(3,)`` of bare metal."""
    return float(rng.uniform(0.35, 0.65)) * METAL_TINT


def is_metal(colours: FloatArray) -> BoolArray:
    """Return True ``(N,)`` where a colour ``(N, 3)`` is that of ``random_metal``."""
    expected = colours[:, :1] * METAL_TINT
    bright = (colours[:, 0] > 0.34) & (colours[:, 0] < 0.66)
    metal: BoolArray = bright & np.isclose(colours, expected, rtol=1e-5).all(axis=1)
    return metal


def random_wood(rng: np.random.Generator) -> FloatArray:
    """Draw the linear albedo ``(3,)`` of wood."""
    light = float(rng.uniform(0.12, 0.6))
    return light * np.array([1.0, rng.uniform(0.6, 0.8), rng.uniform(0.3, 0.55)])


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """A procedural solid texture that scales the albedo of a surface.

    Attributes:
        kind: ``plain``, ``noise``, ``grain`` (wood), ``checker`` or ``stripes``.
        scale_m: Feature size, metres.
        strength: Largest relative change of the albedo.
        phase: ``(3,)`` random offset, radians.
    """

    kind: str
    scale_m: float
    strength: float
    phase: FloatArray

    @classmethod
    def random(cls, rng: np.random.Generator, kinds: tuple[str, ...], scale_m: tuple[float, float]) -> Texture:
        """Draw a texture of one of the kinds with a feature size from the range, log-uniform, metres."""
        scale = float(np.exp(rng.uniform(*np.log(scale_m))))
        return cls(str(rng.choice(kinds)), scale, float(rng.uniform(0.15, 0.5)), rng.uniform(0, 2 * np.pi, 3))

    def factor(self, points: FloatArray) -> FloatArray:
        """Return the albedo factors ``(N,)`` at points ``(N, 3)`` in the object frame, metres."""
        if self.kind == "plain":
            return np.ones(len(points))
        p = points.astype(np.float32) * np.float32(2 * np.pi / self.scale_m)
        # Checkers are the sign of a product of sines, stripes the sign of one.
        if self.kind == "checker":
            value = np.sign(np.prod(np.sin(p / 2 + self.phase.astype(np.float32)), axis=1))
        elif self.kind == "stripes":
            value = np.sign(np.sin(p[:, 1] + self.phase[1]))
        elif self.kind == "grain":
            # Slow waves bend the growth rings; a fast wave adds fine fibres.
            bend = np.sin(0.13 * p[:, 0] + self.phase[0]) + 0.5 * np.sin(0.31 * p[:, 0] + 0.2 * p[:, 1])
            value = np.sin(p[:, 1] + 3.0 * bend + self.phase[1]) * 0.7 + 0.3 * np.sin(5.3 * p[:, 1] + bend)
        else:
            value = self._noise(p)
        return np.asarray(1.0 + self.strength * value)

    def _noise(self, p: FloatArray) -> FloatArray:
        """Return a sum of four phase-modulated sine waves in [-1, 1]: smooth noise without a visible period."""
        value = np.zeros(len(p), dtype=np.float32)
        directions = np.array([[1.0, 0.3, -0.5], [-0.4, 1.1, 0.7], [0.6, -0.8, 1.2], [1.7, 1.3, 0.4]], dtype=np.float32)
        waves = p @ directions.T
        for i in range(4):
            phase = np.float32(self.phase[i % 3])
            value += np.sin(waves[:, i] + (i + 1) * phase + 1.5 * np.sin(0.7 * waves[:, i - 1] + phase))
        return value / 4.0
