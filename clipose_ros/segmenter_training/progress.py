"""Progress of the training of a segmentation model: a line for each epoch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

_MAP50 = "metrics/mAP50(M)"
"""Name of the mask accuracy at IoU 0.5 in ultralytics' metrics."""


def format_time(seconds: float) -> str:
    """Return a time such as ``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"


def format_progress(done: int, total: int, seconds_per_epoch: float, map50: float | None) -> str:
    """Return the line of an epoch: number, mean time, time left, and mask accuracy on the validation images."""
    left = format_time(max(total - done, 0) * seconds_per_epoch)
    accuracy = "" if map50 is None else f"; mask mAP50 {map50:.3f} on the validation images"
    return f"epoch {done} of {total}, {format_time(seconds_per_epoch)} each, about {left} left{accuracy}"


class TrainingProgress:
    """Reporter of the progress of an ultralytics trainer, by its callbacks.

    Args:
        log: Called with each line.
        clock: Returns seconds.
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._start_s, self._begun = 0.0, -1

    def on_train_start(self, trainer: Any) -> None:
        """Report the numbers of images and epochs."""
        self._start_s = self._clock()
        images = len(trainer.train_loader.dataset), len(trainer.test_loader.dataset)
        self._log(f"{images[0]} training and {images[1]} validation images, {trainer.epochs} epochs")

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Remember the number of the epoch."""
        self._begun = trainer.epoch

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Report an epoch."""
        # ultralytics also calls this after its final evaluation, with the number of an epoch that was not begun.
        if trainer.epoch != self._begun:
            return
        done = trainer.epoch + 1
        seconds = (self._clock() - self._start_s) / (done - trainer.start_epoch)
        self._log(format_progress(done, trainer.epochs, seconds, trainer.metrics.get(_MAP50)))
