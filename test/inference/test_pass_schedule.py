"""Assignment of network passes to the objects of a frame."""

import numpy as np

from clipose_ros.config import NetworkConfig
from clipose_ros.inference.pass_schedule import ALL_PASSES, PassSchedule

CONFIG = NetworkConfig()
ALL = ALL_PASSES


def test_objects_without_doubt_get_one_pass_and_each_pass_in_turn():
    schedule = PassSchedule()
    frames = [schedule.assign(np.array([0.0, 1.0, 0.0]), CONFIG) for _ in range(4)]
    assert all(passes[1] == ALL and passes[0] == passes[2] for passes in frames)
    assert sorted(passes[0] for passes in frames) == [0, 1, 2, 3]


def test_budget_goes_to_the_most_doubtful_objects():
    schedule, config = PassSchedule(), NetworkConfig(budget_ms=70.0)
    schedule.record(np.array([0, 0]), config, network_ms=20.0)  # 10 ms a pass: 7 passes
    passes = schedule.assign(np.array([0.5, 1.0, 0.6, 0.0]), config)
    assert (passes == ALL).tolist() == [False, True, False, False]
    assert (schedule.assign(np.ones(7), config) == ALL).sum() == 0


def test_without_budget_all_doubtful_objects_get_all_passes():
    schedule = PassSchedule()
    schedule.record(np.array([ALL]), CONFIG, network_ms=1000.0)
    assert (schedule.assign(np.ones(50), CONFIG) == ALL).all()


def test_order_of_objects_does_not_matter():
    config, doubt = NetworkConfig(budget_ms=50.0), np.array([0.7, 0.0, 0.9, 0.8])
    results = []
    for order in (np.arange(4), np.array([2, 0, 3, 1])):
        schedule = PassSchedule()
        schedule.record(np.array([0]), config, network_ms=10.0)
        results.append((schedule.assign(doubt[order], config) == ALL)[np.argsort(order)])
    assert np.array_equal(*results)
