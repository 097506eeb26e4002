"""Detection of a frame in parallel with the posing of the frame before, and the cores that each of them gets.

Where one thread runs both, the cores that its networks share idle while it converts, tracks and publishes. Two threads,
one for each half of the work, use all cores. Each half gets fewer cores, so that a frame takes longer, but frames
follow each other faster.
"""

from __future__ import annotations

import dataclasses

from clipose_ros.config import PoseNodeConfig, SegmentationConfig
from clipose_ros.cores import count_cores
from clipose_ros.plugins import BUILTIN_SEGMENTERS


def detects_in_parallel(config: SegmentationConfig, device: str) -> bool:
    """Return whether detection runs in parallel with posing.

    Args:
        config: ``parallel`` decides. ``auto`` stands for backends that run a network of their own, on a CPU with two
            cores or more: without a network, a backend takes a millisecond; a GPU leaves the cores to the rest.
        device: Device of the networks, ``cpu`` or ``cuda:N``.
    """
    if config.parallel != "auto":
        return config.parallel == "always"
    row = BUILTIN_SEGMENTERS.get(config.backend)
    return (row is None or row.takes_weights) and device == "cpu" and count_cores() > 1


def share_cores(config: PoseNodeConfig, device: str) -> PoseNodeConfig:
    """Return settings in which detector and pose network share the cores, if detection runs in parallel with posing.

    Args:
        config: Settings. ``segmentation.threads`` and ``network.threads`` are kept if they are not 0.
        device: Device of the networks, ``cpu`` or ``cuda:N``.
    """
    if device != "cpu" or not detects_in_parallel(config.segmentation, device):
        return config
    cores = count_cores()
    detection = config.segmentation.threads or max(cores // 2, 1)
    posing = config.network.threads or max(cores - detection, 1)
    return dataclasses.replace(
        config,
        segmentation=dataclasses.replace(config.segmentation, threads=detection),
        network=dataclasses.replace(config.network, threads=posing),
    )
