"""The loop: batches in, checkpoints out, stoppable at any moment."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from clipose_ros.categories import CategorySet
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.evaluation.accuracy import Accuracy, as_records
from clipose_ros.evaluation.clouds import evaluate_clouds, evaluate_poses
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.fused import FUSED
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.graph import REFERENCE, GraphOps
from clipose_ros.model.network import CLIPoseNet, NetworkOutput
from clipose_ros.training.batches import Batch, BatchSource
from clipose_ros.training.companions import Companions, CompanionSource, make_companions
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.fused_poser import FusedPoser
from clipose_ros.training.objective import Objective, load_trained_state, trained_state
from clipose_ros.training.ranger import Ranger

LOG_EVERY = 100


class TrainingError(CliposeError):
    """Training cannot go on; the last good state is on disk."""


class Trainer:
    """Trains a network on stored clouds.

    Args:
        config: The recipe.
        categories: What the clouds are of.
        training: Clouds to learn from.
        validation: Clouds to judge by, of other instances.
        folder: Where ``state.pt``, ``log.jsonl`` and ``model.safetensors`` go.
        device: ``cpu`` or ``cuda:N``.
    """

    def __init__(
        self, config: TrainConfig, categories: CategorySet, training: CloudSamples, validation: CloudSamples, folder:
        Path,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        if config.threads:
            torch.set_num_threads(config.threads)
        self.config, self.categories, self.folder, self.device = config, categories, folder, device
        self.validation = validation
        ops = FUSED if device == "cpu" else REFERENCE
        self.companions = self._make_companions(training)
        self.network = self._make_network(ops).to(device).train()
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
        )
        self.objective = Objective(config, self.network, categories, self.companions).to(device).train()
        parts = [self.objective] if self.companions is None else [self.objective, self.companions]
        self.extras = torch.nn.ModuleList(parts)
        self.parameters = [p for m in (self.network, self.extras) for p in m.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(config, self.parameters)
        images = training.images if config.with_images else None
        self.source = BatchSource(training, categories, config.augment, config.batch, config.seed, images)
        self.step = 0

    def _make_companions(self, training: CloudSamples) -> CompanionSource | None:
        """Texts and images with CLIP, where the recipe has them take part."""
        config = self.config
        if not config.with_clip:
            return None
        if config.with_images and (training.images is None or self.validation.images is None):
            raise ConfigError(
                "this recipe needs images, the clouds have none: make them with `generate --image-size 224`, or train "
                "with texts alone: contrast.cloud_image=0 contrast.image_text=0 contrast.classification=0"
            )
        features = Path(config.text_features) if config.text_features else self.folder / "text_features"
        return make_companions(
            config.clip, config.prompts, training, self.categories, config.seed, features, config.with_images
        ).to(self.device)

    def _make_network(self, ops: GraphOps) -> CLIPoseNet:
        """The network that will be deployed, or a fusion to compare it with."""
        if self.config.fusion.kind == "none" or self.companions is None:
            return CLIPoseNet(self.config.architecture, self.categories, ops)
        kind, width = self.config.fusion.kind, self.companions.width
        return FusionNet(self.config.architecture, self.categories, kind, width, ops)

    def run(self) -> dict[str, Accuracy]:
        """Train to the last step; SIGINT and SIGTERM write the state and end it early.

        Returns:
            The last validation.

        Raises:
            TrainingError: The loss is no longer finite.
        """
        started, first = time.monotonic(), self.step
        table: dict[str, Accuracy] = {}
        recent: list[dict[str, float]] = []
        with _stop_requested() as stopped:
            while self.step < self.config.steps and not stopped():
                recent.append(self._optimise())
                if self.step % LOG_EVERY == 0:
                    self._log(recent, (time.monotonic() - started) / (self.step - first))
                    recent = []
                if self.step % self.config.validate_every == 0 or self.step == self.config.steps:
                    table = self.validate()
                    self.save(table)
        if stopped():
            self.save(table)
        return table

    def _optimise(self) -> dict[str, float]:
        """One step; its terms by name."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * learning_rate_factor(self.step, self.config)
        batch = self.source.at(self.step)
        if self.config.early_points and self.step < self.config.early_fraction * self.config.steps:
            batch = batch.first(self.config.early_points)
        batch = batch.to(self.device)
        companions = None if self.companions is None else self.companions(batch)
        total, terms = self.objective(batch, self._forward(batch, companions), companions)
        if not math.isfinite(total.item()):
            raise TrainingError(
                f"the loss is {total.item()} at step {self.step}: lower learning_rate ({self.config.learning_rate}); "
                f"the last good state is '{self.folder / 'state.pt'}'"
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return terms

    def _forward(self, batch: Batch, companions: Companions | None) -> NetworkOutput:
        """The network's output; a fusion network is told the other modality."""
        if companions is None or self.config.fusion.kind == "none":
            return self.network(batch.points, batch.category)
        other = companions.image if self.config.fusion.modality == "image" else companions.text
        return self.network(batch.points, batch.category, other)

    def validate(self) -> dict[str, Accuracy]:
        """Accuracy of the averaged weights on the validation clouds."""
        network = self._averaged()
        if isinstance(network, FusionNet) and self.companions is not None:
            images = self.validation.images if self.config.fusion.modality == "image" else None
            poser = FusedPoser(network, self.companions, self.validation, images, self.device)
            return evaluate_poses(poser, self.validation, self.categories)
        return evaluate_clouds(Predictor(network, self.device), self.validation, self.categories)

    def _averaged(self) -> CLIPoseNet:
        """The averaged network, in evaluation mode."""
        network = self.average.module
        assert isinstance(network, CLIPoseNet)
        return network.eval()

    def save(self, table: dict[str, Accuracy]) -> None:
        """Write the resumable state and the averaged model; each appears whole or not at all."""
        state = {
            "step": self.step,
            "config": self.config.to_mapping(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "extras": trained_state(self.extras),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        partial = self.folder / "state.pt.part"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")
        notes = {"step": self.step, "recipe": self.config.to_mapping(), "validation": as_records(table)}
        if not isinstance(self.network, FusionNet):  # which no robot could run
            save_checkpoint(self.folder / "model.safetensors", self._averaged(), notes)
        self._record({"step": self.step, "validation": as_records(table)})
        if table:
            mean = table["mean"]
            print(f"step {self.step}: " + "  ".join(f"{k} {v:.1f}" for k, v in mean.within.items()), flush=True)

    def resume(self) -> None:
        """Go on from ``state.pt`` as if never stopped.

        Raises:
            TrainingError: There is no state, or it is of another recipe.
        """
        path = self.folder / "state.pt"
        if not path.is_file():
            raise TrainingError(f"nothing to resume: '{path}' does not exist")
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        if TrainConfig.from_mapping(state["config"]) != self.config:
            raise TrainingError(
                f"'{path}' was written with another recipe: resume with that one, or train into another folder"
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        load_trained_state(self.extras, state.get("extras", {}))
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"].cpu())
        self.step = state["step"]

    def _log(self, recent: list[dict[str, float]], seconds_per_step: float) -> None:
        """Tell the mean of each term over the recent steps, and the time left."""
        terms = {name: round(sum(values[name] for values in recent) / len(recent), 5) for name in recent[0]}
        self._record({"step": self.step, "seconds_per_step": round(seconds_per_step, 4), "losses": terms})
        left = (self.config.steps - self.step) * seconds_per_step / 60.0
        text = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        print(f"step {self.step}/{self.config.steps}  {text}  {left:.0f} min left", flush=True)

    def _record(self, values: dict[str, Any]) -> None:
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")


def make_optimizer(config: TrainConfig, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The recipe's optimiser."""
    if config.optimizer == "ranger":
        return Ranger(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


def learning_rate_factor(step: int, config: TrainConfig) -> float:
    """Linear warm-up, flat, then a cosine down to 0."""
    if step < config.warmup_steps:
        return max(step, 1) / config.warmup_steps
    fall = config.flat_fraction * config.steps
    if step <= fall:
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * (step - fall) / max(config.steps - fall, 1.0)))


@contextmanager
def _stop_requested() -> Iterator[Any]:
    """Whether SIGINT or SIGTERM came; the handlers before are put back."""
    stop = []

    def request(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
