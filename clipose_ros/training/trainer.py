"""The loop: batches in, checkpoints out, stoppable at any moment."""

from __future__ import annotations

import math
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from clipose_ros.categories import CategorySet
from clipose_ros.data.cloud_source import CloudSource, InMemorySource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy, as_records
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.model.widening import widen, widening_factor
from clipose_ros.training.batches import NO_IMAGES, BatchSource
from clipose_ros.training.clip_features import ClipFeatureProvider, create_clip_feature_provider
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.forward import Forward, across_ranks, over_ranks
from clipose_ros.training.losses.total import TotalLoss, load_trained_state, trained_state
from clipose_ros.training.optim.schedule import learning_rate_factor, make_optimizer, points_at
from clipose_ros.training.reporting.box_images import box_pictures
from clipose_ros.training.reporting.logger import TrainingLogger
from clipose_ros.training.run_dir import BEST, LAST, RunDir, TrainingError, random_state, set_random_state
from clipose_ros.training.runtime.distributed import any_rank, rank_and_size, rank_zero_first
from clipose_ros.training.runtime.precision import uses_bf16
from clipose_ros.training.runtime.signals import StoppedError, stop_requested
from clipose_ros.training.validation import PredictFn, create_predict_fn, evaluate_predictions, score
from clipose_ros.types import ByteArray


