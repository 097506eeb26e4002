"""Console output of a training run: a progress bar for terminals, plain lines for files."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

REFRESH_PER_SECOND = 4
"""Redraws of the progress bar per second."""


class PlainConsole:
    """Console that prints one line at regular intervals, for log files."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def step(self, step: int, terms: Mapping[str, float]) -> None:
        """Do nothing; a line per step would be too many."""

    def progress(self, step: int, terms: Mapping[str, float], seconds_per_step: float) -> None:
        """Print the mean of each term over the recent steps, and the remaining time."""
        left = (self._steps - step) * seconds_per_step / 60.0
        text = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        print(f"step {step}/{self._steps}  {text}  {left:.0f} min left", flush=True)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def close(self) -> None:
        """Do nothing; there is nothing to release."""


class ProgressConsole:
    """Console with a progress bar, the remaining time and the loss terms of the last step.

    Args:
        steps: Number of steps of the whole run.
        done: Number of steps already taken.
        console: Console of rich; None for the standard output.
    """

    def __init__(self, steps: int, done: int, console: Console | None = None) -> None:
        self._bar = Progress(
            BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
            TimeRemainingColumn(), TextColumn("{task.fields[terms]}"),
            console=console, refresh_per_second=REFRESH_PER_SECOND,
        )  # fmt: skip
        self._task = self._bar.add_task("train", total=steps, completed=done, terms="")
        self._bar.start()

    def step(self, step: int, terms: Mapping[str, float]) -> None:
        """Advance the bar and show the terms of the step."""
        text = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        self._bar.update(self._task, completed=step, terms=escape(text))

    def progress(self, step: int, terms: Mapping[str, float], seconds_per_step: float) -> None:
        """Do nothing; the bar shows the progress."""

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Stop redrawing; the bar stays on the terminal."""
        self._bar.stop()
