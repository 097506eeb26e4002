"""What a training run is: one frozen tree, read from a recipe in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import yaml

from clipose_ros.config import ConfigNode, option, with_current_names
from clipose_ros.data.prompts import PromptConfig
from clipose_ros.data.sampling import SamplingConfig
from clipose_ros.errors import ConfigError
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.fusion import FUSIONS
from clipose_ros.model.network import PRESETS, Architecture
from clipose_ros.training.losses.contrastive import ContrastiveWeights
from clipose_ros.training.losses.pose import LossWeights
from clipose_ros.training.losses.shape_weights import ShapeWeights


@dataclass(frozen=True)
class AugmentConfig(ConfigNode):
    """How clouds are varied (FS-Net, HS-Pose)."""

    roll_deg: float = option(
        30.0, "Largest turn about the optical axis, degrees; drawn for every cloud.", low=0.0, high=180.0
    )
    tilt_deg: float = option(15.0, "Largest turn about a random axis, degrees.", low=0.0, high=180.0)
    tilt_probability: float = option(0.3, "How often a cloud is tilted.", low=0.0, high=1.0)
    scale_low: float = option(0.8, "Smallest factor of a box side.", low=0.1, high=1.0)
    scale_high: float = option(1.2, "Largest factor of a box side.", low=1.0, high=10.0)
    scale_probability: float = option(0.3, "How often a box is scaled.", low=0.0, high=1.0)
    taper_low: float = option(0.8, "Smallest factor of the width at a tapered object's end.", low=0.1, high=1.0)
    taper_high: float = option(1.2, "Largest factor of the width at a tapered object's end.", low=1.0, high=10.0)
    taper_probability: float = option(0.3, "How often an object is tapered along y.", low=0.0, high=1.0)
    taper_categories: tuple[str, ...] = option(("bowl", "mug"), "Categories that stay what they are when tapered.")
    noise: str = option(
        "sensor", "Noise in all directions, or HS-Pose's, which moves points away from the object's centre.",
        choices=("sensor", "outward"),
    )  # fmt: skip
    noise_m: float = option(0.002, "Standard deviation of a sensor's noise, metres.", low=0.0, high=0.1)
    noise_share: float = option(0.2, "Largest outward noise, as a share of the offset.", low=0.0, high=1.0)
    noise_probability: float = option(0.2, "How often a cloud gets noise.", low=0.0, high=1.0)
    cut_fraction: float = option(0.3, "Largest part of a cloud cut off behind a random plane.", low=0.0, high=0.9)
    cut_probability: float = option(0.15, "How often a cloud is cut.", low=0.0, high=1.0)
    mirror_probability: float = option(
        0.0,
        "How often a view of an object that its own plane z = 0 mirrors is mirrored left to right.",
        low=0.0,
        high=1.0,
    )


@dataclass(frozen=True)
class FusionConfig(ConfigNode):
    """Another modality put into the cloud's features (Table VI). Such a network cannot be deployed."""

    kind: str = option("none", "How.", choices=("none", *FUSIONS))
    modality: str = option("text", "What.", choices=("image", "text"))


