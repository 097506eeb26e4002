"""Fixtures: a tiny CLIP model with random weights, and clouds with images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from clipose_ros.atomic_files import write_atomically
from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.cloud_sample import CloudSample
from clipose_ros.data.samples import CloudSamples
from clipose_ros.data.shards.codec import iter_tar_bytes
from clipose_ros.data.shards.manifest import Manifest, Shard
from clipose_ros.data.shards.stores import compute_sha256
from clipose_ros.model.network import Architecture
from clipose_ros.training.runtime.process_settings import set_threads

TINY_CLIP = "clipose-tiny-recipes"


@pytest.fixture(scope="session", autouse=True)
def threads_of_kernels() -> None:
    """Set the threads as ``configure_process`` does: the first kernel would change their number during a run."""
    set_threads(torch.get_num_threads())


@pytest.fixture(scope="session")
def tiny_clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with twelve small layers, as open_clip reads it."""
    path = tmp_path_factory.mktemp("open_clip") / f"{TINY_CLIP}.json"
    vision = {"image_size": 32, "layers": 12, "width": 32, "patch_size": 8, "head_width": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    return path


@pytest.fixture(scope="session")
def tiny_clip(tiny_clip_file: Path) -> str:
    """The model's name, known to open_clip."""
    open_clip.add_model_config(tiny_clip_file)
    return tiny_clip_file.stem


@pytest.fixture(scope="session")
def tiny_architecture() -> Architecture:
    return Architecture(widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8), unit_m=0.1)


@pytest.fixture(scope="session")
def image_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random image features of the six categories, as wide as those of the tiny CLIP; cans have one only."""
    rng, labels = np.random.default_rng(6), np.array([0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 5])
    path = tmp_path_factory.mktemp("bank") / "six.npz"
    features = rng.normal(size=(len(labels), 16)).astype(np.float32)
    np.savez(path, features=features, labels=labels, categories=np.array(NOCS_CATEGORIES.names))
    return path


@pytest.fixture(scope="session")
def seen_samples() -> CloudSamples:
    """Boxes of the six categories in the camera's view, with images of noise."""
    rng = np.random.default_rng(4)
    count = 12
    size = rng.uniform(0.05, 0.2, (count, 3)).astype(np.float32)
    T = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    T[:, :3, 3] = rng.uniform(-0.2, 0.2, (count, 3)) + np.array([0, 0, 0.8])
    points = rng.uniform(-0.5, 0.5, (count, 128, 3)) * size[:, None] + T[:, None, :3, 3]
    index = np.arange(count, dtype=np.int64) % 6
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    seen = np.ones(count, bool), np.ones(count, np.float32)
    return CloudSamples(points.astype(np.float32), index, T, size, *seen, images=images)


@pytest.fixture(scope="session")
def to_shards() -> Callable[[CloudSamples, Path], Path]:
    """Writes clouds with images into three shards of a folder."""

    def write(samples: CloudSamples, folder: Path) -> Path:
        shards = []
        for i, rows in enumerate(np.split(np.arange(len(samples)), 3)):
            path = folder / f"clouds-{i:06d}.tar"
            write_atomically(path, iter_tar_bytes((f"{row:07d}", row_of(samples, row)) for row in rows))
            names = [NOCS_CATEGORIES.names[kind] for kind in samples.category_index[rows]]
            counts = {name: names.count(name) for name in NOCS_CATEGORIES.names}
            shards.append(Shard(path.name, i, 1, len(rows), path.stat().st_size, compute_sha256(path), counts))
        Manifest({"image_side": 32}, len(shards), NOCS_CATEGORIES, tuple(shards)).write(folder)
        return folder

    return write


@pytest.fixture(scope="session")
def seen_shards(
    seen_samples: CloudSamples,
    to_shards: Callable[[CloudSamples, Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The same clouds in three shards."""
    return to_shards(seen_samples, tmp_path_factory.mktemp("seen"))


def row_of(samples: CloudSamples, row: int) -> CloudSample:
    """One of the clouds."""
    assert samples.images is not None
    return CloudSample(
        samples.points[row],
        samples.categories.names[samples.category_index[row]],
        samples.T_camera_object[row],
        samples.size[row],
        bool(samples.handle_visible[row]),
        float(samples.visible_fraction[row]),
        samples.images[row],
    )
