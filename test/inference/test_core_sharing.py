"""Detection runs in parallel with posing where both have a network on a CPU with cores for both."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.config import NetworkConfig, PoseNodeConfig, SegmentationConfig
from clipose_ros.inference.core_sharing import detects_in_parallel, share_cores


def use_cores(monkeypatch, number):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(number))


@pytest.mark.parametrize(
    ("backend", "device", "cores", "expected"),
    [
        ("yolo", "cpu", 2, True),
        ("mask_rcnn", "cpu", 8, True),
        ("yolo", "cpu", 1, False),
        ("yolo", "cuda:0", 8, False),
        ("labels", "cpu", 8, False),
        ("detections", "cpu", 8, False),
    ],
)
def test_auto_is_for_detectors_on_a_cpu_of_several_cores(monkeypatch, backend, device, cores, expected):
    use_cores(monkeypatch, cores)
    config = SegmentationConfig(backend=backend)
    assert detects_in_parallel(config, device) == expected
    assert detects_in_parallel(dataclasses.replace(config, parallel="always"), device)
    assert not detects_in_parallel(dataclasses.replace(config, parallel="never"), device)


@given(cores=st.integers(1, 64), detection=st.integers(0, 8), posing=st.integers(0, 8))
def test_cores_are_shared_and_numbers_of_the_user_kept(cores, detection, posing):
    config = PoseNodeConfig(
        segmentation=SegmentationConfig(threads=detection, parallel="always"), network=NetworkConfig(threads=posing)
    )
    with pytest.MonkeyPatch.context() as monkeypatch:
        use_cores(monkeypatch, cores)
        shared = share_cores(config, "cpu")
    numbers = shared.segmentation.threads, shared.network.threads
    assert min(numbers) >= 1
    assert numbers[0] == (detection or max(cores // 2, 1))
    assert posing in (0, numbers[1])
    if not (detection or posing) and cores > 1:
        assert sum(numbers) == cores
    assert dataclasses.replace(shared, segmentation=config.segmentation, network=config.network) == config


@pytest.mark.parametrize(("parallel", "device"), [("never", "cpu"), ("always", "cuda:0")])
def test_what_takes_turns_or_runs_on_a_gpu_keeps_its_settings(parallel, device):
    config = PoseNodeConfig(segmentation=SegmentationConfig(parallel=parallel))
    assert share_cores(config, device) is config
