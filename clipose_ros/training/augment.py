"""Variations of clouds together with their truth (FS-Net, HS-Pose), whole batches at a time.

Random numbers come from ``BatchRng``, so that a cloud varies alike however many processes share the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.categories import CategorySet
from clipose_ros.training.config import AugmentConfig
from clipose_ros.training.losses.pose import PoseTruth


class BatchRng:
    """Random numbers of a step for a slice of its batch, drawn for the whole batch.

    Args:
        seed: Together with the step, decides all.
        step: The step.
        batch: Clouds of the whole batch.
        own: The slice.
    """

    def __init__(self, seed: int, step: int, batch: int, own: slice) -> None:
        mixed = np.random.SeedSequence((seed, step)).generate_state(1)  # torch looks at 32 bits of a seed alone
        self._generator = torch.Generator().manual_seed(int(mixed[0]))
        self._batch, self._own = batch, own

    def uniform(self, *shape: int) -> Tensor:
        """``(B, *shape)`` in [0, 1)."""
        return torch.rand(self._batch, *shape, generator=self._generator)[self._own]

    def normal(self, *shape: int) -> Tensor:
        """``(B, *shape)`` of mean 0 and variance 1."""
        return torch.randn(self._batch, *shape, generator=self._generator)[self._own]

    def chance(self, probability: float) -> Tensor:
        """``(B,)`` bool."""
        return self.uniform() < probability

    def order(self, count: int) -> Tensor:
        """``(count,)``, one random order for all clouds."""
        return torch.randperm(count, generator=self._generator)


@dataclass(frozen=True)
class AugmentationRules:
    """What may be done to objects and leaves them of their category; ``(C,)`` bool of categories, or ``(B,)``.

    Attributes:
        axial: They are axially symmetric.
        tapers: They may be wider at one end.
        mirrors: They may be mirrored by their own plane z = 0: a mug may, a camera holds its grip in the right hand.
    """

    axial: Tensor
    tapers: Tensor
    mirrors: Tensor

    @classmethod
    def of(cls, categories: CategorySet, config: AugmentConfig) -> AugmentationRules:
        """Of the categories, in order."""
        axial, mirrors = ([getattr(c.symmetry, flag) for c in categories] for flag in ("axial_y", "mirror_xy"))
        tapers = [c.name in config.taper_categories for c in categories]
        return cls(torch.tensor(axial), torch.tensor(tapers), torch.tensor(mirrors))

    def at(self, category: Tensor) -> AugmentationRules:
        """Of objects by the places ``(B,)`` of their categories."""
        return AugmentationRules(self.axial[category], self.tapers[category], self.mirrors[category])


def augment(
    points: Tensor, truth: PoseTruth, traits: AugmentationRules, config: AugmentConfig, dice: BatchRng
) -> tuple[Tensor, PoseTruth]:
    """Vary clouds and truths together. Shifting a cloud is left out: the network subtracts its mean first.

    Args:
        points: ``(B, N, 3)`` metres, camera frame.
        truth: Poses and sizes.
        traits: Of the objects.
        config: How much, and how often.
        dice: Random numbers.
    """
    points = cut(points, dice.chance(config.cut_probability), config.cut_fraction, dice)
    low, high = config.scale_low, config.scale_high
    factors = low + (high - low) * dice.uniform(3)
    factors[:, 2] = torch.where(traits.axial, factors[:, 0], factors[:, 2])
    factors = torch.where(dice.chance(config.scale_probability).unsqueeze(1), factors, torch.ones(3))
    points, truth = scale_boxes(points, truth, factors)
    ends = config.taper_low + (config.taper_high - config.taper_low) * dice.uniform(2)
    chosen = traits.tapers & dice.chance(config.taper_probability)
    points, truth = taper(points, truth, torch.where(chosen.unsqueeze(1), ends, torch.ones(2)), traits.axial)
    points, truth = turn(points, truth, random_turns(config, dice.chance(config.tilt_probability), dice))
    points = noisy(points, truth, config, dice)[:, dice.order(points.shape[1])]
    return mirror(points, truth, traits.mirrors & dice.chance(config.mirror_probability))


def in_object(points: Tensor, truth: PoseTruth) -> Tensor:
    """Points ``(B, N, 3)`` from the camera's into the objects' frames."""
    return torch.einsum("bji,bnj->bni", truth.R, points - truth.t.unsqueeze(1))


def in_camera(points: Tensor, truth: PoseTruth) -> Tensor:
    """Points ``(B, N, 3)`` from the objects' into the camera's frame."""
    return torch.einsum("bij,bnj->bni", truth.R, points) + truth.t.unsqueeze(1)


def scale_boxes(points: Tensor, truth: PoseTruth, factors: Tensor) -> tuple[Tensor, PoseTruth]:
    """Scale objects along their own axes by ``(B, 3)``."""
    scaled = in_camera(in_object(points, truth) * factors.unsqueeze(1), truth)
    return scaled, replace(truth, size=truth.size * factors)


def taper(points: Tensor, truth: PoseTruth, ends: Tensor, axial: Tensor) -> tuple[Tensor, PoseTruth]:
    """Widen objects along their y axis: x and z times a factor that goes linearly from the box's bottom to its top.

    How wide a tapered object is depends on where it is widest. The points in its box tell: their reach from the y axis
    along x and z, for axial objects in the round, grows by a factor that the size takes over. The box stays where it
    is.

    Args:
        points: ``(B, N, 3)``.
        truth: Poses and sizes.
        ends: ``(B, 2)`` factors at bottom and top.
        axial: ``(B,)`` bool, which objects are axially symmetric.
    """
    local = in_object(points, truth)
    height = (local[:, :, 1] / truth.size[:, None, 1] + 0.5).clamp(0.0, 1.0)
    factor = torch.lerp(ends[:, :1], ends[:, 1:], height)
    wide = torch.stack([factor, torch.ones_like(factor), factor], dim=-1)
    own = local * (local.abs() <= _SLACK * truth.size.unsqueeze(1)).all(dim=-1, keepdim=True)
    grown = (_reach(own * wide, axial) + _TINY) / (_reach(own, axial) + _TINY)
    return in_camera(local * wide, truth), replace(truth, size=truth.size * grown)


_SLACK = 0.55
"""Points count as the object's own up to this share of the size away from its centre: half, and noise."""
_TINY = 1e-6
"""Metres that keep the growth of nothing at 1."""


