"""Choice of the passes of test-time augmentation that each object of a frame gets."""

from __future__ import annotations

import numpy as np

from clipose_ros.config import NetworkConfig, TtaConfig
from clipose_ros.inference.pass_plan import ALL_PASSES, PassPlan
from clipose_ros.types import BoolArray, FloatArray

_MEMORY = 0.9  # weight of the earlier estimate of a run's time


class PassSchedule:
    """Assigns passes to objects by their doubt, within a time budget.

    Objects with doubt get all passes. Settled ones, those without doubt, get one pass, another one in every frame:
    several frames see as many points as the passes of a new object. They can do without the refiner.

    Args:
        has_refiner: True if a pass is a run of the coarse network and one of its refiner.
    """

    def __init__(self, has_refiner: bool) -> None:
        self._pass_runs = 2 if has_refiner else 1
        self._frame = 0
        self._run_ms = 0.0

    def assign(self, doubt: FloatArray, config: NetworkConfig) -> PassPlan:
        """Return the passes of each object.

        Args:
            doubt: ``(B,)`` uncertainty of each object, 0 for settled ones.
            config: Passes, objects that are refined, and budget.
        """
        self._frame += 1
        most = config.tta.max_passes
        least = 1 if config.refine == "unsettled" else self._pass_runs
        several = doubt > 0.0
        refined = several | (least == self._pass_runs)
        if config.budget_ms > 0.0 and self._run_ms > 0.0:
            # Every object gets the shortest pass; the rest of the budget is for refinement, then for further passes.
            spare = config.budget_ms / self._run_ms - least * len(doubt)
            refined = _within_budget(refined, doubt, self._pass_runs - least, spare)
            spare -= (self._pass_runs - least) * np.count_nonzero(refined)
            several = _within_budget(several & refined, doubt, self._most_runs(config.tta) - self._pass_runs, spare)
        return PassPlan(np.where(several, ALL_PASSES, self._frame % most).astype(np.int64), ~refined)

    def record(self, plan: PassPlan, config: NetworkConfig, network_ms: float) -> None:
        """Learn the time of one run of a network from the time that a frame took.

        Runs that depend on disagreement are not counted, so that the time is rather too long than too short.
        """
        passes = np.where(plan.only_pass == ALL_PASSES, config.tta.first_passes, 1)
        runs = int((passes * np.where(plan.coarse_only, 1, self._pass_runs)).sum())
        if runs:
            measured = network_ms / runs
            self._run_ms = measured if self._run_ms == 0.0 else _MEMORY * self._run_ms + (1 - _MEMORY) * measured

    def _most_runs(self, tta: TtaConfig) -> int:
        """Return the largest number of network runs of an object that gets all passes; a correction is one."""
        if self._pass_runs == 1:
            return tta.max_passes
        correction = 1 if tta.max_passes > tta.first_passes else 0
        return self._pass_runs * tta.first_passes + correction


def _within_budget(wanted: BoolArray, doubt: FloatArray, cost: int, spare: float) -> BoolArray:
    """Return those of the ``wanted`` objects ``(B,)`` that fit if each costs ``cost`` runs, most doubtful first."""
    if cost == 0:
        return wanted
    fits = np.zeros(len(doubt), dtype=np.bool_)
    fits[np.argsort(-doubt, kind="stable")[: max(int(spare // cost), 0)]] = True
    return wanted & fits
