"""Progress of a training: mean time of the epochs, and the time left."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.segmenter_training.progress import TrainingProgress, format_progress, format_time


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (89.0, "89 s"), (120.0, "2 min"), (9000.0, "2.5 h")])
def test_times_are_readable(seconds: float, text: str) -> None:
    assert format_time(seconds) == text


@given(done=st.integers(1, 50), seconds=st.floats(0.1, 80.0))
def test_the_time_left_is_that_of_the_remaining_epochs(done: int, seconds: float) -> None:
    text = format_progress(done, 50, seconds, None)
    assert text.startswith(f"epoch {done} of 50") and f"about {format_time((50 - done) * seconds)} left" in text


def test_each_epoch_is_reported_once_with_the_mean_since_the_start() -> None:
    now, lines = [100.0], []
    progress = TrainingProgress(lines.append, lambda: now[0])
    loaders = (SimpleNamespace(dataset=[0] * number) for number in (30, 8))
    trainer = SimpleNamespace(start_epoch=5, epoch=5, epochs=8, metrics={"metrics/mAP50(M)": 0.5})
    trainer.train_loader, trainer.test_loader = loaders
    progress.on_train_start(trainer)
    for trainer.epoch, seconds in ((5, 20.0), (6, 40.0), (7, 30.0)):
        progress.on_train_epoch_start(trainer)
        now[0] += seconds
        progress.on_fit_epoch_end(trainer)
    trainer.epoch = 8  # the final evaluation of ultralytics
    progress.on_fit_epoch_end(trainer)
    assert lines == [
        "30 training and 8 validation images, 8 epochs",
        "epoch 6 of 8, 20 s each, about 40 s left; mask mAP50 0.500 on the validation images",
        "epoch 7 of 8, 30 s each, about 30 s left; mask mAP50 0.500 on the validation images",
        "epoch 8 of 8, 30 s each, about 0 s left; mask mAP50 0.500 on the validation images",
    ]
