"""Training loop with validation, checkpoints, resumption and clean interruption."""

from __future__ import annotations

import math
import signal
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from clipose_ros.categories import CategorySet
from clipose_ros.config import config_fields
from clipose_ros.data.cloud_source import CloudSource
from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import ConfigError, quoted
from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy, as_records
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.widening import widen, widening_factor
from clipose_ros.training.batches import TrainingData
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.forward import over_ranks
from clipose_ros.training.losses.total import load_trained_state, trained_state
from clipose_ros.training.modules import create_modules
from clipose_ros.training.optim.schedule import (
    learning_rate_factor,
    make_optimizer,
    points_at,
    require_fitting_state,
)
from clipose_ros.training.reporting.box_images import box_pictures
from clipose_ros.training.reporting.logger import TrainingLogger
from clipose_ros.training.run_dir import BEST, LAST, RunDir, TrainingError, random_state, set_random_state
from clipose_ros.training.runtime.distributed import any_rank, rank_and_size
from clipose_ros.training.runtime.signals import StoppedError, stop_requested
from clipose_ros.training.state_file import TrainingState
from clipose_ros.training.validation import PredictFn, create_predict_fn, evaluate_predictions, score
from clipose_ros.types import ByteArray


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        step: Number of optimisation steps taken.
        best_score: Highest validation score so far; -1 before the first validation.
    """

    step: int = 0
    best_score: float = -1.0


class Trainer:
    """Trainer of a network on stored clouds.

    Args:
        config: Recipe.
        categories: Categories of the clouds.
        training: Training clouds: in memory, or a source.
        validation: Validation clouds, of other instances than the training clouds.
        folder: Folder of the state, log, last model and best model; it is created at the first write.
        device: ``cpu`` or ``cuda:N``.

    Attributes:
        config: Recipe.
        device: Device of the modules.
        run_dir: Files of the run.
        logger: Log, console and TensorBoard of the run.
        data: Clouds and training batches.
        modules: Network, average of its weights, loss and CLIP features.
        optimizer: Optimizer of the trainable parameters.
        progress: Steps taken and best validation score.
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
        self.config, self.device = config, device
        self.run_dir = RunDir(folder)
        self.logger = TrainingLogger(self.run_dir, config)
        self.data = TrainingData.create(config, categories, training, validation)
        self.modules = create_modules(config, self.data, folder / "text_features", device)
        self.optimizer = make_optimizer(config, self.modules.parameters)
        self.progress = Progress()

    @property
    def is_finished(self) -> bool:
        """Return True if all steps of the recipe are taken."""
        return self.progress.step >= self.config.steps

    def run(self) -> dict[str, Accuracy]:
        """Train to the last step; SIGINT and SIGTERM end the run early, after its state is written.

        Returns:
            The last validation by category; empty on all ranks but the first.

        Raises:
            StoppedError: A signal ended the run early.
            TrainingError: The loss or a gradient is not finite, or the last state cannot be written.
        """
        is_rank_zero = rank_and_size()[0] == 0  # only this rank validates, logs and writes
        table: dict[str, Accuracy] = {}
        with stop_requested() as stopped, self.logger.running(self.progress.step) if is_rank_zero else nullcontext():
            while not self.is_finished and not any_rank(stopped() is not None, self.device):
                terms = self.optimise()
                if is_rank_zero:
                    self._report_step(terms)
            if is_rank_zero:
                table = self.validate() if self.is_finished else table
                self.save(table)
        if not self.is_finished:
            if is_rank_zero:
                self.logger.stopped(self.progress.step)
            raise StoppedError(stopped() or signal.SIGTERM)  # without a number if another rank got the signal
        return table

    def _report_step(self, terms: dict[str, float]) -> None:
        """Log the step just taken; at regular intervals validate and save, too."""
        step = self.progress.step
        self.logger.step(step, terms, self.optimizer.param_groups[0]["lr"])
        if step % self.config.validate_every == 0 and not self.is_finished:
            self._try_to_save(self.validate())

    def _try_to_save(self, table: dict[str, Accuracy]) -> None:
        """Save; if that fails, warn and train on, since the disk may have room again at the next save."""
        try:
            self.save(table)
        except TrainingError as error:
            self.logger.warn(f"{error}; {self.run_dir.last_good}")

    def optimise(self) -> dict[str, float]:
        """Take the next step; return its unweighted loss terms by name."""
        terms = self.optimise_at(self.progress.step)
        self.progress = replace(self.progress, step=self.progress.step + 1)
        return terms

    def optimise_at(self, step: int) -> dict[str, float]:
        """Update the weights with the batch and learning rate of a step; return its unweighted loss terms by name.

        Raises:
            TrainingError: The loss or a gradient is not finite; the weights are unchanged.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * learning_rate_factor(step, self.config)
        batch = self.data.batches.at(step).to(self.device)
        if self.modules.coarse is not None:  # before points are left out: the coarse network uses others
            corrects = self.config.refines_corrected and step % 2 == 1
            batch = self.modules.coarse.to_frames(batch, self.modules.averaged_network if corrects else None)
        total, rank_terms = self.modules.forward(batch.first(points_at(step, self.config)))
        joint_total, terms = over_ranks(total, rank_terms)
        self._require_finite("loss", joint_total, step)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.modules.parameters, self.config.grad_clip_norm)
        self._require_finite("gradient", norm, step)
        self.optimizer.step()
        self.modules.average.update_parameters(self.modules.network)
        return terms

    def _require_finite(self, name: str, value: Tensor, step: int) -> None:
        """Raise TrainingError if a value is not finite; the message names a degenerate cloud of the batch, if any."""
        if math.isfinite(value.item()):
            return
        cause = self.data.batches.unusable_cloud(step)
        remedy = f"{cause}, remove it" if cause else f"lower learning_rate ({self.config.learning_rate})"
        raise TrainingError(
            f"the {name} is {value.item()} at step {step}, expected a finite number: {remedy}; {self.run_dir.last_good}"
        )

    def validate(self) -> dict[str, Accuracy]:
        """Measure the accuracy of the averaged weights on the validation clouds, by category."""
        return evaluate_predictions(self.predict_fn(), self.data.validation, self.data.categories)

    def predict_fn(self) -> PredictFn:
        """Return the function that predicts poses of validation clouds with the averaged weights."""
        network, clip_features = self.modules.model, self.modules.clip_features
        return create_predict_fn(self.config, network, clip_features, self.data.validation, self.device)

    def save(self, table: dict[str, Accuracy]) -> None:
        """Write the averaged model, also as the best one if its score is the highest, and the resumable state.

        Args:
            table: Accuracy by category from ``validate``; empty without a validation.

        Raises:
            TrainingError: A file cannot be written; its previous version is kept.
        """
        step, best_score = self.progress.step, self.progress.best_score
        notes = {"step": step, "recipe": self.config.to_mapping(), "validation": as_records(table)}
        if not isinstance(self.modules.network, FusionNet):  # the robot's engines cannot run a fusion network
            for name in (LAST, BEST) if score(table) > best_score else (LAST,):
                self.run_dir.save_model(name, self.modules.model, notes)
        self.progress = Progress(step, max(best_score, score(table)))
        self.run_dir.save_state(self._state())
        self.logger.validated(step, table, self._draw_validation() if table else {})

    def _draw_validation(self) -> dict[str, ByteArray]:
        """Draw predicted boxes on validation clouds; an empty result if the logger keeps no pictures."""
        return box_pictures(self.predict_fn(), self.data.validation) if self.logger.wants_pictures else {}

    def _state(self) -> TrainingState:
        """Return the content of the state file, from which a run resumes."""
        return TrainingState(
            step=self.progress.step,
            best=self.progress.best_score,
            config=self.config.to_mapping(),
            network=self.modules.network.state_dict(),
            average=self.modules.average.state_dict(),
            extras=trained_state(self.modules.extras),
            optimizer=self.optimizer.state_dict(),
            random=random_state(self.device),
            coarse="" if self.modules.coarse is None else self.modules.coarse.weights,
        )

    def start_from(self, model: Path) -> None:
        """Replace the initial random weights by those of a checkpoint, to fine-tune its model to other data.

        If the encoder of this run is a whole number of times as wide, the weights are widened so that the network
        computes the same outputs. A refiner starts from the checkpoint's refiner, or without one from its coarse
        network.

        Raises:
            CheckpointError: The file cannot be read.
            TrainingError: The network of this run is a fusion network, or the checkpoint has other categories or an
                architecture that ``widening_factor`` does not allow.
        """
        network = self.modules.network
        if isinstance(network, FusionNet):
            raise TrainingError(
                f"a network with fusion ({self.config.fusion.kind}) cannot start from a model: leave out --start, or "
                "use a recipe without fusion"
            )
        start = load_checkpoint(model)
        if self.config.refines and start.refiner is not None:
            start = start.refiner
        elif start.refiner is not None:
            self.logger.warn(f"the refiner of '{model}' is left out: it corrects the poses of other weights")
        start.refiner = None
        if widening_factor(start.architecture, network.architecture) is None:
            raise TrainingError(
                f"'{model}' has a different architecture from this run: expected {network.architecture}, "
                f"got {start.architecture}"
            )
        if self.data.categories != start.categories:
            raise TrainingError(
                f"'{model}' has different categories from this run: expected {self.data.categories}, "
                f"got {start.categories}"
            )
        widen(start, network, self.config.seed)
        self.modules.averaged_network.load_state_dict(network.state_dict())

    def resume(self) -> None:
        """Load the state in the folder; the resumed run equals an uninterrupted one.

        Raises:
            TrainingError: There is no state, or it is of another recipe.
        """
        self.load_state(load_run_state(self.run_dir, self.config, self.device))

    def load_state(self, state: TrainingState) -> None:
        """Load a state that ``load_run_state`` returned.

        Raises:
            TrainingError: The state does not fit the modules or the optimizer, or the model that a refiner corrects is
                no longer the same.
        """
        coarse = self.modules.coarse
        if coarse is not None and state["coarse"] not in ("", coarse.weights):
            raise TrainingError(
                f"the weights of '{self.config.refines}', which 'refines' names, are not those with which the run in "
                f"'{self.run_dir.path}' began: put them back, or train into another folder"
            )
        try:
            self.modules.network.load_state_dict(state["network"])
            self.modules.average.load_state_dict(state["average"])
            load_trained_state(self.modules.extras, state["extras"])
            self.optimizer.load_state_dict(state["optimizer"])
            require_fitting_state(self.optimizer)
            set_random_state(state["random"], self.device)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise self.run_dir.state_error(f"it does not fit this run: {quoted(reason)}") from error
        self.progress = Progress(state["step"], state["best"])


def load_run_state(folder: RunDir, config: TrainConfig, device: str) -> TrainingState:
    """Load the state of a run of the same recipe, with its tensors on a device.

    Raises:
        TrainingError: There is no state, it cannot be read, or it is of another recipe.
    """
    state = folder.load_state(device)
    try:
        written = TrainConfig.from_mapping(state["config"])
    except (ConfigError, RecursionError) as error:
        raise folder.state_error(f"its recipe cannot be read: {error}") from error
    if not written.is_same_run(config):
        raise TrainingError(
            f"the state in '{folder.path}' was written with another recipe ({_first_difference(written, config)}): "
            "resume with that recipe, or train into another folder"
        )
    return state


def _first_difference(written: TrainConfig, config: TrainConfig) -> str:
    """Return the first setting in which two recipes differ, with both values."""
    pairs = zip(config_fields(written), config_fields(config), strict=True)
    then, now = next((a, b) for a, b in pairs if a.value != b.value and a.path != "tensorboard")
    return f"{then.path} was {then.value!r:.80}, is {now.value!r:.80}"
