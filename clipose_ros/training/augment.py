"""Augmentation of point clouds together with their ground truth (FS-Net, HS-Pose), a whole batch at a time.

Random numbers come from ``BatchRng``: a cloud is augmented in the same way for any number of processes.
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
    """Random numbers of a step for a slice of its batch.

    Numbers are drawn for the whole batch, and the slice is returned. Equal seed and step give equal numbers.

    Args:
        seed: Seed of the run.
        step: Step.
        batch: Number of clouds in the whole batch.
        rank_slice: Slice of the batch.
    """

    def __init__(self, seed: int, step: int, batch: int, rank_slice: slice) -> None:
        mixed = np.random.SeedSequence((seed, step)).generate_state(1)  # torch uses only 32 bits of a seed
        self._generator = torch.Generator().manual_seed(int(mixed[0]))
        self._batch, self._slice = batch, rank_slice

    def uniform(self, *shape: int) -> Tensor:
        """Draw ``(B, *shape)`` uniformly from [0, 1)."""
        return torch.rand(self._batch, *shape, generator=self._generator)[self._slice]

    def normal(self, *shape: int) -> Tensor:
        """Draw ``(B, *shape)`` from the standard normal distribution."""
        return torch.randn(self._batch, *shape, generator=self._generator)[self._slice]

    def bernoulli(self, probability: float) -> Tensor:
        """Draw ``(B,)`` bool, each true with a probability."""
        return self.uniform() < probability

    def permutation(self, count: int) -> Tensor:
        """Draw a permutation ``(count,)``, common to all clouds."""
        return torch.randperm(count, generator=self._generator)


@dataclass(frozen=True)
class AugmentationRules:
    """Augmentations that keep an object in its category: ``(C,)`` bool by category, or ``(B,)`` by object.

    Attributes:
        axial: The object is axially symmetric.
        tapers: The object may be tapered.
        mirrors: The object may be mirrored at its own plane z = 0. A mug may; a camera, whose grip is on the right, may
            not.
    """

    axial: Tensor
    tapers: Tensor
    mirrors: Tensor

    @classmethod
    def from_categories(cls, categories: CategorySet, config: AugmentConfig) -> AugmentationRules:
        """Build the rules of categories, in their order."""
        axial, mirrors = ([getattr(c.symmetry, flag) for c in categories] for flag in ("axial_y", "mirror_xy"))
        tapers = [c.name in config.taper_categories for c in categories]
        return cls(torch.tensor(axial), torch.tensor(tapers), torch.tensor(mirrors))

    def select(self, category: Tensor) -> AugmentationRules:
        """Return the rules of objects by the indices ``(B,)`` of their categories."""
        return AugmentationRules(self.axial[category], self.tapers[category], self.mirrors[category])


def augment(
    points: Tensor, truth: PoseTruth, rules: AugmentationRules, config: AugmentConfig, rng: BatchRng
) -> tuple[Tensor, PoseTruth]:
    """Augment clouds together with their ground truth.

    Clouds are cut, scaled, tapered, rotated, perturbed with noise, permuted and mirrored. They are not shifted: the
    network subtracts the mean of its points first.

    Args:
        points: ``(B, N, 3)`` metres, camera frame.
        truth: Poses and sizes.
        rules: Rules of the objects.
        config: Ranges and probabilities.
        rng: Random numbers.
    """
    # The order of the draws is part of the result of a seed.
    points = cut(points, rng.bernoulli(config.cut_probability), config.cut_fraction, rng)
    low, high = config.scale_low, config.scale_high
    factors = low + (high - low) * rng.uniform(3)
    factors[:, 2] = torch.where(rules.axial, factors[:, 0], factors[:, 2])
    factors = torch.where(rng.bernoulli(config.scale_probability).unsqueeze(1), factors, torch.ones(3))
    points, truth = scale_boxes(points, truth, factors)
    ends = config.taper_low + (config.taper_high - config.taper_low) * rng.uniform(2)
    chosen = rules.tapers & rng.bernoulli(config.taper_probability)
    points, truth = taper(points, truth, torch.where(chosen.unsqueeze(1), ends, torch.ones(2)), rules.axial)
    points, truth = rotate_clouds(points, truth, draw_rotations(config, rng.bernoulli(config.tilt_probability), rng))
    points = add_noise(points, truth, config, rng)[:, rng.permutation(points.shape[1])]
    return mirror(points, truth, rules.mirrors & rng.bernoulli(config.mirror_probability))


def to_object_frame(points: Tensor, truth: PoseTruth) -> Tensor:
    """Transform points ``(B, N, 3)`` from the camera frame to the object frames."""
    return torch.einsum("bji,bnj->bni", truth.R, points - truth.t.unsqueeze(1))


def to_camera_frame(points: Tensor, truth: PoseTruth) -> Tensor:
    """Transform points ``(B, N, 3)`` from the object frames to the camera frame."""
    return torch.einsum("bij,bnj->bni", truth.R, points) + truth.t.unsqueeze(1)


def scale_boxes(points: Tensor, truth: PoseTruth, factors: Tensor) -> tuple[Tensor, PoseTruth]:
    """Scale objects along their own axes by factors ``(B, 3)``."""
    scaled = to_camera_frame(to_object_frame(points, truth) * factors.unsqueeze(1), truth)
    return scaled, replace(truth, size=truth.size * factors)


def taper(points: Tensor, truth: PoseTruth, ends: Tensor, axial: Tensor) -> tuple[Tensor, PoseTruth]:
    """Taper objects along their y axis: multiply x and z by a factor that is linear from the box's bottom to its top.

    The width of a tapered object depends on the height at which it is widest, which is estimated from the points in its
    box. The largest extent of these points from the y axis grows by some factor, by which the size is multiplied. The
    extent is measured along x and along z, for axial objects as a radius. The centre of the box is unchanged.

    Args:
        points: ``(B, N, 3)``.
        truth: Poses and sizes.
        ends: ``(B, 2)`` factors at bottom and top.
        axial: ``(B,)`` bool, True for axially symmetric objects.
    """
    local = to_object_frame(points, truth)
    height = (local[:, :, 1] / truth.size[:, None, 1] + 0.5).clamp(0.0, 1.0)
    factor = torch.lerp(ends[:, :1], ends[:, 1:], height)
    factors = torch.stack([factor, torch.ones_like(factor), factor], dim=-1)
    # Points outside the box, of the background or by noise, must not determine the size.
    in_box = local * (local.abs() <= _BOX_TOLERANCE * truth.size.unsqueeze(1)).all(dim=-1, keepdim=True)
    growth = (_extent(in_box * factors, axial) + _MIN_EXTENT_M) / (_extent(in_box, axial) + _MIN_EXTENT_M)
    return to_camera_frame(local * factors, truth), replace(truth, size=truth.size * growth)


_BOX_TOLERANCE = 0.55
"""Largest offset of an object's points from its centre, as a fraction of the size: half the size, and noise."""
_MIN_EXTENT_M = 1e-6
"""Metres added to extents, so that the growth of an extent of 0 is 1."""


