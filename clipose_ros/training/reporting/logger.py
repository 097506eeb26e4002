"""Logging of a training run to its log file, the console and TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from clipose_ros.evaluation.metrics.pose_accuracy import Accuracy, as_records
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.reporting.console import PlainConsole, ProgressConsole
from clipose_ros.training.reporting.tensorboard import TensorBoardWriter
from clipose_ros.training.run_dir import RunDir, TrainingError
from clipose_ros.types import ByteArray

LOG_EVERY = 100
"""Steps over which terms are averaged for the log."""


class Console(Protocol):
    """Console output of a run."""

    def step(self, step: int, terms: Mapping[str, float]) -> None:
        """Report a step with its loss terms."""

    def progress(self, step: int, terms: Mapping[str, float], seconds_per_step: float) -> None:
        """Report the means of the loss terms since the last call."""

    def say(self, text: str) -> None:
        """Print a line."""

    def close(self) -> None:
        """Restore the terminal."""


class TrainingLogger:
    """Logger of one run.

    Args:
        folder: Folder of the log file and of TensorBoard's files.
        config: Recipe.
    """

    def __init__(self, folder: RunDir, config: TrainConfig) -> None:
        self._folder, self._config = folder, config
        self._terminal: Console = PlainConsole(config.steps)
        self._board: TensorBoardWriter | None = None
        self._recent: list[Mapping[str, float]] = []
        self._since = (0, time.monotonic())

    @property
    def wants_pictures(self) -> bool:
        """Return True if pictures are written, which needs TensorBoard."""
        return self._board is not None

    @contextmanager
    def running(self, step: int) -> Iterator[None]:
        """Log a run that continues from a step; a terminal shows a progress bar, TensorBoard is opened if enabled."""
        self._since, self._recent = (step, time.monotonic()), []
        if sys.stdout.isatty():
            self._terminal = ProgressConsole(self._config.steps, step)
        if self._config.tensorboard:
            self._try_on_board(self._open_board)
        try:
            yield
        finally:
            self._terminal.close()
            self._terminal = PlainConsole(self._config.steps)
            if self._board is not None:
                self._try_on_board(self._board.close)
            self._board = None

    def step(self, step: int, terms: Mapping[str, float], learning_rate: float) -> None:
        """Record a step; log the means at regular intervals."""
        self._recent.append(terms)
        self._terminal.step(step, terms)
        if step % LOG_EVERY:
            return
        recent, self._recent = self._recent, []
        first, started = self._since
        seconds = (time.monotonic() - started) / (step - first)
        means = {name: round(sum(values[name] for values in recent) / len(recent), 5) for name in recent[0]}
        self._record({"step": step, "seconds_per_step": round(seconds, 4), "losses": means})
        self._terminal.progress(step, means, seconds)
        figures = {f"loss/{name}": value for name, value in means.items()}
        self._scalars(step, figures | {"run/learning_rate": learning_rate, "run/seconds_per_step": seconds})

    def validated(self, step: int, table: Mapping[str, Accuracy], pictures: Mapping[str, ByteArray]) -> None:
        """Record a validation after the state was saved; pictures are ``(H, W, 3)`` RGB by name."""
        self._record({"step": step, "validation": as_records(dict(table))})
        if table:
            within = "  ".join(f"{name} {value:.1f}" for name, value in table["mean"].within.items())
            self._terminal.say(f"step {step}: {within}")
        self._scalars(
            step,
            {f"{name}/{key}": value for key, row in table.items() for name, value in _figures(row).items()},
        )
        if self._board is not None:
            board = self._board
            self._try_on_board(lambda: board.pictures(step, pictures))

    def stopped(self, step: int) -> None:
        """Record that the run was interrupted and saved."""
        self._terminal.say(f"stopped at step {step} of {self._config.steps}: continue with --resume")

    def warn(self, text: str) -> None:
        """Print a warning about a failure after which the run continues."""
        print(f"train: {text}; training continues", file=sys.stderr, flush=True)

    def _record(self, values: dict[str, object]) -> None:
        """Append a line to the log file; if that fails, warn."""
        try:
            self._folder.record(values)
        except TrainingError as error:
            self.warn(str(error))

    def _open_board(self) -> None:
        """Open TensorBoard's files."""
        self._board = TensorBoardWriter(self._folder)

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add points to the curves, if TensorBoard is enabled."""
        if self._board is not None:
            board = self._board
            self._try_on_board(lambda: board.scalars(step, values))

    def _try_on_board(self, act: Callable[[], None]) -> None:
        """Write to TensorBoard; if that fails, warn and close it, since curves are less important than the run."""
        try:
            act()
        except (OSError, ImportError) as error:
            self._board = None
            self.warn(f"TensorBoard output ends here ({error}); set tensorboard=false to train without it")


def _figures(row: Accuracy) -> dict[str, float]:
    """Return the figures of one category by the name of their curve."""
    medians = {
        "median/rotation_deg": row.rotation_deg_median,
        "median/translation_cm": row.translation_cm_median,
        "median/size_percent": row.size_percent_median,
    }
    return medians | {f"within/{name}": value for name, value in row.within.items()}
