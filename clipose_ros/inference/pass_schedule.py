"""Choice of the objects of a frame that get all passes of test-time augmentation, and of those that get one."""

from __future__ import annotations

import numpy as np

from clipose_ros.config import NetworkConfig
from clipose_ros.types import FloatArray, IndexArray

ALL_PASSES = -1
"""Value of a schedule for an object that gets all passes."""
_MEMORY = 0.9  # weight of the earlier estimate of a pass's time


class PassSchedule:
    """Assigns passes to objects by their doubt, within a time budget.

    Objects without doubt get one pass. That pass is another one in every frame, so that over several frames they get
    the passes that a new object gets at once. The others get all passes, the most doubtful first, until the budget is
    spent.
    """

    def __init__(self) -> None:
        self._frame = 0
        self._pass_ms = 0.0

    def assign(self, doubt: FloatArray, config: NetworkConfig) -> IndexArray:
        """Return ``(B,)``: the number of the only pass of each object, or ``ALL_PASSES``.

        Args:
            doubt: ``(B,)`` uncertainty of each object, 0 for objects that need one pass.
            config: Passes and budget.
        """
        self._frame += 1
        most = config.tta.max_passes
        passes = np.where(doubt > 0.0, ALL_PASSES, self._frame % most).astype(np.int64)
        if config.budget_ms > 0.0 and self._pass_ms > 0.0:
            # Every object gets one pass; the rest of the budget is for further passes of the most doubtful ones.
            spare = config.budget_ms / self._pass_ms - len(doubt)
            allowed = max(int(spare // max(most - 1, 1)), 0)
            order = np.argsort(-doubt, kind="stable")
            passes[order[allowed:]] = self._frame % most
        return passes

    def record(self, passes: IndexArray, config: NetworkConfig, network_ms: float) -> None:
        """Learn the time of one pass from the time that the network took for a frame.

        Passes that run only on disagreement are not counted, so that the time is rather too long than too short.
        """
        first = min(config.tta.max_passes, 2) if config.tta.disagreement_deg > 0.0 else config.tta.max_passes
        count = int(np.where(passes == ALL_PASSES, first, 1).sum())
        if count:
            measured = network_ms / count
            self._pass_ms = measured if self._pass_ms == 0.0 else _MEMORY * self._pass_ms + (1 - _MEMORY) * measured
