"""From stored clouds to augmented training batches, keyed by step: step n gives the same batch in every run."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError
from clipose_ros.training.config import AugmentConfig
from clipose_ros.training.losses import PoseTruth
from clipose_ros.types import ByteArray


@dataclass(frozen=True)
class Batch:
    """Clouds with what the network should say of them.

    Attributes:
        points: ``(B, N, 3)`` metres, camera frame.
        category: ``(B,)`` int64, place in the category set.
        truth: Poses and sizes.
        rows: ``(B,)`` int64, which stored clouds they were made of.
        images: ``(B, 3, H, W)`` RGB in [0, 1] of the objects, where the run has images.
    """

    points: Tensor
    category: Tensor
    truth: PoseTruth
    rows: Tensor
    images: Tensor | None = None

    def first(self, count: int) -> Batch:
        """The same with the first points of each cloud alone; their order is random."""
        return replace(self, points=self.points[:, :count])

    def part(self, rank: int, ranks: int) -> Batch:
        """A rank's slice of a batch without images."""
        own = slice(rank * len(self.points) // ranks, (rank + 1) * len(self.points) // ranks)
        truth = PoseTruth(*(getattr(self.truth, spec.name)[own] for spec in fields(self.truth)))
        return Batch(self.points[own], self.category[own], truth, self.rows[own])

    def to(self, device: str) -> Batch:
        """The same on a device."""
        moved = (getattr(self.truth, spec.name).to(device) for spec in fields(self.truth))
        images = None if self.images is None else self.images.to(device)
        return Batch(self.points.to(device), self.category.to(device), PoseTruth(*moved), self.rows.to(device), images)


class BatchSource:
    """Draws training batches: every category equally often, augmentation on top.

    Args:
        samples: The stored clouds.
        categories: Their category set.
        config: Augmentation.
        batch: Clouds per batch, of all ranks together.
        seed: Together with the step, decides all.
        images: ``(S, H, W, 3)`` uint8 RGB of the samples, possibly on disk; they are not augmented.
        rank: Which slice of each batch this process takes.
        ranks: How many slices there are.

    Raises:
        ConfigError: A batch cannot be cut into equal slices.
    """

    def __init__(
        self,
        samples: CloudSamples,
        categories: CategorySet,
        config: AugmentConfig,
        batch: int,
        seed: int,
        images: ByteArray | None = None,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch % ranks:
            raise ConfigError(f"batch must be a multiple of the {ranks} processes, got {batch}")
        self._rank, self._ranks = rank, ranks
        self._samples, self._config, self._batch, self._seed, self._images = samples, config, batch, seed, images
        self._axial = torch.tensor([c.symmetry.axial_y for c in categories])
        index = torch.from_numpy(samples.category_index)
        members = (torch.nonzero(index == c).flatten() for c in range(len(categories)))
        self._members = [rows for rows in members if len(rows)]

    def at(self, step: int) -> Batch:
        """This rank's slice of the batch of a step; all ranks draw the same batch."""
        mixed = np.random.SeedSequence((self._seed, step)).generate_state(1)  # torch looks at 32 bits of a seed alone
        generator = torch.Generator().manual_seed(int(mixed[0]))
        kinds = torch.randint(len(self._members), (self._batch,), generator=generator)
        picks = torch.rand(self._batch, generator=generator)
        rows = torch.stack(
            [m[int(p * len(m))] for m, p in ((self._members[int(k)], p) for k, p in zip(kinds, picks, strict=True))]
        )
        stored = stored_batch(self._samples, rows, self._axial)
        own = augment(stored, self._axial, self._config, generator).part(self._rank, self._ranks)
        return own if self._images is None else replace(own, images=image_batch(self._images, own.rows))


def stored_batch(samples: CloudSamples, rows: Tensor, axial: Tensor, images: ByteArray | None = None) -> Batch:
    """Stored clouds as they are, at the given rows; ``axial`` tells by category whether it is axially symmetric."""
    pick = rows.numpy()
    category = torch.from_numpy(samples.category_index[pick])
    T = torch.from_numpy(samples.T_camera_object[pick]).float()
    visible = torch.from_numpy(samples.handle_visible[pick])
    truth = PoseTruth(
        T[:, :3, :3], T[:, :3, 3], torch.from_numpy(samples.size[pick]).float(), visible & ~axial[category]
    )
    seen = None if images is None else image_batch(images, rows)
    return Batch(torch.from_numpy(samples.points[pick]).float(), category, truth, rows, seen)


def image_batch(images: ByteArray, rows: Tensor) -> Tensor:
    """Images ``(S, H, W, 3)`` uint8 at the given rows as ``(B, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.asarray(images[rows.numpy()])).permute(0, 3, 1, 2).float() / 255.0


def augment(batch: Batch, axial: Tensor, config: AugmentConfig, generator: torch.Generator) -> Batch:
    """Vary clouds and truths together. Shifting a cloud is left out: the network subtracts its mean first."""
    points, truth = batch.points, batch.truth
    count = len(points)

    def chosen(probability: float) -> Tensor:
        return torch.rand(count, generator=generator) < probability

    points = cut(points, chosen(config.cut_probability), config.cut_fraction, generator)
    factors = config.scale_low + (config.scale_high - config.scale_low) * torch.rand(count, 3, generator=generator)
    factors[:, 2] = torch.where(axial[batch.category], factors[:, 0], factors[:, 2])
    factors = torch.where(chosen(config.scale_probability).unsqueeze(1), factors, torch.ones(3))
    points = scale_boxes(points, truth, factors)
    size = truth.size * factors
    turns = random_turns(count, config, chosen(config.tilt_probability), generator)
    pivot = points.mean(dim=1)
    points = torch.einsum("bij,bnj->bni", turns, points - pivot.unsqueeze(1)) + pivot.unsqueeze(1)
    t = torch.einsum("bij,bj->bi", turns, truth.t - pivot) + pivot
    noise = config.noise_m * torch.randn(points.shape, generator=generator)
    points = points + noise * chosen(config.noise_probability).view(-1, 1, 1)
    points = points[:, torch.randperm(points.shape[1], generator=generator)]
    moved = PoseTruth(turns @ truth.R, t, size, truth.x_determined)
    points, moved = mirror(points, moved, chosen(config.mirror_probability))
    return Batch(points, batch.category, moved, batch.rows, batch.images)


def mirror(points: Tensor, truth: PoseTruth, chosen: Tensor) -> tuple[Tensor, PoseTruth]:
    """Mirror the view left to right where ``chosen``: what is seen then is the object mirrored by its own plane z = 0.

    That object is the same one or as likely an instance, and its pose is a rotation again.
    """
    view = torch.where(chosen.unsqueeze(1), points.new_tensor([-1.0, 1.0, 1.0]), points.new_ones(3))
    own = torch.where(chosen.unsqueeze(1), points.new_tensor([1.0, 1.0, -1.0]), points.new_ones(3))
    R = view.unsqueeze(2) * truth.R * own.unsqueeze(1)
    return points * view.unsqueeze(1), replace(truth, R=R, t=truth.t * view)


def scale_boxes(points: Tensor, truth: PoseTruth, factors: Tensor) -> Tensor:
    """Scale clouds along their objects' axes: ``(B, N, 3)`` by ``(B, 3)``."""
    in_object = torch.einsum("bji,bnj->bni", truth.R, points - truth.t.unsqueeze(1)) * factors.unsqueeze(1)
    return torch.einsum("bij,bnj->bni", truth.R, in_object) + truth.t.unsqueeze(1)


def random_turns(count: int, config: AugmentConfig, tilted: Tensor, generator: torch.Generator) -> Tensor:
    """Rotations ``(B, 3, 3)``: a roll about the optical axis, and where ``tilted`` a turn about a random axis too."""
    roll = math.radians(config.roll_deg) * (2.0 * torch.rand(count, generator=generator) - 1.0)
    vectors = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    tilt = math.radians(config.tilt_deg) * torch.rand(count, generator=generator) * tilted
    optical = torch.tensor([0.0, 0.0, 1.0]).expand(count, 3)
    return _rotations(optical * roll.unsqueeze(1)) @ _rotations(vectors * tilt.unsqueeze(1))


def cut(points: Tensor, chosen: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Replace the points behind a random plane by repetitions of the others, as behind something nearer."""
    count, number, _ = points.shape
    normal = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    removed = (largest * torch.rand(count, generator=generator) * number).long() * chosen
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
