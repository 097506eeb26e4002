"""Segmentation models made from text prompts: prompts baked into a YOLOE model of ultralytics.

A text encoder converts each prompt into an embedding, once. The written model holds the embeddings and runs like any
other segmentation model, without the text encoder and without a network.

License: ultralytics and the YOLOE weights are under AGPL-3.0, and so is the written model. The weights of the text
encoder are under Apple's research license. ultralytics is imported only inside the functions.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clipose_ros.categories import CategorySet
from clipose_ros.errors import ConfigError, SegmentationError
from clipose_ros.segmentation.isolation import isolate_ultralytics
from clipose_ros.segmenter_training.parameter_file import DetectorParameters, write_parameters

Encoder = Callable[[Any, Sequence[str]], torch.Tensor]
"""Function of a YOLOE model and P prompts that returns their embeddings ``(1, P, D)``."""
SOURCE = "https://github.com/ultralytics/assets/releases"
"""Address from which ultralytics downloads weights and text encoders."""
CLIP_PACKAGE = "git+https://github.com/ultralytics/CLIP.git"
"""Requirement of the tokenizer of the text encoders, which is not on PyPI."""
_ENCODERS = {"mobileclip": "mobileclip_blt.ts", "mobileclip2": "mobileclip2_b.ts"}


@dataclass(frozen=True, slots=True)
class Download:
    """A file that making a model needs and that is not there.

    Attributes:
        name: Name of the file.
        size: Approximate size for people.
        license: License of the file.
    """

    name: str
    size: str
    license: str

    def __str__(self) -> str:
        return f"{self.name} ({self.size}) from {SOURCE}, license {self.license}"


@dataclass(frozen=True, slots=True)
class PromptedSegmenterConfig:
    """Settings of a prompted model.

    Attributes:
        prompts: Category by prompt; several prompts may have the same category.
        weights: YOLOE weights for segmentation with prompts (``yoloe-26s-seg.pt``).
        image_size: Longer side of the network's input, pixels.
        score_threshold: Detections with a lower score are dropped. Scores of prompted models are low.
    """

    prompts: Mapping[str, str]
    weights: Path
    image_size: int = 640
    score_threshold: float = 0.1


def parse_prompts(text: str, categories: CategorySet) -> dict[str, str]:
    """Parse ``category: prompt, prompt; category: prompt``.

    Returns:
        Category by prompt, in the order of the text.

    Raises:
        ConfigError: A group has no colon or no prompt, names an unknown category, or a prompt occurs twice.
    """
    prompts: dict[str, str] = {}
    for group in filter(str.strip, text.split(";")):
        name, colon, listed = group.partition(":")
        found = [prompt.strip() for prompt in listed.split(",") if prompt.strip()]
        if not (colon and found):
            raise ConfigError(f"--prompts needs groups like 'mug: mug, coffee cup' separated by ';', got {group!r}")
        category = categories[name.strip()].name
        for prompt in found:
            if prompt in prompts:
                raise ConfigError(f"--prompts has '{prompt}' twice: for '{prompts[prompt]}' and for '{category}'")
            prompts[prompt] = category
    if not prompts:
        raise ConfigError("--prompts is empty: give at least one group like 'mug: mug, coffee cup'")
    return prompts


def missing_downloads(weights: Path) -> tuple[Download, ...]:
    """Return the files that ``make_segmenter`` would download: the weights, and the text encoder beside them.

    Args:
        weights: Path of the weights. Their name tells which text encoder they were trained with.
    """
    encoder = _ENCODERS["mobileclip2" if "-26" in weights.name else "mobileclip"]
    needed = (
        Download(weights.name, "30 to 170 MB by model size", "AGPL-3.0"),
        Download(encoder, "some hundred MB", "Apple research license for MobileCLIP"),
    )
    return tuple(item for item in needed if not (weights.parent / item.name).is_file())


def make_segmenter(config: PromptedSegmenterConfig, out: Path, encode: Encoder | None = None) -> Path:
    """Write a model with baked-in prompts, and beside it a parameter file of the pose node (``.yaml``).

    Files that ``missing_downloads`` lists are downloaded by ultralytics if ``YOLO_OFFLINE`` is ``false`` in the
    environment before its first import, and are an error otherwise.

    Args:
        config: Prompts, weights, image size and threshold.
        out: Written model, ``.pt``.
        encode: Converts prompts into embeddings; the text encoder of the model if None.

    Returns:
        The parameter file.

    Raises:
        ConfigError: ``out`` does not end in ``.pt``.
        SegmentationError: The weights are no YOLOE segmentation model that takes prompts, a file or the package of the
            tokenizer is missing, or the written model has other classes than the prompts.
    """
    if out.suffix != ".pt":
        raise ConfigError(f"--out must end in .pt, got '{out}'")
    prompts = list(config.prompts)
    target, weights = out.resolve(), config.weights.resolve()
    with isolate_ultralytics():
        from ultralytics import YOLOE

        model = _load_promptable(YOLOE, weights)
        with _working_directory(weights.parent):  # ultralytics looks for the text encoder here
            embeddings = (encode or _encode)(model, prompts)
        model.set_classes(prompts, embeddings)
        target.parent.mkdir(parents=True, exist_ok=True)
        model.save(target)
        _check_classes(YOLOE(str(target)).names, target, prompts)
    parameters = DetectorParameters(config.prompts, config.image_size, config.score_threshold)
    return write_parameters(target, parameters, "Parameters of the pose node for a detector made from text prompts.")


def _load_promptable(load: Callable[[str], Any], weights: Path) -> Any:
    """Load a YOLOE segmentation model that takes text prompts."""
    try:
        model = load(str(weights))
    except Exception as error:  # the loaders raise errors of many types for a file that is not a model
        raise SegmentationError(f"'{weights}' is not a YOLOE model that ultralytics can load: {error}") from error
    network: Any = model.model
    kind = type(network).__name__
    if kind != "YOLOESegModel" or hasattr(network.model[-1], "lrpc"):
        what = "a prompt-free YOLOE model" if kind == "YOLOESegModel" else f"a model of type {kind}"
        raise SegmentationError(
            f"'{weights}' is {what}, expected YOLOE weights for segmentation with prompts, such as yoloe-26s-seg.pt"
        )
    return model


def _encode(model: Any, prompts: Sequence[str]) -> torch.Tensor:
    """Embed prompts with the text encoder of the model."""
    if importlib.util.find_spec("clip") is None:
        raise SegmentationError(
            f"text prompts need the package 'clip', which is not installed: pip install {CLIP_PACKAGE}"
        )
    try:
        embeddings: torch.Tensor = model.get_text_pe(list(prompts))
    except (OSError, RuntimeError, ValueError) as error:
        raise SegmentationError(f"the text encoder cannot be loaded: {error}") from error
    return embeddings


def _check_classes(classes: Mapping[int, str], path: Path, prompts: Sequence[str]) -> None:
    """Compare the class names of a written model with the prompts, in order."""
    names = [name for _, name in sorted(classes.items())]
    if names != list(prompts):
        raise SegmentationError(f"'{path}' has the classes {names}, expected the prompts {list(prompts)} in this order")


@contextlib.contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    """Change the working directory for a block; ``contextlib.chdir`` needs Python 3.11."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
