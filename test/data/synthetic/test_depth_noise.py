"""Depth sensor model: each error with all others turned off."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipose_ros.data.synthetic.depth_noise import DepthNoiseConfig, add_depth_noise, random_depth_noise

SHAPE = (160, 200)
ONE = np.ones(SHAPE, np.float32)
PERFECT = DepthNoiseConfig(
    noise_mm=0.0,
    noise_mm_per_m2=0.0,
    correlation_px=0.0,
    baseline_m=0.0,
    match_px=0.0,
    disparity_step_px=0.0,
    quantum_mm=0.0,
    lateral_px=0.0,
    flying=0.0,
    edge_loss=0.0,
    grazing_deg=90.0,
    dark_loss=0.0,
    holes=0.0,
)


def measure(depth, config, cos_incidence=ONE, albedo=ONE, seed=0):
    return add_depth_noise(depth, cos_incidence, albedo, 580.0, np.random.default_rng(seed), config)


def step(left=1.0, right=2.0):
    depth = np.full(SHAPE, right, np.float32)
    depth[:, :100] = left
    return depth


def test_perfect_sensor_does_not_change_depth():
    np.testing.assert_array_equal(measure(step(), PERFECT), step())


@pytest.mark.parametrize("correlation_px", [0.0, 0.8, 2.0])
@pytest.mark.parametrize("z", [0.5, 1.0, 2.0])
def test_noise_has_the_configured_deviation(z, correlation_px):
    config = replace(PERFECT, noise_mm=0.5, noise_mm_per_m2=2.0, correlation_px=correlation_px)
    error = np.concatenate([(measure(z * ONE, config, seed=seed) - z).ravel() for seed in range(6)])
    assert error.std() == pytest.approx(1e-3 * (0.5 + 2.0 * z * z), rel=0.12)
    assert abs(error.mean()) < 0.2 * error.std()


def test_correlated_noise_is_similar_in_adjacent_pixels():
    def likeness(radius):
        error = measure(ONE, replace(PERFECT, noise_mm=1.0, correlation_px=radius)) - 1.0
        return np.corrcoef(error[:, 1:].ravel(), error[:, :-1].ravel())[0, 1]

    assert abs(likeness(0.0)) < 0.05 and likeness(2.0) > 0.7


@given(quantum_mm=st.sampled_from([1.0, 2.0, 5.0]), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_depth_is_quantized(quantum_mm, seed):
    measured = measure(1.234 * ONE, replace(PERFECT, noise_mm=3.0, quantum_mm=quantum_mm), seed=seed)
    steps = measured.astype(np.float64) / (1e-3 * quantum_mm)
    np.testing.assert_allclose(steps, np.rint(steps), atol=2e-3)


def test_disparity_quantization_error_grows_with_squared_depth():
    config = replace(PERFECT, baseline_m=0.05, disparity_step_px=0.1)
    ramp = np.linspace(0.5, 3.0, SHAPE[1], dtype=np.float32) * ONE
    error = np.abs(measure(ramp, config) - ramp)
    valid = measure(ramp, config) > 0
    bound = 0.5 * 0.1 * ramp**2 / (580 * 0.05)
    assert (error[valid] <= 1.1 * bound[valid] + 1e-6).all()
    assert error[:, 150:].max() > 4 * error[:, :40].max()


def test_pixels_occluded_in_the_second_view_are_lost():
    """A strip of f b (1/near - 1/far) pixels is lost left of a near surface, and nothing right of it."""
    width = 580 * 0.05 * (1 / 1.0 - 1 / 2.0)
    lost = measure(step(2.0, 1.0), replace(PERFECT, baseline_m=0.05)) == 0
    assert abs(lost.sum(axis=1) - width).max() <= 1.5
    assert lost[:, 100 - int(width) + 1 : 100].all() and not lost[:, 100:].any()
    assert not (measure(step(1.0, 2.0), replace(PERFECT, baseline_m=0.05)) == 0).any()


def test_block_matching_grows_near_surfaces_and_smooths_small_steps():
    config = replace(PERFECT, baseline_m=0.05, match_px=4.0)
    far_side = measure(step(2.0, 1.0), config)[:, 97:100]
    assert ((far_side < 1.01) & (far_side > 0)).any(), "the near surface grows"
    small = measure(step(1.0, 1.01), config)
    rise = np.abs(np.diff(small[80]))
    assert rise.max() < 0.004, "a step of a third of a pixel of disparity is smoothed"
    assert abs(small[80, 20] - 1.0) < 1e-4 and abs(small[80, 180] - 1.01) < 1e-4
    ramp = np.linspace(0.8, 1.0, SHAPE[1], dtype=np.float32) * ONE
    measured = measure(ramp, config)[20:-20, 20:-20]
    np.testing.assert_allclose(measured[measured > 0], ramp[20:-20, 20:-20][measured > 0], atol=0.004)


def test_block_matching_needs_a_baseline():
    np.testing.assert_array_equal(measure(step(), replace(PERFECT, match_px=4.0)), step())


def test_flying_pixels_lie_between_both_surfaces_at_edges():
    measured = measure(step(), replace(PERFECT, flying=1.0))
    between = (measured > 1.001) & (measured < 1.999)
    assert between[:, 100].mean() > 0.9
    assert not between[:, :99].any() and not between[:, 102:].any()
    assert not measure(step(), replace(PERFECT, flying=1.0))[between].min() < 1.0


def test_edge_pixels_are_lost_with_the_configured_probability():
    lost = measure(step(), replace(PERFECT, edge_loss=0.4)) == 0
    assert lost[:, 99:101].mean() == pytest.approx(0.4, abs=0.1)
    assert not lost[:, :98].any() and not lost[:, 103:].any()


def test_grazing_surfaces_are_lost():
    angle = np.radians(np.linspace(0, 89, SHAPE[1], dtype=np.float32)) * ONE
    lost = measure(ONE, replace(PERFECT, grazing_deg=75.0), cos_incidence=np.cos(angle)) == 0
    share = lost.mean(axis=0)
    assert share[: int(60 / 89 * 200)].max() < 0.02
    assert share[-8:].min() > 0.9
    assert share[int(74 / 89 * 200) : int(76 / 89 * 200)].mean() == pytest.approx(0.5, abs=0.15)


def test_dark_surfaces_are_lost():
    config = replace(PERFECT, dark_loss=0.5)
    assert (measure(ONE, config, albedo=0.0 * ONE) == 0).mean() == pytest.approx(0.5, abs=0.08)
    assert not (measure(ONE, config, albedo=0.3 * ONE) == 0).any()


def test_holes_cover_the_configured_share():
    share = np.mean([(measure(ONE, replace(PERFECT, holes=0.05), seed=s) == 0).mean() for s in range(8)])
    assert share == pytest.approx(0.05, abs=0.025)


def test_lateral_jitter_frays_edges_only():
    measured = measure(step(), replace(PERFECT, lateral_px=1.0))
    assert set(np.unique(measured)) == {1.0, 2.0}
    assert 0.02 < (measured != step())[:, 96:104].mean() < 0.5
    np.testing.assert_array_equal(measured[:, :90], step()[:, :90])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_random_sensor_gives_valid_depth(seed):
    rng = np.random.default_rng(seed)
    depth = step(float(rng.uniform(0.2, 1.0)), float(rng.uniform(1.0, 6.0)))
    depth[:10] = 0.0
    config = random_depth_noise(rng)
    measured = add_depth_noise(depth, ONE, 0.5 * ONE, 580.0, np.random.default_rng(seed), config)
    again = add_depth_noise(depth, ONE, 0.5 * ONE, 580.0, np.random.default_rng(seed), config)
    np.testing.assert_array_equal(measured, again)
    assert measured.dtype == np.float32 and measured.shape == SHAPE
    assert np.isfinite(measured).all() and (measured >= 0).all() and measured.max() <= config.max_m
    assert not measured[:8].any(), "invalid pixels stay invalid"
