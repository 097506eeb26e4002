"""Statistics of the filters on measurements whose noise and bias are known."""

import numpy as np
import pytest

from clipose_ros.tracking.biased_filter import BIAS, RATE, VALUE, Estimate, NoiseVariance, ProcessNoise, ViewChange

RUNS = 400
WHITE, BIAS_VARIANCE = 0.3**2, 0.5**2
NOISE = NoiseVariance(np.full(RUNS, WHITE), np.full(RUNS, BIAS_VARIANCE))
REST = ProcessNoise(rate_std=0.0, drift=0.0)


def measure(rng, frames, correlation, speed=0.0):
    """Yield measurements ``(RUNS,)`` of values that start at 0: white noise and a wandering bias."""
    bias = rng.normal(0.0, np.sqrt(BIAS_VARIANCE), RUNS)
    for k in range(frames):
        yield speed * k * 0.1 + bias + rng.normal(0.0, np.sqrt(WHITE), RUNS)
        bias = correlation * bias + rng.normal(0.0, np.sqrt((1 - correlation**2) * BIAS_VARIANCE), RUNS)


def run(measurements, correlation, process=REST):
    first, *others = measurements
    estimate = Estimate.from_measurement(first, NOISE)
    for z in others:
        estimate = estimate.predict(0.1, process).change_view(ViewChange(correlation, NOISE.bias))
        estimate = estimate.update(z, NOISE.white)
    return estimate


def assert_consistent(error, variance):
    """Check that the mean normalised squared error lies in its 95 % band for independent runs."""
    nees = np.square(error) / variance
    assert nees.mean() == pytest.approx(1.0, abs=1.96 * np.sqrt(2.0 / RUNS))


@pytest.mark.parametrize("correlation", [1.0, 0.98, 0.8, 0.0])
@pytest.mark.parametrize("frames", [1, 2, 10, 60])
def test_errors_match_the_predicted_variance(correlation, frames):
    estimate = run(measure(np.random.default_rng([frames, int(100 * correlation)]), frames, correlation), correlation)
    assert_consistent(estimate.value, estimate.variance)


def test_an_unchanged_view_leaves_the_variance_of_its_bias():
    estimate = run(measure(np.random.default_rng(1), 200, 1.0), 1.0)
    assert estimate.variance[0] == pytest.approx(BIAS_VARIANCE + WHITE / 200, rel=0.02)


def test_changing_views_average_the_bias_out():
    resting, moving = (run(measure(np.random.default_rng(2), 60, c), c) for c in (1.0, 0.8))
    assert moving.variance[0] < 0.2 * resting.variance[0]
    assert np.square(moving.value).mean() < 0.2 * np.square(resting.value).mean()


def test_a_moving_value_is_followed_without_lag():
    process = ProcessNoise(rate_std=2.0, drift=0.0)
    estimate = run(measure(np.random.default_rng(3), 40, 0.0, speed=1.0), 0.0, process)
    assert estimate.value.mean() == pytest.approx(1.0 * 39 * 0.1, abs=0.3)
    assert 0.5 < estimate.mean[:, RATE].mean() < 1.2, "the rate decays between measurements"


def test_waiting_in_two_steps_equals_waiting_in_one():
    estimate = Estimate.from_measurement(np.zeros(1), NoiseVariance(np.ones(1), np.ones(1)))
    once, twice = estimate.predict(0.2, ProcessNoise(0.0, 0.5)), estimate
    for _ in range(2):
        twice = twice.predict(0.1, ProcessNoise(0.0, 0.5))
    assert np.allclose(once.covariance, twice.covariance) and np.allclose(once.mean, twice.mean)


def test_rest_removes_the_rate_and_its_uncertainty():
    moving = Estimate.from_measurement(np.zeros(1), NoiseVariance(np.ones(1), np.ones(1))).with_rate(np.ones(1), 4.0)
    resting = moving.at_rest()
    assert resting.mean[0, RATE] == 0.0 and not resting.covariance[0, RATE].any()
    assert np.array_equal(resting.covariance[0, VALUE, [VALUE, BIAS]], moving.covariance[0, VALUE, [VALUE, BIAS]])
