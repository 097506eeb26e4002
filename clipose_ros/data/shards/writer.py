"""Scenes into shards, in parallel processes: what is there already is kept, and never half a shard."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

from clipose_ros import __version__
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.parallel import begin_worker, process_pool
from clipose_ros.data.shards.codec import tar_chunks
from clipose_ros.data.shards.manifest import MANIFEST, Manifest, Shard, sha256_of, write_whole
from clipose_ros.data.shards.sources import SceneSource
from clipose_ros.errors import ConfigError

_DECISIVE = ("numpy", "scipy", "trimesh", "embreex", "opencv-python-headless")
"""Packages whose versions may change a cloud."""


def generate_shards(
    folder: Path,
    source: SceneSource,
    scenes: int,
    scenes_per_shard: int = 50,
    workers: int = 1,
    tell: Callable[[str], None] = print,
) -> Manifest:
    """Write the clouds of scenes. Shards that an earlier run finished are kept if size and hash are as it wrote them.

    The bytes of the shards do not depend on ``workers``, nor on how often the work was interrupted.

    Args:
        folder: Where the shards and their manifest go; made if it does not exist.
        source: Gives the clouds.
        scenes: How many; more than at an earlier run adds shards.
        scenes_per_shard: Scenes in each shard but the last.
        workers: Processes.
        tell: Called with a line for every shard.

    Raises:
        ConfigError: A number is out of bounds, or the folder was begun otherwise.
        DataError: A shard cannot be written, as on a full disk.
    """
    if scenes < 1 or workers < 1 or scenes_per_shard < 1:
        got = f"{scenes}, {workers} and {scenes_per_shard}"
        raise ConfigError(f"scenes, workers and scenes per shard must be at least 1, got {got}")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _begin(folder, source, scenes, scenes_per_shard)
    kept = {shard.first_scene for shard in manifest.shards}
    plan = [
        (first, min(scenes_per_shard, scenes - first))
        for first in range(0, scenes, scenes_per_shard)
        if first not in kept
    ]
    if kept:
        tell(f"{len(kept)} shards are there already, {len(plan)} to do")
    with process_pool(workers, _begin_worker, (source,)) as pool:
        names = {first: folder / f"clouds-{first // scenes_per_shard:06d}.tar" for first, _ in plan}
        jobs = [pool.submit(_write_shard, names[first], first, count) for first, count in plan]
        for job in as_completed(jobs):
            shard = job.result()
            shards = sorted((*manifest.shards, shard), key=lambda each: each.first_scene)
            manifest = replace(manifest, shards=tuple(shards))
            manifest.write(folder)
            tell(f"{shard.name}: {shard.samples} clouds, {manifest.missing_scenes} scenes to go")
    return manifest


def _begin(folder: Path, source: SceneSource, scenes: int, scenes_per_shard: int) -> Manifest:
    """The manifest to go on from: new, or of the shards that are whole. What a killed run left half is removed."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
    made_by = {**source.as_record(), "scenes_per_shard": scenes_per_shard, "versions": _versions()}
    manifest = Manifest(made_by, scenes, source.categories)
    if (folder / MANIFEST).exists():
        before = Manifest.read(folder)
        for key, value in made_by.items():
            if before.made_by.get(key) != value:
                raise ConfigError(f"{folder} was begun with {key} {before.made_by.get(key)}, got {value}: {_OTHER}")
        if before.categories != manifest.categories:
            raise ConfigError(f"{folder} was begun with other categories: {_OTHER}")
        if before.scenes > scenes:
            raise ConfigError(f"{folder} was begun for {before.scenes} scenes, got {scenes}: ask for as many, {_OTHER}")
        expected = {first: min(scenes_per_shard, scenes - first) for first in range(0, scenes, scenes_per_shard)}
        # the last shard of fewer scenes is made anew
        full = (shard for shard in before.shards if shard.scenes == expected[shard.first_scene])
        manifest = replace(manifest, shards=tuple(shard for shard in full if _is_whole(folder, shard)))
    manifest.write(folder)
    return manifest


_OTHER = "or choose another folder"


def _versions() -> dict[str, str]:
    """Of all that may change a cloud."""
    return {"clipose_ros": __version__, **{name: importlib.metadata.version(name) for name in _DECISIVE}}


def _is_whole(folder: Path, shard: Shard) -> bool:
    """Whether a shard is as it was written."""
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.size and sha256_of(path) == shard.sha256


_source: SceneSource | None = None  # of a worker, which serves one folder only


def _write_shard(path: Path, first: int, scenes: int) -> Shard:
    """Write the clouds of some scenes as one shard."""
    source = _source
    assert source is not None
    counts = dict.fromkeys(source.categories.names, 0)

    def counted() -> Iterator[tuple[str, CloudSample]]:
        for scene in range(first, first + scenes):
            for row, sample in enumerate(source.clouds(scene)):
                counts[sample.category] += 1
                yield f"{scene:07d}-{row:03d}", sample

    write_whole(path, tar_chunks(counted()))
    return Shard(path.name, first, scenes, sum(counts.values()), path.stat().st_size, sha256_of(path), counts)


def _begin_worker(source: SceneSource) -> None:
    """Set up a worker with its source."""
    global _source
    _source = source
    begin_worker()
