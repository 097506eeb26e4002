"""Description of a training run without running it: data, model, schedule, losses and duration."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from clipose_ros.model.text_features import is_feature_file
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.losses.contrastive import ContrastiveWeights
from clipose_ros.training.optim.schedule import initial_steps
from clipose_ros.training.runtime.precision import uses_bf16
from clipose_ros.training.trainer import Trainer

TIMED_STEPS = 3
"""Number of steps over which the duration of a step is averaged."""
TEMPERATURES = ("temperature", "classification_scale")
"""Settings of the CLIP alignment loss that are not weights of terms."""


@contextmanager
def temporary_run_dir(config: TrainConfig, folder: Path) -> Iterator[tuple[TrainConfig, Path]]:
    """Yield the recipe and a temporary folder for a dry run, which leaves the folder of the run unchanged.

    Text features in the folder of the run are copied, so that the dry run does not compute them again.
    """
    text_features = Path(config.text_features) if config.text_features else folder / "text_features"
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        if not is_feature_file(text_features):  # a single file is only read, a folder is also written to
            config = replace(config, text_features="")
            if text_features.is_dir():
                shutil.copytree(text_features, temporary / "text_features")
        yield config, temporary


def describe_run(trainer: Trainer, files: Mapping[str, Sequence[str]]) -> str:
    """Return a description of a run. The trainer takes a few steps and cannot be used afterwards.

    Args:
        trainer: Trainer of the recipe, at the step at which the run would begin.
        files: Paths of the clouds by ``training`` and ``validation``.
    """
    config = trainer.config
    sections = [
        ("data", _describe_data(trainer, files)),
        ("model", _describe_model(trainer)),
        ("schedule", _describe_schedule(config, trainer.progress.step)),
        ("losses", _describe_losses(config)),
        ("time", _describe_duration(trainer)),
    ]
    return "\n".join(f"{name}\n" + "".join(f"  {line}\n" for line in lines) for name, lines in sections)


def _describe_data(trainer: Trainer, files: Mapping[str, Sequence[str]]) -> list[str]:
    """Return lines on files, clouds, and number of clouds by category."""
    training, validation = trainer.data.training, trainer.data.validation
    lines = [f"{name:<12}{', '.join(paths)}" for name, paths in files.items()]
    clouds, _ = training.fetch(range(1))
    images = "none" if clouds.images is None else "x".join(str(n) for n in clouds.images.shape[1:3])
    storage = "streamed from shards" if training.in_memory is None else "in memory"
    lines.append(f"{'points':<12}{clouds.points.shape[1]} in each cloud, images: {images}, {storage}")
    lines.append(f"{'category':<12}{'training':>10}{'validation':>12}")
    for place, name in enumerate(trainer.data.categories.names):
        lines.append(f"{name:<12}{training.counts[place]:>10}{int((validation.category_index == place).sum()):>12}")
    lines.append(f"{'all':<12}{training.counts.sum():>10}{len(validation):>12}")
    return lines


def _describe_model(trainer: Trainer) -> list[str]:
    """Return lines on architecture and number of parameters by part."""
    config, network = trainer.config, trainer.modules.network
    precision = "bf16" if uses_bf16(config.precision, trainer.device) else "fp32"
    lines = [f"{config.preset}, encoder {config.architecture.encoder}, on {trainer.device} in {precision}"]
    lines += [_count_parameters(name, module) for name, module in network.named_children()]
    lines.append(_count_parameters("total", network))
    for name, module in (("training only", trainer.modules.loss), ("CLIP", trainer.modules.clip_features)):
        if module is not None and any(True for _ in module.parameters()):
            lines.append(_count_parameters(name, module))
    clip_features = trainer.modules.clip_features
    if clip_features is not None and clip_features.bank is not None:
        bank, names = clip_features.bank, trainer.data.categories.names
        counts = ", ".join(f"{name} {count}" for name, count in zip(names, bank.counts.tolist(), strict=True))
        lines.append(
            f"{'image bank':<14}{len(bank.features):>12,} features ({counts}), {len(bank.negatives)} negatives"
        )
    return lines


def _count_parameters(name: str, module: nn.Module) -> str:
    """Return a line with the numbers of trainable and frozen parameters of a module."""
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
    return f"{name:<14}{trainable:>12,} parameters" + (f", and {frozen:,} frozen" if frozen else "")


def _describe_schedule(config: TrainConfig, done: int) -> list[str]:
    """Return lines on steps, batch, optimiser and learning rate."""
    lines = [
        f"{config.steps} steps of {config.batch} clouds, {config.optimizer}, seed {config.seed}",
        f"learning rate {config.learning_rate:g} after {config.warmup_steps} warm-up steps, cosine decay to 0 from "
        f"step {config.lr_flat_fraction * config.steps:.0f}; gradient norm at most {config.grad_clip_norm:g}",
        f"average of the weights with decay {config.ema_decay:g}; validation every {config.validate_every} steps",
    ]
    if early := initial_steps(config):
        lines.append(f"the first {early} steps use {config.initial_points} points of each cloud")
    if done:
        lines.append(f"resumes at step {done}")
    return lines


def _describe_losses(config: TrainConfig) -> list[str]:
    """Return lines on the weights of the loss terms."""
    lines = []
    for name, section in (("pose", config.pose_loss), ("shape", config.shape_loss), ("alignment", config.clip_loss)):
        skipped = TEMPERATURES if isinstance(section, ContrastiveWeights) else ()
        weights = {
            term: weight for term, weight in section.to_mapping().items() if isinstance(weight, float) and weight > 0.0
        }
        shown = "  ".join(f"{term} {weight:g}" for term, weight in weights.items() if term not in skipped)
        lines.append(f"{name:<12}{shown or 'none'}")
    if config.with_clip:
        images = "image tower" if config.with_images else "image bank" if config.with_image_bank else "no"
        lines.append(f"{'CLIP':<12}{config.clip.name}, images: {images}")
    return lines


def _describe_duration(trainer: Trainer) -> list[str]:
    """Return lines on the duration of the run, from a few timed steps and a timed prediction."""
    config, early, done = trainer.config, initial_steps(trainer.config), trainer.progress.step
    total, lines = 0.0, []
    for name, first, end in (("early steps", done, early), ("steps", max(done, early), config.steps)):
        if (steps := end - first) > 0:
            trainer.optimise_at(first)  # not timed: the first step compiles and fills caches
            each = _seconds(partial(trainer.optimise_at, first), TIMED_STEPS)
            total += steps * each
            lines.append(f"{name:<12}{steps:>8} of {each:.3f} s")
    clouds = len(trainer.data.validation)
    count = min(32, clouds)
    predict_fn = trainer.predict_fn()
    each = _seconds(partial(predict_fn, slice(0, count))) * clouds / count
    validations = -(-config.steps // config.validate_every) - done // config.validate_every
    lines.append(f"{'validations':<12}{validations:>8} of {each:.1f} s")
    minutes = (total + validations * each) / 60.0
    lines.append(f"about {minutes:.1f} minutes on this machine at its present load")
    return lines


def _seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the mean duration of a call, seconds."""
    started = time.monotonic()
    for _ in range(times):
        work()
    return (time.monotonic() - started) / times
