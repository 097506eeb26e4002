"""A run on the terminal: a bar for who looks on, plain lines for a file."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

REFRESH_PER_SECOND = 4


class PlainConsole:
    """One line now and then, as logs are read."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def step(self, step: int, terms: Mapping[str, float]) -> None:
        """Too often for lines."""

    def progress(self, step: int, terms: Mapping[str, float], seconds_per_step: float) -> None:
        """Show the mean of each term over the recent steps, and the time left."""
        left = (self._steps - step) * seconds_per_step / 60.0
        text = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
        print(f"step {step}/{self._steps}  {text}  {left:.0f} min left", flush=True)

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, flush=True)

    def close(self) -> None:
        """Nothing is held."""


class ProgressConsole:
    """A bar with the time left and the terms as they are now.

    Args:
        steps: Of the whole run.
        done: Steps taken before.
        console: Where; the standard output if None.
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
        """Move on."""
        text = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        self._bar.update(self._task, completed=step, terms=escape(text))

    def progress(self, step: int, terms: Mapping[str, float], seconds_per_step: float) -> None:
        """Do nothing; the bar shows the progress."""

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bar where it stands."""
        self._bar.stop()
