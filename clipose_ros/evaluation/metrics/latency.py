"""Latency of pose estimation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Latency:
    """Wall times of repeated predictions.

    Attributes:
        description: Timed work and its device, or the reason why nothing was timed. Its key in records is ``of``.
        values_ms: Measured times, milliseconds.
    """

    description: str
    values_ms: Sequence[float] = ()

    @property
    def sentence(self) -> str:
        """Return median and 95th percentile as a sentence."""
        if not len(self.values_ms):
            return f"Latency: {self.description}."
        p50, p95 = np.percentile(self.values_ms, [50, 95])
        return f"Latency: {p50:.1f} ms (median), {p95:.1f} ms (95th percentile), {self.description}."

    def as_record(self) -> dict[str, str | float | None]:
        """Return plain values for JSON."""
        if not len(self.values_ms):
            return {"of": self.description, "median_ms": None, "p95_ms": None}
        p50, p95 = np.percentile(self.values_ms, [50, 95])
        return {"of": self.description, "median_ms": float(p50), "p95_ms": float(p95)}
