"""Assignment of network passes to the objects of a frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.config import NetworkConfig, TtaConfig
from clipose_ros.inference.pass_plan import ALL_PASSES, PassPlan
from clipose_ros.inference.pass_schedule import PassSchedule
from clipose_ros.types import FloatArray, IndexArray

CONFIG = NetworkConfig()
ALL = ALL_PASSES

DOUBTS = st.lists(st.just(0.0) | st.floats(0.5, 0.9) | st.floats(0.999, 1.0), max_size=12).map(np.array)
"""Doubts of the objects of a frame: settled, known and new ones."""


def timed_schedule(has_refiner: bool, run_ms: float, config: NetworkConfig) -> PassSchedule:
    """Return a schedule that knows the time of a run of the network."""
    schedule = PassSchedule(has_refiner)
    plan = PassPlan(np.zeros(2, np.int64), np.zeros(2, dtype=bool))
    schedule.record(plan, config, network_ms=run_ms * (4 if has_refiner else 2))
    return schedule


def runs_of(plan: PassPlan, has_refiner: bool, most: int) -> IndexArray:
    """Return the largest number of network runs ``(B,)`` of each object."""
    if not has_refiner:
        return np.where(plan.only_pass == ALL, most, 1)
    most_runs = 2 * min(most, 2) + (most > 2)  # two passes of two networks, and a further run of the refiner
    return np.where(plan.only_pass == ALL, most_runs, np.where(plan.coarse_only, 1, 2))


def test_settled_objects_get_each_pass_in_turn():
    schedule = PassSchedule(has_refiner=True)
    plans = [schedule.assign(np.array([0.0, 1.0, 0.7]), CONFIG) for _ in range(4)]
    assert all((plan.only_pass[1:] == ALL).all() for plan in plans)
    assert sorted(plan.only_pass[0] for plan in plans) == [0, 1, 2, 3]


@pytest.mark.parametrize(("refine", "coarse_only"), [("unsettled", True), ("all", False)])
def test_the_refiner_leaves_out_settled_objects_unless_all_are_refined(refine, coarse_only):
    plan = PassSchedule(has_refiner=True).assign(np.array([0.0, 0.5, 1.0]), NetworkConfig(refine=refine))
    assert plan.only_pass.tolist() == [1, ALL, ALL]
    assert plan.coarse_only.tolist() == [coarse_only, False, False]


def old_rule(doubt: FloatArray, config: NetworkConfig, frame: int, pass_ms: float) -> IndexArray:
    """Return the passes that objects got before there were refiners."""
    most = config.tta.max_passes
    passes = np.where(doubt > 0.0, ALL, frame % most)
    if config.budget_ms > 0.0:
        spare = config.budget_ms / pass_ms - len(doubt)
        passes[np.argsort(-doubt, kind="stable")[max(int(spare // (most - 1)), 0) :]] = frame % most
    return passes


@given(DOUBTS, st.just(0.0) | st.floats(1.0, 200.0), st.integers(2, 8), st.sampled_from(["all", "unsettled", "none"]))
def test_without_a_refiner_the_rule_is_the_old_one(doubt, budget_ms, most, refine):
    config = NetworkConfig(tta=TtaConfig(most), refine=refine, budget_ms=budget_ms)
    schedule = timed_schedule(False, 2.0, config)
    for frame in (1, 2, 3):
        plan = schedule.assign(doubt, config)
        assert plan.only_pass.tolist() == old_rule(doubt, config, frame, 2.0).tolist()
        assert not plan.coarse_only.any()


@given(DOUBTS, st.floats(1.0, 200.0), st.integers(1, 8), st.booleans(), st.sampled_from(["all", "unsettled"]))
def test_the_runs_of_a_frame_stay_within_the_budget(doubt, budget_ms, most, has_refiner, refine):
    config = NetworkConfig(tta=TtaConfig(most), refine=refine, budget_ms=budget_ms)
    runs = runs_of(timed_schedule(has_refiner, 2.0, config).assign(doubt, config), has_refiner, most)
    least = 2 if has_refiner and refine == "all" else 1
    assert (runs >= least).all()
    assert runs.sum() <= budget_ms / 2.0 or (runs == least).all()


@given(DOUBTS, st.floats(1.0, 200.0), st.booleans(), st.sampled_from(["all", "unsettled"]))
def test_no_object_gets_more_runs_than_a_more_doubtful_one(doubt, budget_ms, has_refiner, refine):
    config = NetworkConfig(refine=refine, budget_ms=budget_ms)
    runs = runs_of(timed_schedule(has_refiner, 2.0, config).assign(doubt, config), has_refiner, 4)
    assert (np.diff(runs[np.lexsort((runs, doubt))]) >= 0).all()


@given(DOUBTS, st.booleans(), st.sampled_from(["all", "unsettled"]))
def test_an_ample_budget_changes_nothing(doubt, has_refiner, refine):
    tight, ample = NetworkConfig(refine=refine), NetworkConfig(refine=refine, budget_ms=10000.0)
    one, other = (timed_schedule(has_refiner, 2.0, ample).assign(doubt, config) for config in (tight, ample))
    assert one.only_pass.tolist() == other.only_pass.tolist() and one.coarse_only.tolist() == other.coarse_only.tolist()


@pytest.mark.parametrize(
    ("budget_ms", "only_pass", "coarse_only"),
    [
        (60.0, [1, 1, 1, 1], [False, False, True, True]),  # 4 shortest passes, then the refiner twice
        (90.0, [1, 1, 1, 1], [False, False, False, True]),  # one run too few for all passes of an object
        (100.0, [1, ALL, 1, 1], [False, False, False, True]),
        (130.0, [ALL, ALL, 1, 1], [False, False, False, True]),
        (160.0, [ALL, ALL, ALL, 1], [False, False, False, True]),
    ],
)
def test_a_budget_buys_refinement_before_further_passes(budget_ms, only_pass, coarse_only):
    config = NetworkConfig(budget_ms=budget_ms)
    plan = timed_schedule(True, 10.0, config).assign(np.array([0.9990, 0.9995, 0.6, 0.0]), config)
    assert plan.only_pass.tolist() == only_pass and plan.coarse_only.tolist() == coarse_only


@pytest.mark.parametrize(
    ("only_pass", "coarse_only", "runs"),
    [([0, 0], [True, True], 2), ([0, 0], [True, False], 3), ([ALL, 0], [False] * 2, 6)],
)
def test_a_refined_pass_counts_as_two_runs(only_pass, coarse_only, runs):
    """All passes count as two: the others run only on disagreement."""
    config, schedule = NetworkConfig(budget_ms=50.0), PassSchedule(has_refiner=True)
    schedule.record(PassPlan(np.array(only_pass), np.array(coarse_only)), config, network_ms=10.0 * runs)
    assert (~schedule.assign(np.full(3, 0.7), config).coarse_only).sum() == 2  # 5 runs


@pytest.mark.parametrize(
    ("tta", "runs"),
    [(TtaConfig(1), 2), (TtaConfig(2), 4), (TtaConfig(4), 5), (TtaConfig(8), 5), (TtaConfig(4, 0.0), 8)],
)
def test_with_a_refiner_passes_after_the_second_are_one_run_unless_all_run_always(tta, runs):
    config = NetworkConfig(tta=tta, budget_ms=2.0 * runs)
    schedule = timed_schedule(True, 2.0, config)
    assert schedule.assign(np.ones(1), config).only_pass[0] == ALL
    short = NetworkConfig(tta=tta, budget_ms=2.0 * runs - 1.0)
    assert tta.max_passes == 1 or schedule.assign(np.ones(1), short).only_pass[0] != ALL


def test_without_budget_all_doubtful_objects_get_all_passes():
    schedule = PassSchedule(has_refiner=True)
    schedule.record(PassPlan.all_passes(1), CONFIG, network_ms=1000.0)
    assert (schedule.assign(np.ones(50), CONFIG).only_pass == ALL).all()


@pytest.mark.parametrize("has_refiner", [False, True])
def test_order_of_objects_does_not_matter(has_refiner):
    config, doubt = NetworkConfig(budget_ms=150.0), np.array([0.9991, 0.0, 0.9993, 0.9992])
    results = []
    for order in (np.arange(4), np.array([2, 0, 3, 1])):
        plan = timed_schedule(has_refiner, 10.0, config).assign(doubt[order], config)
        results.append((plan.only_pass == ALL)[np.argsort(order)])
    assert np.array_equal(*results) and 0 < results[0].sum() < 4
