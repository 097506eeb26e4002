"""Trains a few steps with every term, as one process or, started by torchrun, as one of several."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.samples import CloudSamples
from clipose_ros.model import network
from clipose_ros.model.network import Architecture
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.distributed import ranks_joined
from clipose_ros.training.trainer import Trainer


def samples() -> CloudSamples:
    """Boxes of the six categories; most mugs' handles are hidden, so that slices differ in what counts."""
    rng = np.random.default_rng(4)
    size = rng.uniform(0.05, 0.2, (30, 3)).astype(np.float32)
    T = np.tile(np.eye(4, dtype=np.float32), (30, 1, 1))
    T[:, :3, 3] = rng.uniform(-0.2, 0.2, (30, 3)) + np.array([0, 0, 0.8])
    points = rng.uniform(-0.5, 0.5, (30, 128, 3)) * size[:, None] + T[:, None, :3, 3]
    visible = rng.uniform(size=30) < 0.3
    index = np.arange(30, dtype=np.int64) % 6
    return CloudSamples(points.astype(np.float32), index, T, size, visible, np.ones(30, np.float32))


def main(folder: Path, features: Path) -> None:
    """Train into a folder; text features come from a file."""
    torch.set_num_threads(1)
    network.PRESETS["clipose_small"] = Architecture(
        widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8), dropout=0.0
    )
    terms = ("symmetry", "point_matching", "box_matching", "face_normal", "face_distance", "voting", "box_size")
    config = TrainConfig.from_mapping(
        {
            "optimizer": "ranger", "steps": 3, "batch": 6, "validate_every": 2, "warmup_steps": 1, "threads": 1,
            "learning_rate": 0.01, "ema_decay": 0.5, "text_features": str(features), "tensorboard": False,
            "shape": {"symmetry_widths": [8], "face_widths": [8], **dict.fromkeys(terms, 1.0)},
            "contrast": {"cloud_text": 1.0}, "clip": {"tune_text": True},
        }
    )  # fmt: skip
    with ranks_joined("cpu") as device:
        trainer = Trainer(config, NOCS_CATEGORIES, samples(), samples(), folder, device)
        for module in (trainer.network, trainer.objective):
            module.eval()  # batch norm would see a slice of the batch
        trainer.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
