"""Shard generation. Interrupted runs continue, and a shard file is complete or absent."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from clipose_ros.data.shards.cluster import make_shards
from clipose_ros.data.shards.jobs import ShardJob, read_versions, write_shard
from clipose_ros.data.shards.manifest import MANIFEST, Manifest, Shard
from clipose_ros.data.shards.sources import SceneSource
from clipose_ros.data.shards.stores import FileContent, find_size, is_intact, prepare_folder, remove_partial_files
from clipose_ros.data.shards.urls import local_folder
from clipose_ros.errors import ConfigError

_EARLIER_SETTINGS = {"simulator": "tables", "renderer": "rays"}
"""Values of settings that earlier versions did not write into the manifest."""


def generate_shards(
    target: str | Path,
    source: SceneSource,
    scenes: int,
    scenes_per_shard: int = 50,
    workers: int | str = 1,
    log: Callable[[str], None] = print,
) -> Manifest:
    """Generate the clouds of scenes and write them as shards.

    Shards of an earlier run are kept if their size and hash match the manifest. The bytes of the shards depend neither
    on ``workers`` nor on interruptions. This process alone writes the manifest.

    Args:
        target: Output folder of the shards and their manifest, a path or a URL of fsspec; created if missing.
        source: Source of the clouds.
        scenes: Number of scenes. A larger number than in an earlier run adds shards.
        scenes_per_shard: Number of scenes in every shard but the last.
        workers: Number of processes on this machine; with 1, this process makes the shards. Or the address of a running
            scheduler of dask, such as ``tcp://10.0.0.1:8786``, whose workers make them.
        log: Called with one line per finished shard.

    Returns:
        The manifest, as written to the folder.

    Raises:
        ConfigError: A number is less than 1, the folder holds shards of other settings, or the workers cannot be used.
        DataError: A shard cannot be written, for example on a full disk, or the workers were lost.
    """
    if min(scenes, scenes_per_shard, workers if isinstance(workers, int) else 1) < 1:
        got = f"{scenes}, {workers} and {scenes_per_shard}"
        raise ConfigError(f"scenes, workers and scenes per shard must be at least 1, got {got}")
    prepare_folder(target)
    manifest = _prepare_manifest(target, source, scenes, scenes_per_shard)
    existing = {shard.first_scene for shard in manifest.shards}
    sizes = _compute_shard_sizes(scenes, scenes_per_shard)
    folder = local_folder(target)
    place = str(target) if folder is None else str(folder.absolute())  # workers may have another working directory
    jobs = [
        ShardJob(place, f"clouds-{first // scenes_per_shard:06d}.tar", first, count)
        for first, count in sizes.items()
        if first not in existing
    ]
    if existing:
        log(f"{len(existing)} shards exist, {len(jobs)} remain")
    # No cluster is started for nothing.
    made = (
        (write_shard(source, job) for job in jobs)
        if workers == 1 or not jobs
        else make_shards(workers, source, jobs, log)
    )
    # The manifest is rewritten after each shard, so an interrupted run loses only unfinished shards.
    with closing(made):
        for shard in made:
            shards = sorted((*manifest.shards, shard), key=lambda each: each.first_scene)
            manifest = replace(manifest, shards=tuple(shards))
            manifest.write(target)
            log(f"{shard.name}: {shard.samples} clouds, {manifest.missing_scenes} scenes to go")
    remove_partial_files(target)
    return manifest


def _compute_shard_sizes(scenes: int, scenes_per_shard: int) -> dict[int, int]:
    """Return the number of scenes of each shard by the index of its first scene."""
    return {first: min(scenes_per_shard, scenes - first) for first in range(0, scenes, scenes_per_shard)}


def _prepare_manifest(target: str | Path, source: SceneSource, scenes: int, scenes_per_shard: int) -> Manifest:
    """Write and return a manifest of the intact shards of a folder."""
    made_by = {**source.as_record(), "scenes_per_shard": scenes_per_shard, "versions": read_versions()}
    manifest = Manifest(made_by, scenes, source.categories)
    if find_size(target, MANIFEST) is not None:
        before = Manifest.read(target)
        _check_same_settings(target, before, manifest)
        expected = _compute_shard_sizes(scenes, scenes_per_shard)
        # A last shard that was short is generated again if it now holds more scenes.
        full = (shard for shard in before.shards if shard.scenes == expected[shard.first_scene])
        manifest = replace(manifest, shards=tuple(shard for shard in full if _is_intact(target, shard)))
    manifest.write(target)
    return manifest


def _check_same_settings(target: str | Path, before: Manifest, requested: Manifest) -> None:
    """Raise ConfigError if a folder holds shards of other settings or categories, or of more scenes than requested."""
    for key, value in requested.made_by.items():
        earlier = before.made_by.get(key, _EARLIER_SETTINGS.get(key))
        if earlier != value:
            raise ConfigError(
                f"{target} holds shards made with {key} {earlier}, got {value}: use the same setting or another folder"
            )
    if before.categories != requested.categories:
        raise ConfigError(
            f"{target} holds shards of the categories {', '.join(before.categories.names)}, got "
            f"{', '.join(requested.categories.names)}: use the same categories or another folder"
        )
    if before.scenes > requested.scenes:
        raise ConfigError(
            f"{target} was made for {before.scenes} scenes, got {requested.scenes}: request at least as many or use "
            "another folder"
        )


def _is_intact(target: str | Path, shard: Shard) -> bool:
    """Return True if the file of a shard has the size and hash of its manifest entry."""
    return is_intact(target, shard.name, FileContent(shard.size, shard.sha256))
