"""Passes of test-time augmentation that each object of a frame gets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipose_ros.types import BoolArray, IndexArray

ALL_PASSES = -1
"""Value of ``PassPlan.only_pass`` for an object that gets all passes."""


@dataclass(frozen=True, slots=True, eq=False)
class PassPlan:
    """Passes of the network over each of B objects.

    Attributes:
        only_pass: ``(B,)`` number of the only pass of each object, from 0, or ``ALL_PASSES``.
        coarse_only: ``(B,)`` bool, true for objects whose only pass the refiner leaves out.
    """

    only_pass: IndexArray
    coarse_only: BoolArray

    @classmethod
    def all_passes(cls, objects: int) -> PassPlan:
        """Return the plan that gives all passes to each of so many objects."""
        return cls(np.full(objects, ALL_PASSES), np.zeros(objects, dtype=np.bool_))

    def select(self, rows: IndexArray) -> PassPlan:
        """Return the plan of the objects ``rows``."""
        return PassPlan(self.only_pass[rows], self.coarse_only[rows])
