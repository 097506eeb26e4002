"""A CLIP of the smallest size, with random weights, and clouds with images."""

from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest

from clipose_ros.data.samples import CloudSamples
from clipose_ros.model.network import Architecture

TINY_CLIP = "clipose-tiny-recipes"


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a model with twelve small layers, known to open_clip."""
    path = tmp_path_factory.mktemp("open_clip") / f"{TINY_CLIP}.json"
    vision = {"image_size": 32, "layers": 12, "width": 32, "patch_size": 8, "head_width": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    path.write_text(json.dumps({"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return TINY_CLIP


@pytest.fixture(scope="session")
def tiny_architecture() -> Architecture:
    return Architecture(widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8), unit_m=0.1)


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
