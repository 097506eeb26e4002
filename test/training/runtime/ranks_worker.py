"""Program that trains a few steps with every term from shards, as one process or as one of several ranks.

The first run has an image tower, the second a bank of image features with negatives.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import open_clip

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.data.shards.reader import read_shards
from clipose_ros.data.shards.stream import ShardStream
from clipose_ros.model import network
from clipose_ros.model.network import Architecture
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.image_bank import ImageBankConfig
from clipose_ros.training.runtime.distributed import ranks_joined
from clipose_ros.training.runtime.process_settings import configure_process
from clipose_ros.training.trainer import Trainer


def main(folder: Path, shards: Path, clip: Path, bank: Path, others: Path) -> None:
    """Train two runs into a folder, with a CLIP of that description, and with a bank of features as wide."""
    open_clip.add_model_config(clip)
    network.PRESETS["clipose_small"] = Architecture(
        widths=(8, 8, 8, 16, 16), supports=2, neighbours=6, head_widths=(16, 8), dropout=0.0
    )
    terms = ("symmetry", "point_matching", "box_matching", "face_normal", "face_distance", "voting", "box_size")
    pairs = ("cloud_text", "cloud_image", "image_text", "classification")
    config = TrainConfig.from_mapping(
        {
            "optimizer": "ranger", "steps": 3, "batch": 6, "validate_every": 2, "warmup_steps": 1, "threads": 1,
            "learning_rate": 0.01, "ema_decay": 0.5, "tensorboard": False,
            "shape_loss": {"symmetry_widths": [8], "face_widths": [8], **dict.fromkeys(terms, 1.0)},
            "clip_loss": dict.fromkeys(pairs, 1.0), "prompts": {"pose": "true"},
            "clip": {"model": clip.stem, "pretrained": "random", "tune_text": True},
        }
    )  # fmt: skip
    files = ImageBankConfig(file=str(bank), negatives=str(others))
    with_bank = replace(config, clip=replace(config.clip, images="bank"), image_bank=files)
    with ranks_joined("cpu") as device:
        configure_process(config.seed, config.threads, device)
        for name, each in (("tower", config), ("bank", with_bank)):
            stream = ShardStream(shards, seed=0, window=2)
            trainer = Trainer(each, NOCS_CATEGORIES, stream, read_shards(shards), folder / name, device)
            for module in (trainer.modules.network, trainer.modules.loss):
                module.eval()  # batch norm would see a slice of the batch
            trainer.run()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
