"""Training steps are timed in processes of their own, the fused beside the plain."""

import pytest

from clipose_ros.benchmark import training
from clipose_ros.benchmark.training import Setting, StepError, time_training


def test_the_ratio_is_to_the_plain_step_of_the_same_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    took = {"plain": [4.0, 6.0], "fused": [0.5], "fused_bf16": [0.4]}
    monkeypatch.setattr(training, "_in_own_process", lambda s: (took[s.kind], 3 * 2**29))
    rows = list(time_training())
    assert [(row["batch"], row["kind"], row["ratio"]) for row in rows] == [
        (8, "plain", 1.0),
        (8, "fused", 10.0),
        (8, "fused_bf16", 12.5),
        (24, "fused", None),
        (24, "fused_bf16", None),
    ]
    assert all(row["peak_gib"] == 1.5 for row in rows) and rows[0]["median_ms"] == 5000.0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["fused", "fused_bf16"])
def test_a_step_is_timed_in_a_process_of_its_own(kind: str) -> None:
    (row,) = time_training((Setting(2, kind, 1, "clipose_small"),))
    assert row["count"] == 1 and row["median_ms"] > 0.0 and row["peak_gib"] > 0.1


def test_a_process_that_fails_is_told() -> None:
    with pytest.raises(StepError, match="process that trains"):
        list(time_training((Setting(2, "fused", 1, "abacus"),)))
