"""Simulated scenes into shards, in parallel processes: what is there already is kept, and never half a shard."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clipose_ros import __version__
from clipose_ros.config import CloudConfig
from clipose_ros.data.catalogue import NOCS_CATALOGUE, Catalogue
from clipose_ros.data.samples import scene_samples
from clipose_ros.data.shard_codec import CloudSample, tar_chunks
from clipose_ros.data.shards import MANIFEST, Manifest, Shard, sha256_of, write_whole
from clipose_ros.errors import ConfigError, DataError

_DECISIVE = ("numpy", "scipy", "trimesh", "embreex", "opencv-python-headless")
"""Packages whose versions may change a cloud."""


@dataclass(frozen=True)
class ShardRecipe:
    """All that decides the clouds of a folder of shards.

    Attributes:
        seed: Scene i of a seed is always the same, however it is spread over shards.
        scenes_per_shard: Scenes in each shard but the last.
        image_side: Pixels of the side of each object's image; 0 makes none.
        catalogue: What is put on the tables.
        objects: What the manifest says of the catalogue, for people and to know it again.
    """

    seed: int
    scenes_per_shard: int = 50
    image_side: int = 0
    catalogue: Catalogue = NOCS_CATALOGUE
    objects: Mapping[str, Any] = field(default_factory=lambda: {"categories": "nocs"})

    def __post_init__(self) -> None:
        if self.scenes_per_shard < 1:
            raise ConfigError(f"scenes per shard must be at least 1, got {self.scenes_per_shard}")

    def as_record(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        versions = {name: importlib.metadata.version(name) for name in _DECISIVE}
        return {
            "seed": self.seed,
            "scenes_per_shard": self.scenes_per_shard,
            "image_side": self.image_side,
            "objects": dict(self.objects),
            "versions": {"clipose_ros": __version__, **versions},
        }


def generate_shards(
    folder: Path, recipe: ShardRecipe, scenes: int, workers: int = 1, tell: Callable[[str], None] = print
) -> Manifest:
    """Simulate scenes into shards. Shards that an earlier run finished are kept if size and hash are as it wrote them.

    The bytes of the shards do not depend on ``workers``, nor on how often the work was interrupted.

    Args:
        folder: Where the shards and their manifest go; made if it does not exist.
        recipe: What is simulated.
        scenes: How many; more than at an earlier run adds shards.
        workers: Processes.
        tell: Called with a line for every shard.

    Raises:
        ConfigError: A number is out of bounds, or the folder was begun otherwise.
        DataError: A shard cannot be written, as on a full disk.
    """
    if scenes < 1 or workers < 1:
        raise ConfigError(f"scenes and workers must be at least 1, got {scenes} and {workers}")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _begin(folder, recipe, scenes)
    kept = {shard.first_scene for shard in manifest.shards}
    plan = [
        (first, min(recipe.scenes_per_shard, scenes - first))
        for first in range(0, scenes, recipe.scenes_per_shard)
        if first not in kept
    ]
    if kept:
        tell(f"{len(kept)} shards are there already, {len(plan)} to do")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker) as pool:
        try:
            jobs = [pool.submit(_write_shard, folder, recipe, *each) for each in plan]
            for job in as_completed(jobs):
                shard = job.result()
                shards = sorted((*manifest.shards, shard), key=lambda each: each.first_scene)
                manifest = replace(manifest, shards=tuple(shards))
                manifest.write(folder)
                tell(f"{shard.name}: {shard.samples} clouds, {manifest.missing_scenes} scenes to go")
        except BrokenProcessPool as error:
            raise DataError(f"a worker was killed, perhaps for memory: run again with fewer than {workers}") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return manifest


def _begin(folder: Path, recipe: ShardRecipe, scenes: int) -> Manifest:
    """The manifest to go on from: new, or of the shards that are whole. What a killed run left half is removed."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
    manifest = Manifest(recipe.as_record(), scenes, recipe.catalogue.categories)
    if (folder / MANIFEST).exists():
        before = Manifest.read(folder)
        for key, value in manifest.made_by.items():
            if before.made_by.get(key) != value:
                raise ConfigError(f"{folder} was begun with {key} {before.made_by.get(key)}, got {value}: {_OTHER}")
        if before.categories != manifest.categories:
            raise ConfigError(f"{folder} was begun with other categories: {_OTHER}")
        if before.scenes > scenes:
            raise ConfigError(f"{folder} was begun for {before.scenes} scenes, got {scenes}: ask for as many, {_OTHER}")
        whole = (shard for shard in before.shards if _is_whole(folder, shard, recipe, scenes))
        manifest = replace(manifest, shards=tuple(whole))
    manifest.write(folder)
    return manifest


_OTHER = "or choose another folder"


def _is_whole(folder: Path, shard: Shard, recipe: ShardRecipe, scenes: int) -> bool:
    """Whether a shard is as it was written, and holds the scenes that now belong into it."""
    path = folder / shard.name
    if shard.scenes != min(recipe.scenes_per_shard, scenes - shard.first_scene):
        return False  # the last shard of fewer scenes
    return path.is_file() and path.stat().st_size == shard.size and sha256_of(path) == shard.sha256


def _write_shard(folder: Path, recipe: ShardRecipe, first: int, scenes: int) -> Shard:
    """Simulate and write one shard."""
    path = folder / f"clouds-{first // recipe.scenes_per_shard:06d}.tar"
    counts = dict.fromkeys(recipe.catalogue.categories.names, 0)

    def counted() -> Iterator[tuple[str, CloudSample]]:
        for scene in range(first, first + scenes):
            for row, sample in enumerate(_scene(recipe, scene)):
                counts[sample.category] += 1
                yield f"{scene:07d}-{row:03d}", sample

    write_whole(path, tar_chunks(counted()))
    return Shard(path.name, first, scenes, sum(counts.values()), path.stat().st_size, sha256_of(path), counts)


def _scene(recipe: ShardRecipe, scene: int) -> Iterator[CloudSample]:
    """The clouds of a scene, the same as ``generate_samples`` makes."""
    rng = np.random.default_rng([recipe.seed, scene])
    catalogue = recipe.catalogue
    for points, truth, handle, image in scene_samples(
        rng, catalogue.drawable, CloudConfig(), catalogue, recipe.image_side
    ):
        yield CloudSample(
            points, truth.category, truth.T_camera_object, truth.size, handle, truth.visible_fraction, image
        )


def _begin_worker() -> None:
    """Set up a worker: one thread, and no life beyond that of the process that started it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise DataError("workers are started by generate_shards alone")

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)  # the queue would be waited on for ever

    threading.Thread(target=end_with_parent, daemon=True).start()