def _reach(local: Tensor, axial: Tensor) -> Tensor:
    """How far points ``(B, N, 3)`` reach from the y axis along x and z, for axial objects in the round: ``(B, 3)``."""
    along = local.abs().amax(dim=1) * local.new_tensor([1.0, 0.0, 1.0])
    around = local[:, :, ::2].norm(dim=-1).amax(dim=1, keepdim=True) * local.new_tensor([1.0, 0.0, 1.0])
    return torch.where(axial.unsqueeze(1), around, along)


def turn(points: Tensor, truth: PoseTruth, turns: Tensor) -> tuple[Tensor, PoseTruth]:
    """Turn clouds about their mean by ``(B, 3, 3)``."""
    pivot = points.mean(dim=1)
    turned = torch.einsum("bij,bnj->bni", turns, points - pivot.unsqueeze(1)) + pivot.unsqueeze(1)
    t = torch.einsum("bij,bj->bi", turns, truth.t - pivot) + pivot
    return turned, replace(truth, R=turns @ truth.R, t=t)


def random_turns(config: AugmentConfig, tilted: Tensor, dice: BatchRng) -> Tensor:
    """Rotations ``(B, 3, 3)``: a roll about the optical axis, and where ``tilted`` a turn about a random axis too."""
    roll = math.radians(config.roll_deg) * (2.0 * dice.uniform(1) - 1.0)
    tilt = math.radians(config.tilt_deg) * dice.uniform(1) * tilted.unsqueeze(1)
    optical = torch.tensor([0.0, 0.0, 1.0])
    return _rotations(optical * roll) @ _rotations(F.normalize(dice.normal(3), dim=1) * tilt)


def noisy(points: Tensor, truth: PoseTruth, config: AugmentConfig, dice: BatchRng) -> Tensor:
    """Noise on every point of the clouds that get it: as a sensor's, or HS-Pose's, which only grows the object."""
    chosen = dice.chance(config.noise_probability).view(-1, 1, 1)
    if config.noise == "sensor":
        return points + chosen * config.noise_m * dice.normal(*points.shape[1:])
    away = points - truth.t.unsqueeze(1)
    return points + chosen * config.noise_share * dice.uniform(*points.shape[1:]) * away


def mirror(points: Tensor, truth: PoseTruth, chosen: Tensor) -> tuple[Tensor, PoseTruth]:
    """Mirror the view left to right where ``chosen``: what is seen then is the object mirrored by its own plane z = 0.

    Where mirroring leaves the category what it is, that is the same object or as likely an instance, and its pose is a
    rotation again.
    """
    view = torch.where(chosen.unsqueeze(1), points.new_tensor([-1.0, 1.0, 1.0]), points.new_ones(3))
    own = torch.where(chosen.unsqueeze(1), points.new_tensor([1.0, 1.0, -1.0]), points.new_ones(3))
    R = view.unsqueeze(2) * truth.R * own.unsqueeze(1)
    return points * view.unsqueeze(1), replace(truth, R=R, t=truth.t * view)


def cut(points: Tensor, chosen: Tensor, largest: float, dice: BatchRng) -> Tensor:
    """Replace the points behind a random plane by repetitions of the others, as behind something nearer."""
    count, number, _ = points.shape
    normal = F.normalize(dice.normal(3), dim=1)
    removed = (largest * dice.uniform() * number).long() * chosen
    order = torch.einsum("bnj,bj->bn", points, normal).argsort(dim=1)
    kept = number - removed
    place = torch.arange(number).expand(count, -1) % kept.unsqueeze(1)
    return points.gather(1, order.gather(1, place).unsqueeze(-1).expand(-1, -1, 3))


def _rotations(vectors: Tensor) -> Tensor:
    """Rotation matrices ``(B, 3, 3)`` of rotation vectors ``(B, 3)``."""
    x, y, z = vectors.unbind(dim=1)
    zero = torch.zeros_like(x)
    generators = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    return torch.linalg.matrix_exp(generators)