class Trainer:
    """Trains a network on stored clouds.

    Args:
        config: The recipe.
        categories: What the clouds are of.
        training: Clouds to learn from: in memory, or a source.
        validation: Clouds to evaluate_predictions by, of other instances.
        folder: Where state, log, the last model and the best one go; it is made when first written to.
        device: ``cpu`` or ``cuda:N``.
    """

    def __init__(
        self,
        config: TrainConfig,
        categories: CategorySet,
        training: CloudSamples | CloudSource,
        validation: CloudSamples,
        folder: Path,
        device: str = "cpu",
    ) -> None:
        self.config, self.categories, self.device = config, categories, device
        self.folder = RunDir(folder)
        self.monitor = TrainingLogger(self.folder, config)
        if isinstance(training, CloudSamples):
            training = InMemorySource(training, config.seed, config.sampling)
        self.clouds: CloudSource = training
        self.validation = validation
        rank, ranks = rank_and_size()
        self.is_rank_zero = rank == 0  # it alone validates, tells and writes
        self.source = BatchSource(self.clouds, config, rank, ranks)
        self.clip_features = self._create_clip_features()
        autocast_bf16 = uses_bf16(config.precision, device)
        ops = CPU_OPS if device == "cpu" else PYTORCH_OPS
        self.network = self._make_network(ops).to(device).train()
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True
        )
        self.objective = TotalLoss(config, self.network, categories, self.clip_features).to(device).train()
        parts = [self.objective] if self.clip_features is None else [self.objective, self.clip_features]
        self.extras = torch.nn.ModuleList(parts)
        self.parameters = [p for m in (self.network, self.extras) for p in m.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(config, self.parameters)
        forward = Forward(self.network, self.objective, self.clip_features, config.fusion, autocast_bf16)
        self.forward = across_ranks(forward, device)
        self.step, self.best = 0, -1.0

    def _create_clip_features(self) -> ClipFeatureProvider | None:
        """Texts and images with CLIP, where the recipe has them take part."""
        if not self.config.with_clip:
            return None
        if self.config.with_images and self.validation.images is None:
            raise ConfigError(f"{NO_IMAGES}; that holds for validation clouds, too")
        with rank_zero_first():
            return create_clip_feature_provider(
                self.config, self.clouds, self.folder.path / "text_features", self.device
            )

    def _make_network(self, ops: GraphOps) -> CLIPoseNet:
        """Create the network of the recipe: the deployed network, or a fusion network."""
        if self.config.fusion.kind == "none" or self.clip_features is None:
            return CLIPoseNet(self.config.architecture, self.categories, ops)
        kind, width = self.config.fusion.kind, self.clip_features.width
        return FusionNet(self.config.architecture, self.categories, kind, width, ops)

    def run(self) -> dict[str, Accuracy]:
        """Train to the last step; SIGINT and SIGTERM write the state and end it early.

        Returns:
            The last validation; empty on all ranks but the first.

        Raises:
            StoppedError: A signal ended it early.
            TrainingError: The loss is no longer finite, or the end cannot be written.
        """
        telling = self.monitor.running(self.step) if self.is_rank_zero else nullcontext()
        with stop_requested() as stopped, telling:
            while self.step < self.config.steps and not any_rank(stopped() is not None, self.device):
                terms = self.optimise()
                if self.is_rank_zero:
                    self.monitor.step(self.step, terms, self.optimizer.param_groups[0]["lr"])
                    if self.step % self.config.validate_every == 0 and self.step < self.config.steps:
                        self._try_to_save(self.validate())
            table: dict[str, Accuracy] = {}
            if self.is_rank_zero:
                table = self.validate() if self.step == self.config.steps else table
                self.save(table)
        if self.step < self.config.steps:
            if self.is_rank_zero:
                self.monitor.stopped(self.step)
            raise StoppedError(stopped() or signal.SIGTERM)  # another rank may have been asked
        return table

    def _try_to_save(self, table: dict[str, Accuracy]) -> None:
        """Save; a disk that is full in between is said and does not end the run, for the next time may find room."""
        try:
            self.save(table)
        except TrainingError as error:
            self.monitor.warn(f"{error}; {self.folder.last_good}")

    def optimise(self) -> dict[str, float]:
        """Take the next step; return its unweighted loss terms by name."""
        terms = self.optimise_at(self.step)
        self.step += 1
        return terms

    def optimise_at(self, step: int) -> dict[str, float]:
        """Update the weights with the batch and learning rate of a step; return its unweighted loss terms by name."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * learning_rate_factor(step, self.config)
        batch = self.source.at(step).first(points_at(step, self.config))
        total, own = self.forward(batch.to(self.device))
        joint, terms = over_ranks(total, own)
        self._require_finite("loss", joint, step)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.grad_clip_norm)
        self._require_finite("gradient", norm, step)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return terms

    def _require_finite(self, what: str, value: Tensor, step: int) -> None:
        """Raise TrainingError if a value is not finite."""
        if not math.isfinite(value.item()):
            raise TrainingError(
                f"the {what} is {value.item()} at step {step}: lower learning_rate "
                f"({self.config.learning_rate}); {self.folder.last_good}"
            )

    def validate(self) -> dict[str, Accuracy]:
        """Accuracy of the averaged weights on the validation clouds."""
        return evaluate_predictions(self.predict_fn(), self.validation, self.categories)

    def predict_fn(self) -> PredictFn:
        """Return the function that predicts poses of validation clouds with the averaged weights."""
        return create_predict_fn(self.config, self._averaged(), self.clip_features, self.validation, self.device)

    def _averaged(self) -> CLIPoseNet:
        """Return the averaged network, in evaluation mode."""
        network = self.average.module
        assert isinstance(network, CLIPoseNet)
        return network.eval()

    def save(self, table: dict[str, Accuracy]) -> None:
        """Write the averaged model, as the best too where it is, then the resumable state; each appears whole.

        Raises:
            TrainingError: One cannot be written; what was there before is kept.
        """
        notes = {"step": self.step, "recipe": self.config.to_mapping(), "validation": as_records(table)}
        better = score(table) > self.best
        if not isinstance(self.network, FusionNet):  # which no robot could run
            self.folder.save_model(LAST, self._averaged(), notes)
            if better:
                self.folder.save_model(BEST, self._averaged(), notes)
        self.best = max(self.best, score(table))
        self.folder.save_state(self._state())
        self.monitor.validated(self.step, table, self._pictures() if table else {})

    def _pictures(self) -> dict[str, ByteArray]:
        """Predicted boxes on validation clouds, where they are wanted."""
        return box_pictures(self.predict_fn(), self.validation) if self.monitor.wants_pictures else {}

    def _state(self) -> dict[str, Any]:
        """Everything that going on needs."""
        return {
            "step": self.step,
            "best": self.best,
            "config": self.config.to_mapping(),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "extras": trained_state(self.extras),
            "optimizer": self.optimizer.state_dict(),
            "random": random_state(self.device),
        }

    def start_from(self, model: Path) -> None:
        """Start with a checkpoint's weights in place of random ones, to fit a model to data of one's own.

        Where this run's encoder is a whole number of times as wide, its weights say what the model's do.

        Raises:
            CheckpointError: The file cannot be read.
            TrainingError: This run's network is a fusion; or the file is of another architecture, but for what
                ``widening_factor`` allows, or of other categories.
        """
        if isinstance(self.network, FusionNet):
            raise TrainingError(
                f"a network with fusion ({self.config.fusion.kind}) cannot start from a model: leave out --start, or "
                "take a recipe without fusion"
            )
        start = load_checkpoint(model)
        own, other = self.network.architecture, start.architecture
        if widening_factor(other, own) is None:
            raise TrainingError(f"'{model}' is of other architecture than this run: expected {own}, got {other}")
        if self.categories != start.categories:
            raise TrainingError(
                f"'{model}' is of other categories than this run: expected {self.categories}, got {start.categories}"
            )
        widen(start, self.network, self.config.seed)
        self._averaged().load_state_dict(self.network.state_dict())

    def resume(self) -> None:
        """Go on from the folder's state as if never stopped.

        Raises:
            TrainingError: There is no state, or it is of another recipe.
        """
        self.load_state(load_run_state(self.folder, self.config, self.device))

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``load_run_state`` gave."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        load_trained_state(self.extras, state.get("extras", {}))  # not in states of older versions
        self.optimizer.load_state_dict(state["optimizer"])
        set_random_state(state["random"], self.device)
        self.step, self.best = state["step"], state.get("best", -1.0)


def load_run_state(folder: RunDir, config: TrainConfig, device: str) -> dict[str, Any]:
    """Load the state of a run of the same recipe, with its tensors on a device.

    Raises:
        TrainingError: There is none, or it is of another recipe.
    """
    state = folder.load_state(device)
    if not TrainConfig.from_mapping(state["config"]).is_same_run(config):
        raise TrainingError(
            f"the state in '{folder.path}' was written with another recipe: resume with that one, or train into "
            "another folder"
        )
    return state
