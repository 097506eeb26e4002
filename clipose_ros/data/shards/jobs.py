"""Making of a single shard, in the calling process or in a worker."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass

import cv2

from clipose_ros import __version__
from clipose_ros.allocator import keep_freed_memory
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.shards.codec import iter_tar_bytes
from clipose_ros.data.shards.manifest import Shard
from clipose_ros.data.shards.sources import SceneSource
from clipose_ros.data.shards.stores import write_file

VERSIONED_PACKAGES = ("numpy", "scipy", "trimesh", "embreex", "numba", "opencv-python-headless")
"""Packages whose version can change a generated cloud; their versions go into the manifest."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A shard to be made.

    Attributes:
        target: Folder of the shards: an absolute path, or a URL.
        name: File name.
        first_scene: Index of the first scene.
        scenes: Number of scenes.
    """

    target: str
    name: str
    first_scene: int
    scenes: int


def write_shard(source: SceneSource, job: ShardJob) -> Shard:
    """Generate the clouds of consecutive scenes and write them as one shard. Equal calls write equal bytes.

    Raises:
        ConfigError: The package that opens the store is not installed.
        DataError: A file cannot be read or written.
    """
    # The processes use all cores already; more threads in each would only compete.
    cv2.setNumThreads(1)
    keep_freed_memory()
    # Filled while write_file consumes the generator below.
    counts = dict.fromkeys(source.categories.names, 0)

    def generate() -> Iterator[tuple[str, CloudSample]]:
        for scene in range(job.first_scene, job.first_scene + job.scenes):
            for row, sample in enumerate(source.generate_clouds(scene)):
                counts[sample.category] += 1
                yield f"{scene:07d}-{row:03d}", sample

    content = write_file(job.target, job.name, iter_tar_bytes(generate()))
    samples = sum(counts.values())
    return Shard(job.name, job.first_scene, job.scenes, samples, content.size, content.sha256, counts)


def read_versions() -> dict[str, str]:
    """Return the versions of this package and of ``VERSIONED_PACKAGES``."""
    return {"clipose_ros": __version__, **{name: importlib.metadata.version(name) for name in VERSIONED_PACKAGES}}
