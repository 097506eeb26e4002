"""Accuracy of the engines of a CPU, which decides those that ``auto`` may choose.

The figures are average precision, per cent, means over categories, of the 1960 clouds of the model card. These commands
give them::

    generate --test-set tables --out tables.npz
    evaluate --model clipose_small --data tables.npz --engine cpu_int8
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BASELINE = "cpu"
"""Engine that is always allowed: float32."""

MAX_AP_LOSS = 0.3
"""Largest loss of average precision against the baseline, points, with which ``auto`` may choose an engine."""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision within 5 degrees and 5 cm, and within 10 degrees and 5 cm, per cent."""

    deg5_cm5: float
    deg10_cm5: float


@dataclass(frozen=True)
class AccuracyRecord:
    """Accuracy of the engines with one set of weights.

    Attributes:
        model: Name of the model.
        weights: ``weights_hash`` of the network. Figures of other weights say nothing about these.
        baseline: Average precision of the engine ``BASELINE``.
        reduced: Average precision of the engines with reduced precision, by name.
    """

    model: str
    weights: str
    baseline: AveragePrecision
    reduced: Mapping[str, AveragePrecision]


RECORDS = (
    AccuracyRecord(
        model="clipose_small",
        weights="11170c258224c133b7c6ba4e41e4fa534769793588f8147d487f7beec5a32c52",
        baseline=AveragePrecision(72.9, 82.7),
        reduced={"cpu_bf16": AveragePrecision(73.0, 82.6), "cpu_int8": AveragePrecision(73.0, 82.7)},
    ),
)
"""All records; weights without one are computed in float32."""


def allowed_engines(weights: str) -> tuple[str, ...]:
    """Return the engines that ``auto`` may choose for weights of a hash, the baseline first."""
    record = next((record for record in RECORDS if record.weights == weights), None)
    if record is None:
        return (BASELINE,)
    return (BASELINE, *(name for name, ap in record.reduced.items() if ap_loss(record.baseline, ap) <= MAX_AP_LOSS))


def ap_loss(before: AveragePrecision, after: AveragePrecision) -> float:
    """Return the larger loss of the two thresholds, points, to one decimal as the figures are."""
    return round(max(before.deg5_cm5 - after.deg5_cm5, before.deg10_cm5 - after.deg10_cm5), 1)
