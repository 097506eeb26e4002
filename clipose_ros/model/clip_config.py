"""Settings of CLIP in a training run; importing this module does not import CLIP."""

from __future__ import annotations

from dataclasses import dataclass

from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError

RANDOM = "random"
"""Value of ``pretrained`` for untrained towers, for tests of the training."""


@dataclass(frozen=True)
class ClipConfig(ConfigNode):
    """Choice of the CLIP model, source of its weights, and tuned parts."""

    model: str = option("ViT-B-16", "open_clip name of the architecture.")
    pretrained: str = option("openai", "open_clip tag of the weights, part of the model's name; 'random' for none.")
    weights: str = option("", "Local file that holds the weights of that tag.")
    download: bool = option(False, "Download the weights from the hub if no local file is given.")
    images: str = option(
        "tower", "Source of image features: the image tower, or a file of features (image_bank).",
        choices=("tower", "bank"),
    )  # fmt: skip
    prompt_length: int = option(10, "Prompt tokens per layer (Table IV); 0 for an unmodified image tower.", low=0)
    prompt_position: str = option("prepend", "Before or behind the patches (Table IV).", choices=("prepend", "append"))
    prompt_first: int = option(1, "First transformer layer that gets tokens, from 1 (Table V).", low=1)
    prompt_last: int = option(1, "Last transformer layer that gets tokens (Table V).", low=1)
    tune_text: bool = option(False, "Tune the text projection as well (Table V, joint training).")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt_last < self.prompt_first:
            raise ConfigError(
                f"prompt_last must be at least prompt_first ({self.prompt_first}), got {self.prompt_last}"
            )

    @property
    def name(self) -> str:
        """Return the model's full name; features are stored with it, and those of different names never mix."""
        return f"{self.model}/{self.pretrained}"
