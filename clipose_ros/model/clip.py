"""CLIP's towers for training: the image tower with learnable prompt tokens, and texts as fixed features.

The robot does not use this module. Weights come from a local file, or from the hub if downloading is allowed.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.errors import CheckpointError, ConfigError, ShapeError
from clipose_ros.model.clip_config import RANDOM, ClipConfig
from clipose_ros.types import FloatArray


def load_clip(config: ClipConfig) -> Any:
    """Load the whole CLIP model on the CPU, in evaluation mode.

    Raises:
        ConfigError: The model or tag is unknown, or there are no weights and downloading is not allowed.
        CheckpointError: The weights cannot be read or downloaded.
    """
    if open_clip.get_model_config(config.model) is None:
        raise ConfigError(f"clip.model '{config.model}' is unknown to open_clip: see open_clip.list_models()")
    if config.pretrained == RANDOM:
        return open_clip.create_model(config.model, pretrained=None).eval()
    tag = open_clip.get_pretrained_cfg(config.model, config.pretrained)
    if not tag and not config.weights:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(config.model)) or "none"
        raise ConfigError(
            f"clip.pretrained '{config.pretrained}' is not a tag of {config.model}: expected one of {known}"
        )
    # OpenAI's weights were trained with an approximate GELU; with the exact one the features would be slightly wrong.
    quick_gelu = bool(tag.get("quick_gelu", False))
    if config.weights:
        if not Path(config.weights).is_file():
            raise CheckpointError(f"clip.weights '{config.weights}' does not exist: give a file with CLIP's weights")
        remedy = "give its .bin, .pt or .safetensors file of open_clip; TorchScript files can run code and are refused"
        return _create_model(config, config.weights, quick_gelu, remedy)
    if not config.download:
        raise ConfigError(
            f"the weights of {config.name} are needed: give a local file as clip.weights, or allow the download from "
            "the hub with clip.download=true; without an image tower, train from a file of text features"
        )
    return _create_model(
        config, config.pretrained, quick_gelu, "download the file on a connected machine and give it as clip.weights"
    )


def _create_model(config: ClipConfig, pretrained: str, quick_gelu: bool, remedy: str) -> Any:
    """Create the model with weights from a file or tag."""
    try:
        return open_clip.create_model(config.model, pretrained=pretrained, force_quick_gelu=quick_gelu).eval()
    except (RuntimeError, OSError, ValueError, KeyError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"no weights of {config.name} from '{pretrained}' ({reason}): {remedy}") from error


class ImageTower(nn.Module):
    """CLIP's image tower, frozen except for its prompt tokens and its projection.

    Tokens are inserted between [CLS] and the patches, or behind the patches, at the first chosen layer. Each further
    chosen layer replaces them by tokens of its own; the tokens of the last chosen layer pass through the layers behind
    it. Without tokens the tower has no trainable parameters.

    Args:
        clip: Model of ``load_clip``; the tower keeps its image half.
        config: Number, position and layers of the tokens.

    Raises:
        ConfigError: The tower has fewer layers, or is not a plain ViT.

    References:
        CLIPose III-C, Eq. (6); Jia et al., Visual Prompt Tuning, ECCV 2022.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, clip: Any, config: ClipConfig) -> None:
        super().__init__()
        visual: Any = clip.visual
        # Prompt tokens are inserted between the layers of a plain ViT, whose result is its [CLS] token.
        plain = isinstance(visual, open_clip.transformer.VisionTransformer) and visual.transformer.batch_first
        if not plain or visual.attn_pool is not None or visual.pool_type != "tok" or visual.proj is None:
            raise ConfigError(
                f"clip.model '{config.model}' has no plain ViT with a [CLS] token: choose ViT-B-16 or a similar model"
            )
        layers = len(visual.transformer.resblocks)
        if config.prompt_last > layers:
            raise ConfigError(
                f"clip.prompt_last must be at most {layers}, the layers of {config.model}, got {config.prompt_last}"
            )
        self.visual, self.config = visual.requires_grad_(False).eval(), config
        self.size: tuple[int, int] = visual.image_size
        width, patch = visual.class_embedding.shape[0], math.prod(visual.patch_size)
        count = config.prompt_last - config.prompt_first + 1 if config.prompt_length else 0
        self.prompts = nn.Parameter(torch.empty(count, config.prompt_length, width), requires_grad=count > 0)
        # Xavier-uniform with the fan of the patch embedding, as in Visual Prompt Tuning.
        bound = math.sqrt(6.0 / (3 * patch + width))
        nn.init.uniform_(self.prompts, -bound, bound)
        visual.proj.requires_grad_(count > 0)
        # Not persistent: a training state need not repeat the constants of the CLIP model.
        cfg = visual.preprocess_cfg
        self.register_buffer("mean", torch.tensor(cfg["mean"]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg["std"]).view(3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> ImageTower:
        """Set the training mode of the tower; the frozen CLIP model stays in evaluation mode."""
        super().train(mode)
        self.visual.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Encode RGB images ``(B, 3, H, W)`` in [0, 1], of any size, to unit features ``(B, D)``."""
        return F.normalize(self.tokens(images)[:, 0] @ self.visual.proj, dim=-1)

    def tokens(self, images: Tensor) -> Tensor:
        """Return the last layer's tokens ``(B, 1 + patches + prompts, W)`` of images as in ``forward``; [CLS] first."""
        if images.dim() != 4 or images.shape[1] != 3:
            raise ShapeError(f"images must be (B, 3, H, W), got {tuple(images.shape)}")
        if tuple(images.shape[2:]) != self.size:
            images = F.interpolate(images, self.size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
        x = self._embed((images - self.mean) / self.std)
        for layer, block in enumerate(self.visual.transformer.resblocks, start=1):
            if len(self.prompts) and self.config.prompt_first <= layer <= self.config.prompt_last:
                x = self._insert_prompts(x, layer - self.config.prompt_first)
            x = block(x)
        return self.visual.ln_post(x)

    def _embed(self, images: Tensor) -> Tensor:
        """Return [CLS] and patches with positional embeddings, the first layer's input."""
        patches = self.visual.conv1(images).flatten(2).mT
        first = self.visual.class_embedding.expand(len(images), 1, -1)
        return self.visual.ln_pre(torch.cat([first, patches], dim=1) + self.visual.positional_embedding)

    def _insert_prompts(self, x: Tensor, index: int) -> Tensor:
        """Insert the tokens of the index-th chosen layer in place of those of the layer before."""
        length = self.config.prompt_length
        prompts = self.prompts[index].expand(len(x), -1, -1)
        # The first chosen layer has no earlier tokens to replace.
        before = length if index else 0
        if self.config.prompt_position == "prepend":
            return torch.cat([x[:, :1], prompts, x[:, 1 + before :]], dim=1)
        return torch.cat([x[:, : x.shape[1] - before], prompts], dim=1)


def encode_texts(clip: Any, config: ClipConfig, texts: Sequence[str], batch: int = 256) -> FloatArray:
    """Encode texts to unit features ``(T, D)`` float32, without gradient.

    Raises:
        ConfigError: A text has more tokens than the text tower takes.
    """
    tokens = open_clip.get_tokenizer(config.model)(list(texts))
    # The tokenizer cuts long texts silently; a token in the last place is the sign of a full or cut text.
    if (full := (tokens[:, -1] != 0).nonzero()).numel():
        text = texts[int(full[0])]
        raise ConfigError(
            f"text has more than the {tokens.shape[1]} tokens that {config.model} takes: use fewer decimals: {text!r}"
        )
    device = next(clip.parameters()).device
    with torch.inference_mode():
        parts = [clip.encode_text(part.to(device), normalize=True).cpu().numpy() for part in tokens.split(batch)]
    return np.concatenate(parts).astype(np.float32)