def _extent(local: Tensor, axial: Tensor) -> Tensor:
    """Compute the largest distance of points ``(B, N, 3)`` from the y axis: ``(B, 3)``, along x, 0, along z.

    For axial objects it is the largest radius, for x and for z.
    """
    along = local.abs().amax(dim=1) * local.new_tensor([1.0, 0.0, 1.0])
    around = local[:, :, ::2].norm(dim=-1).amax(dim=1, keepdim=True) * local.new_tensor([1.0, 0.0, 1.0])
    return torch.where(axial.unsqueeze(1), around, along)


def rotate_clouds(points: Tensor, truth: PoseTruth, rotations: Tensor) -> tuple[Tensor, PoseTruth]:
    """Rotate clouds about their means by ``(B, 3, 3)``."""
    pivot = points.mean(dim=1)
    rotated = torch.einsum("bij,bnj->bni", rotations, points - pivot.unsqueeze(1)) + pivot.unsqueeze(1)
    t = torch.einsum("bij,bj->bi", rotations, truth.t - pivot) + pivot
    return rotated, replace(truth, R=rotations @ truth.R, t=t)


def draw_rotations(config: AugmentConfig, tilted: Tensor, rng: BatchRng) -> Tensor:
    """Draw rotations ``(B, 3, 3)``: a roll about the optical axis, and for ``tilted`` ones one about a random axis."""
    roll = math.radians(config.roll_deg) * (2.0 * rng.uniform(1) - 1.0)
    tilt = math.radians(config.tilt_deg) * rng.uniform(1) * tilted.unsqueeze(1)
    optical = torch.tensor([0.0, 0.0, 1.0])
    return _rotations(optical * roll) @ _rotations(F.normalize(rng.normal(3), dim=1) * tilt)


def add_noise(points: Tensor, truth: PoseTruth, config: AugmentConfig, rng: BatchRng) -> Tensor:
    """Add noise to randomly chosen clouds: sensor noise, or the outward noise of HS-Pose.

    Sensor noise is normal in all directions. Outward noise moves each coordinate away from the object's centre by a
    random fraction of its offset.
    """
    chosen = rng.bernoulli(config.noise_probability).view(-1, 1, 1)
    if config.noise == "sensor":
        return points + chosen * config.noise_m * rng.normal(*points.shape[1:])
    away = points - truth.t.unsqueeze(1)
    return points + chosen * config.noise_share * rng.uniform(*points.shape[1:]) * away


def mirror(points: Tensor, truth: PoseTruth, chosen: Tensor) -> tuple[Tensor, PoseTruth]:
    """Mirror the ``chosen`` ``(B,)`` views left to right.

    A mirrored view shows the object mirrored at its own plane z = 0. If that object is of the same category, the pose
    is a rotation again: mirroring in the camera frame (x) times mirroring in the object frame (z) has determinant 1.
    """
    view = torch.where(chosen.unsqueeze(1), points.new_tensor([-1.0, 1.0, 1.0]), points.new_ones(3))
    own = torch.where(chosen.unsqueeze(1), points.new_tensor([1.0, 1.0, -1.0]), points.new_ones(3))
    R = view.unsqueeze(2) * truth.R * own.unsqueeze(1)
    return points * view.unsqueeze(1), replace(truth, R=R, t=truth.t * view)


def cut(points: Tensor, chosen: Tensor, largest: float, rng: BatchRng) -> Tensor:
    """Replace the points behind a random plane by repetitions of the others, as if an occluder hid them."""
    count, number, _ = points.shape
    normal = F.normalize(rng.normal(3), dim=1)
    removed = (largest * rng.uniform() * number).long() * chosen
    order = torch.einsum("bnj,bj->bn", points, normal).argsort(dim=1)
    kept = number - removed
    place = torch.arange(number).expand(count, -1) % kept.unsqueeze(1)
    return points.gather(1, order.gather(1, place).unsqueeze(-1).expand(-1, -1, 3))


def _rotations(vectors: Tensor) -> Tensor:
    """Compute rotation matrices ``(B, 3, 3)`` from rotation vectors ``(B, 3)``."""
    x, y, z = vectors.unbind(dim=1)
    zero = torch.zeros_like(x)
    generators = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    return torch.linalg.matrix_exp(generators)