@dataclass(frozen=True)
class TrainConfig(ConfigNode):
    """A training run."""

    is_root: ClassVar[bool] = True

    preset: str = option("clipose_small", "Architecture by name.", choices=tuple(PRESETS))
    encoder: str = option("", "3D encoder instead of the preset's (Table VII).", choices=("", "hs", "gcn3d"))
    one_hot: bool = option(False, "Tell the heads the category (Table III, D2), where the preset does not.")
    points: int = option(0, "Points that the network looks at; 0: the preset's.", low=0, high=16384)
    optimizer: str = option(
        "adamw", "AdamW, Muon for the matrices and AdamW for the rest (without CLIP), or the paper's Ranger.",
        choices=("adamw", "muon", "ranger"),
    )  # fmt: skip
    steps: int = option(20000, "Optimisation steps.", low=1)
    initial_points: int = option(
        0, "Points per cloud in the first part of a run, which then costs less; 0: all.", low=0, high=16384
    )
    initial_points_fraction: float = option(0.0, "That part of the steps.", low=0.0, high=1.0)
    batch: int = option(24, "Clouds per step.", low=2, high=4096)
    learning_rate: float = option(1e-3, "Peak learning rate.", low=1e-7, high=1.0)
    weight_decay: float = option(1e-4, "Decoupled weight decay.", low=0.0, high=1.0)
    warmup_steps: int = option(300, "Steps over which the learning rate rises.", low=0)
    lr_flat_fraction: float = option(
        0.5, "Part of the steps after which the learning rate falls by a cosine to 0.", low=0.0, high=1.0
    )
    grad_clip_norm: float = option(5.0, "Gradients are scaled down to this norm.", low=0.0)
    ema_decay: float = option(
        0.999, "Decay per step of the averaged weights that are evaluated and shipped.", low=0.0, high=1.0
    )
    validate_every: int = option(2000, "Steps between validations; each also writes the run's state.", low=1)
    seed: int = option(0, "Seed of initial weights, sampling and augmentation.", low=0)
    precision: str = option(
        "auto", "Of matrix products in training; auto: bf16 on CUDA devices that have it. Losses are in fp32 always.",
        choices=("auto", "fp32", "bf16"),
    )  # fmt: skip
    threads: int = option(0, "CPU threads; 0 leaves the choice to torch.", low=0, high=256)
    tensorboard: bool = option(True, "Keep curves and pictures for TensorBoard in the run's folder.")
    text_features: str = option("", "Text features: a .npy file, or a folder that keeps them; the run's if empty.")
    pose_loss: LossWeights = LossWeights()
    shape_loss: ShapeWeights = ShapeWeights()
    clip_loss: ContrastiveWeights = ContrastiveWeights()
    prompts: PromptConfig = PromptConfig()
    clip: ClipConfig = ClipConfig()
    fusion: FusionConfig = FusionConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer == "muon" and self.with_clip:  # whose tables of tokens are no matrices that map anything
            raise ConfigError("'optimizer' muon is for networks alone: with CLIP take adamw or ranger")

    @property
    def architecture(self) -> Architecture:
        """The preset's architecture with this run's differences."""
        preset = PRESETS[self.preset]
        return replace(
            preset,
            encoder=self.encoder or preset.encoder,
            one_hot=self.one_hot or preset.one_hot,
            points=self.points or preset.points,
        )

    def is_same_run(self, other: TrainConfig) -> bool:
        """Whether both make the same model, whatever they tell of it."""
        return replace(self, tensorboard=other.tensorboard) == other

    @property
    def with_images(self) -> bool:
        """Whether images take part."""
        return self.clip_loss.with_images or (self.fusion.kind != "none" and self.fusion.modality == "image")

    @property
    def with_clip(self) -> bool:
        """Whether texts or images take part."""
        return self.clip_loss.is_enabled or self.fusion.kind != "none"


def read_recipe(path: Path) -> TrainConfig:
    """Read a recipe from YAML: nothing but its differences from the defaults, or from another recipe.

    The key ``base`` names that recipe, by its file relative to this one.

    Raises:
        ConfigError: A file is missing or no YAML mapping, bases go in a circle, or a setting is unknown or out of
            bounds.
    """
    return TrainConfig.from_mapping(_read(path, ()))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with others put over them."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Read the settings of a recipe and of its bases."""
    if path.resolve() in above:
        raise ConfigError(f"recipe '{path}' is its own base: {' → '.join(p.name for p in (*above, path))}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"recipe '{path}' cannot be read: {error}") from error
    if not isinstance(values or {}, dict):
        raise ConfigError(f"recipe '{path}' must be a mapping of settings, got {values!r}")
    own = with_current_names(values or {})
    base = own.pop("base", None)
    return own if base is None else merged(_read(path.parent / str(base), (*above, path.resolve())), own)
