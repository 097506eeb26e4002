"""Parallel shard generation. Interrupted runs continue, and a shard file is complete or absent."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path

from clipose_ros import __version__
from clipose_ros.atomic_files import write_atomically
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.parallel import initialize_worker, process_pool
from clipose_ros.data.shards.codec import iter_tar_bytes
from clipose_ros.data.shards.manifest import MANIFEST, WRITE_REMEDY, Manifest, Shard, compute_sha256
from clipose_ros.data.shards.sources import SceneSource
from clipose_ros.errors import ConfigError

_VERSIONED_PACKAGES = ("numpy", "scipy", "trimesh", "embreex", "opencv-python-headless")
"""Packages whose version can change a generated cloud; their versions go into the manifest."""

_EARLIER_SETTINGS = {"simulator": "tables"}
"""Values of settings that earlier versions did not write into the manifest."""


def generate_shards(
    folder: Path,
    source: SceneSource,
    scenes: int,
    scenes_per_shard: int = 50,
    workers: int = 1,
    log: Callable[[str], None] = print,
) -> Manifest:
    """Generate the clouds of scenes and write them as shards.

    Shards of an earlier run are kept if their size and hash match the manifest. The bytes of the shards depend neither
    on ``workers`` nor on interruptions.

    Args:
        folder: Output folder of the shards and their manifest; created if missing.
        source: Source of the clouds.
        scenes: Number of scenes. A larger number than in an earlier run adds shards.
        scenes_per_shard: Number of scenes in every shard but the last.
        workers: Number of processes.
        log: Called with one line per finished shard.

    Returns:
        The manifest, as written to the folder.

    Raises:
        ConfigError: A number is less than 1, or the folder holds shards of other settings.
        DataError: A shard cannot be written, for example on a full disk, or a worker was killed.
    """
    if scenes < 1 or workers < 1 or scenes_per_shard < 1:
        got = f"{scenes}, {workers} and {scenes_per_shard}"
        raise ConfigError(f"scenes, workers and scenes per shard must be at least 1, got {got}")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _prepare_manifest(folder, source, scenes, scenes_per_shard)
    existing = {shard.first_scene for shard in manifest.shards}
    sizes = _compute_shard_sizes(scenes, scenes_per_shard)
    missing = {first: count for first, count in sizes.items() if first not in existing}
    if existing:
        log(f"{len(existing)} shards exist, {len(missing)} remain")
    with process_pool(workers, _initialize_worker, (source,)) as pool:
        paths = {first: folder / f"clouds-{first // scenes_per_shard:06d}.tar" for first in missing}
        jobs = [pool.submit(_write_shard, paths[first], first, count) for first, count in missing.items()]
        # The manifest is rewritten after each shard, so an interrupted run loses only unfinished shards.
        for job in as_completed(jobs):
            shard = job.result()
            shards = sorted((*manifest.shards, shard), key=lambda each: each.first_scene)
            manifest = replace(manifest, shards=tuple(shards))
            manifest.write(folder)
            log(f"{shard.name}: {shard.samples} clouds, {manifest.missing_scenes} scenes to go")
    return manifest


def _compute_shard_sizes(scenes: int, scenes_per_shard: int) -> dict[int, int]:
    """Return the number of scenes of each shard by the index of its first scene."""
    return {first: min(scenes_per_shard, scenes - first) for first in range(0, scenes, scenes_per_shard)}


def _prepare_manifest(folder: Path, source: SceneSource, scenes: int, scenes_per_shard: int) -> Manifest:
    """Write and return a manifest of the intact shards of a folder; remove partial files of killed runs."""
    for part in folder.glob("*.part"):
        # Partial files have names of their own and are never read, but they occupy disk space.
        part.unlink(missing_ok=True)
    made_by = {**source.as_record(), "scenes_per_shard": scenes_per_shard, "versions": _read_versions()}
    manifest = Manifest(made_by, scenes, source.categories)
    if (folder / MANIFEST).exists():
        before = Manifest.read(folder)
        _check_same_settings(folder, before, manifest)
        expected = _compute_shard_sizes(scenes, scenes_per_shard)
        # A last shard that was short is generated again if it now holds more scenes.
        full = (shard for shard in before.shards if shard.scenes == expected[shard.first_scene])
        manifest = replace(manifest, shards=tuple(shard for shard in full if _is_intact(folder, shard)))
    manifest.write(folder)
    return manifest


def _check_same_settings(folder: Path, before: Manifest, requested: Manifest) -> None:
    """Raise ConfigError if a folder holds shards of other settings or categories, or of more scenes than requested."""
    for key, value in requested.made_by.items():
        earlier = before.made_by.get(key, _EARLIER_SETTINGS.get(key))
        if earlier != value:
            raise ConfigError(
                f"{folder} holds shards made with {key} {earlier}, got {value}: use the same setting or another folder"
            )
    if before.categories != requested.categories:
        raise ConfigError(
            f"{folder} holds shards of the categories {', '.join(before.categories.names)}, got "
            f"{', '.join(requested.categories.names)}: use the same categories or another folder"
        )
    if before.scenes > requested.scenes:
        raise ConfigError(
            f"{folder} was made for {before.scenes} scenes, got {requested.scenes}: request at least as many or use "
            "another folder"
        )


def _read_versions() -> dict[str, str]:
    """Return the versions of this package and of ``_VERSIONED_PACKAGES``."""
    return {"clipose_ros": __version__, **{name: importlib.metadata.version(name) for name in _VERSIONED_PACKAGES}}


def _is_intact(folder: Path, shard: Shard) -> bool:
    """Return True if the file of a shard has the size and hash of its manifest entry."""
    path = folder / shard.name
    return path.is_file() and path.stat().st_size == shard.size and compute_sha256(path) == shard.sha256


_source: SceneSource | None = None  # set once per worker process: sending it with every call would pickle it each time


def _write_shard(path: Path, first: int, scenes: int) -> Shard:
    """Generate the clouds of consecutive scenes and write them as one shard."""
    source = _source
    assert source is not None
    # Filled while write_atomically consumes the generator below.
    counts = dict.fromkeys(source.categories.names, 0)

    def generate() -> Iterator[tuple[str, CloudSample]]:
        for scene in range(first, first + scenes):
            for row, sample in enumerate(source.generate_clouds(scene)):
                counts[sample.category] += 1
                yield f"{scene:07d}-{row:03d}", sample

    write_atomically(path, iter_tar_bytes(generate()), WRITE_REMEDY)
    return Shard(path.name, first, scenes, sum(counts.values()), path.stat().st_size, compute_sha256(path), counts)


def _initialize_worker(source: SceneSource) -> None:
    """Initialize a worker process and store its scene source."""
    global _source
    _source = source
    initialize_worker()
