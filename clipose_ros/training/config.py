"""What a training run is: one frozen tree, read from a recipe in YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from clipose_ros.config import Section, option
from clipose_ros.errors import ConfigError
from clipose_ros.model.network import PRESETS, Architecture
from clipose_ros.training.losses import LossWeights


@dataclass(frozen=True)
class AugmentConfig(Section):
    """How clouds are varied (FS-Net, HS-Pose)."""

    roll_deg: float = option(
        30.0, "Largest turn about the optical axis, degrees; drawn for every cloud.", low=0.0, high=180.0
    )
    tilt_deg: float = option(15.0, "Largest turn about a random axis, degrees.", low=0.0, high=180.0)
    tilt_probability: float = option(0.3, "How often a cloud is tilted.", low=0.0, high=1.0)
    scale_low: float = option(0.8, "Smallest factor of a box side.", low=0.1, high=1.0)
    scale_high: float = option(1.2, "Largest factor of a box side.", low=1.0, high=10.0)
    scale_probability: float = option(0.3, "How often a box is scaled.", low=0.0, high=1.0)
    noise_m: float = option(0.002, "Standard deviation of noise on each point, metres.", low=0.0, high=0.1)
    noise_probability: float = option(0.2, "How often a cloud gets noise.", low=0.0, high=1.0)
    cut_fraction: float = option(0.3, "Largest part of a cloud cut off behind a random plane.", low=0.0, high=0.9)
    cut_probability: float = option(0.15, "How often a cloud is cut.", low=0.0, high=1.0)


@dataclass(frozen=True)
class TrainConfig(Section):
    """A training run."""

    preset: str = option("clipose_small", "Architecture by name.", choices=tuple(PRESETS))
    steps: int = option(20000, "Optimisation steps.", low=1)
    batch: int = option(24, "Clouds per step.", low=2, high=4096)
    learning_rate: float = option(1e-3, "Peak learning rate.", low=1e-7, high=1.0)
    weight_decay: float = option(1e-4, "Decoupled weight decay.", low=0.0, high=1.0)
    warmup_steps: int = option(300, "Steps over which the learning rate rises.", low=0)
    flat_fraction: float = option(
        0.5, "Part of the steps after which the learning rate falls by a cosine to 0.", low=0.0, high=1.0
    )
    clip_norm: float = option(5.0, "Gradients are scaled down to this norm.", low=0.0)
    ema_decay: float = option(
        0.999, "Decay per step of the averaged weights that are evaluated and shipped.", low=0.0, high=1.0
    )
    validate_every: int = option(2000, "Steps between validations; each also writes the run's state.", low=1)
    seed: int = option(0, "Seed of initial weights, sampling and augmentation.", low=0)
    threads: int = option(0, "CPU threads; 0 leaves the choice to torch.", low=0, high=256)
    weights: LossWeights = LossWeights()
    augment: AugmentConfig = AugmentConfig()

    @property
    def architecture(self) -> Architecture:
        """The preset's architecture."""
        return PRESETS[self.preset]


def read_recipe(path: Path) -> TrainConfig:
    """A recipe from YAML: nothing but its differences from the defaults.

    Raises:
        ConfigError: The file is missing or no YAML mapping, or a setting is unknown or out of bounds.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe '{path}' cannot be read: {error}") from error
    return TrainConfig.from_mapping(values or {})
