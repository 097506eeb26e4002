"""Settings of a training run: a frozen tree of dataclasses, read from a YAML recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from clipose_ros.bounded_files import read_yaml
from clipose_ros.config import ConfigNode, option, with_current_names
from clipose_ros.data.prompts import PromptConfig
from clipose_ros.data.sampling import SamplingConfig
from clipose_ros.errors import ConfigError, UnreadableFileError
from clipose_ros.model.clip_config import ClipConfig
from clipose_ros.model.fusion import FUSIONS
from clipose_ros.model.network import PRESETS, Architecture
from clipose_ros.training.image_bank import ImageBankConfig
from clipose_ros.training.losses.contrastive import ContrastiveWeights
from clipose_ros.training.losses.pose import LossWeights
from clipose_ros.training.losses.shape_weights import ShapeWeights

MAX_BASES = 16
"""Largest number of recipes behind each other, each the base of the one before."""


@dataclass(frozen=True)
class AugmentConfig(ConfigNode):
    """Augmentation of clouds (FS-Net, HS-Pose)."""

    roll_deg: float = option(
        30.0, "Largest roll about the optical axis, degrees; every cloud is rolled.", low=0.0, high=180.0
    )
    tilt_deg: float = option(15.0, "Largest tilt about a random axis, degrees.", low=0.0, high=180.0)
    tilt_probability: float = option(0.3, "Probability that a cloud is tilted.", low=0.0, high=1.0)
    scale_low: float = option(0.8, "Smallest factor of a box side.", low=0.1, high=1.0)
    scale_high: float = option(1.2, "Largest factor of a box side.", low=1.0, high=10.0)
    scale_probability: float = option(0.3, "Probability that an object is scaled.", low=0.0, high=1.0)
    taper_low: float = option(0.8, "Smallest factor of the width at a tapered object's end.", low=0.1, high=1.0)
    taper_high: float = option(1.2, "Largest factor of the width at a tapered object's end.", low=1.0, high=10.0)
    taper_probability: float = option(0.3, "Probability that an object is tapered along y.", low=0.0, high=1.0)
    taper_categories: tuple[str, ...] = option(("bowl", "mug"), "Categories of which a tapered object is still one.")
    noise: str = option(
        "sensor", "sensor: noise in all directions; outward: HS-Pose's, away from the object's centre.",
        choices=("sensor", "outward"),
    )  # fmt: skip
    noise_m: float = option(0.002, "Standard deviation of sensor noise, metres.", low=0.0, high=0.1)
    noise_share: float = option(0.2, "Largest outward noise, as a fraction of the offset.", low=0.0, high=1.0)
    noise_probability: float = option(0.2, "Probability that a cloud gets noise.", low=0.0, high=1.0)
    cut_fraction: float = option(0.3, "Largest fraction of a cloud cut off by a random plane.", low=0.0, high=0.9)
    cut_probability: float = option(0.15, "Probability that a cloud is cut.", low=0.0, high=1.0)
    mirror_probability: float = option(
        0.0,
        "Probability that the view of an object with mirror plane z = 0 is mirrored left to right.",
        low=0.0,
        high=1.0,
    )


@dataclass(frozen=True)
class FusionConfig(ConfigNode):
    """Fusion of a second modality with the features of the cloud (Table VI). Such a network cannot be deployed."""

    kind: str = option("none", "Kind of fusion; none for the deployed network.", choices=("none", *FUSIONS))
    modality: str = option("text", "Second modality.", choices=("image", "text"))


@dataclass(frozen=True)
class TrainConfig(ConfigNode):
    """Recipe of a training run."""

    is_root: ClassVar[bool] = True

    preset: str = option("clipose_small", "Architecture by name.", choices=tuple(PRESETS))
    encoder: str = option("", "3D encoder (Table VII); empty for the preset's.", choices=("", "hs", "gcn3d"))
    one_hot: bool = option(False, "Give the heads the category one-hot (Table III, D2), also if the preset does not.")
    ray_aligned: bool = option(False, "Turn each cloud to its viewing ray, also if the preset does not.")
    category_shift: bool = option(
        False, "Add a vector of the category to the features of the encoder, also if the preset does not."
    )
    refines: str = option(
        "", "Train a refiner of this shipped model or model file; empty: a network that poses clouds itself."
    )
    refines_corrected: bool = option(
        False,
        "With refines, every second batch holds poses that the averaged refiner has corrected once already, as it does "
        "on a robot where passes disagree. Start such a run from a trained refiner.",
    )
    points: int = option(0, "Points that the network uses; 0: the preset's.", low=0, high=16384)
    optimizer: str = option(
        "adamw", "AdamW; Muon for matrices with AdamW for the rest (without image tower); or Ranger, as in the paper.",
        choices=("adamw", "muon", "ranger"),
    )  # fmt: skip
    steps: int = option(20000, "Optimisation steps.", low=1)
    initial_points: int = option(
        0, "Points per cloud in the first steps of a run, which makes them cheaper; 0: all.", low=0, high=16384
    )
    initial_points_fraction: float = option(0.0, "Fraction of the steps that use initial_points.", low=0.0, high=1.0)
    batch: int = option(24, "Clouds per step.", low=2, high=4096)
    learning_rate: float = option(1e-3, "Peak learning rate.", low=1e-7, high=1.0)
    weight_decay: float = option(1e-4, "Decoupled weight decay.", low=0.0, high=1.0)
    warmup_steps: int = option(300, "Steps over which the learning rate rises.", low=0)
    lr_flat_fraction: float = option(
        0.5, "Fraction of the steps after which the learning rate decays to 0 by a cosine.", low=0.0, high=1.0
    )
    grad_clip_norm: float = option(5.0, "Largest norm of the gradient; a larger gradient is scaled down.", low=0.0)
    ema_decay: float = option(
        0.999, "Decay per step of the averaged weights, which are validated and written as models.", low=0.0, high=1.0
    )
    validate_every: int = option(2000, "Steps between validations; each also writes the run's state.", low=1)
    seed: int = option(0, "Seed of initial weights, sampling and augmentation.", low=0)
    precision: str = option(
        "auto", "Precision of matrix products; auto: bf16 on CUDA devices that support it. Losses are always in fp32.",
        choices=("auto", "fp32", "bf16"),
    )  # fmt: skip
    threads: int = option(0, "CPU threads; 0: torch's default.", low=0, high=256)
    tensorboard: bool = option(True, "Write curves and images for TensorBoard into the run's folder.")
    text_features: str = option(
        "", "Text features: a .npy or .npz file, or a folder that caches them; empty: the run's."
    )
    text_names: str = option(
        "", "Text file that names the category of each row of text_features; empty: a .npy has the categories in order."
    )
    pose_loss: LossWeights = LossWeights()
    shape_loss: ShapeWeights = ShapeWeights()
    clip_loss: ContrastiveWeights = ContrastiveWeights()
    prompts: PromptConfig = PromptConfig()
    clip: ClipConfig = ClipConfig()
    image_bank: ImageBankConfig = ImageBankConfig()
    fusion: FusionConfig = FusionConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimizer == "muon" and self.with_images:  # prompt tokens are 2D, but no linear maps
            raise ConfigError(
                "'optimizer' must be adamw or ranger with the image tower of CLIP, got muon, which cannot train prompts"
            )
        if self.clip.images == "bank" and self.fusion.kind != "none" and self.fusion.modality == "image":
            raise ConfigError(
                "'fusion.modality' image needs clip.images=tower, got bank, which has no image of a cloud"
            )
        if self.refines_corrected and not self.refines:
            raise ConfigError("'refines_corrected' is true, but 'refines' names no model: set it, or leave out both")
        if self.refines and self.fusion.kind != "none":
            raise ConfigError(f"'fusion.kind' must be none for a refiner, got {self.fusion.kind}: only a network that "
                              "can be deployed refines poses")  # fmt: skip
        fixed = self.with_image_bank and not self.image_bank.tune and not self.clip.tune_text
        if fixed and self.clip_loss.compares_images_with_texts:
            raise ConfigError(
                "'image_bank.tune' is false: nothing trains clip_loss.image_text and clip_loss.classification, since "
                "image and text features are fixed; set it to true, or both weights to 0"
            )

    @property
    def architecture(self) -> Architecture:
        """Return the architecture of the preset with the overrides of this recipe."""
        preset = PRESETS[self.preset]
        return replace(
            preset,
            encoder=self.encoder or preset.encoder,
            one_hot=self.one_hot or preset.one_hot,
            points=self.points or preset.points,
            ray_aligned=(self.ray_aligned or preset.ray_aligned) and not self.refines,
            refines=bool(self.refines),
            category_shift=self.category_shift or preset.category_shift,
        )

    def is_same_run(self, other: TrainConfig) -> bool:
        """Return True if both recipes train the same model; settings of reporting may differ."""
        return replace(self, tensorboard=other.tensorboard) == other

    @property
    def with_images(self) -> bool:
        """Return True if the recipe uses images of the clouds."""
        fused = self.fusion.kind != "none" and self.fusion.modality == "image"
        return fused or (self.clip_loss.with_images and self.clip.images == "tower")

    @property
    def with_image_bank(self) -> bool:
        """Return True if the recipe draws image features from a file."""
        return self.clip_loss.with_images and self.clip.images == "bank"

    @property
    def with_texts(self) -> bool:
        """Return True if the recipe uses texts; with an image tower they are always read."""
        uses = self.clip_loss.cloud_text > 0.0 or self.clip_loss.compares_images_with_texts
        return uses or self.fusion.kind != "none" or self.with_images

    @property
    def with_clip(self) -> bool:
        """Return True if the recipe uses texts or images, and so CLIP."""
        return self.clip_loss.is_enabled or self.fusion.kind != "none"


def read_recipe(path: Path) -> TrainConfig:
    """Read a recipe from YAML; settings that are not listed keep their defaults.

    The key ``base`` is the path of another recipe, relative to this file, whose settings are read first.

    Raises:
        ConfigError: A file is missing or is not a YAML mapping, bases form a cycle, or a setting is unknown or out of
            bounds.
    """
    return TrainConfig.from_mapping(_read_settings(path, ()))


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested settings; values of ``over`` replace those of ``base``."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _read_settings(path: Path, parents: tuple[Path, ...]) -> dict[str, Any]:
    """Read the settings of a recipe and of its bases."""
    if path.resolve() in parents:
        raise ConfigError(f"recipe '{path}' is its own base: {' → '.join(p.name for p in (*parents, path))}")
    if len(parents) > MAX_BASES:
        raise ConfigError(f"recipe '{parents[0]}' has more than {MAX_BASES} bases behind each other: merge some")
    try:
        values = read_yaml(path)
    except UnreadableFileError as error:
        raise ConfigError(f"recipe '{path}' cannot be read: {error}") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"recipe '{path}' must be a mapping of settings, got {values!r:.80}")
    settings = with_current_names(values)
    base = settings.pop("base", None)
    if base is None:
        return settings
    if not isinstance(base, str) or not base.isprintable():
        raise ConfigError(f"'base' of recipe '{path}' must be the path of a recipe, got {base!r:.80}")
    return merged(_read_settings(path.parent / base, (*parents, path.resolve())), settings)
