"""Latency of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Latency:
    """Wall times of repeated predictions.

    Attributes:
        of: Description of the timed work and its device, or the reason why nothing was timed.
        values_ms: Measured times, milliseconds.
    """

    of: str
    values_ms: Sequence[float] = ()

    @property
    def sentence(self) -> str:
        """Return median and 95th percentile as a sentence."""
        if not len(self.values_ms):
            return f"Latency: {self.of}."
        p50, p95 = np.percentile(self.values_ms, [50, 95])
        return f"Latency: {p50:.1f} ms (median), {p95:.1f} ms (95th percentile), {self.of}."

    def as_record(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        if not len(self.values_ms):
            return {"of": self.of, "median_ms": None, "p95_ms": None}
        p50, p95 = np.percentile(self.values_ms, [50, 95])
        return {"of": self.of, "median_ms": float(p50), "p95_ms": float(p95)}
