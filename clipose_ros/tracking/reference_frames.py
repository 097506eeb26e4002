"""Transformation of tracks into another reference frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from clipose_ros.geometry.se3 import rotate_covariance
from clipose_ros.types import FloatArray, TrackedObject


def is_finite(track: TrackedObject) -> bool:
    """Return True if pose, covariance, score and size are finite and the size is positive."""
    values = (track.T_frame_object, track.covariance, track.size)
    return bool(all(np.isfinite(v).all() for v in values) and np.isfinite(track.score) and (track.size > 0.0).all())


def transform_tracks(tracks: Sequence[TrackedObject], T_target_camera: FloatArray) -> list[TrackedObject]:
    """Transform poses and covariances of tracks into a target frame.

    Args:
        tracks: Tracks in the camera frame.
        T_target_camera: ``(4, 4)``, camera into the target frame.

    Returns:
        New tracks; ``cloud.points_camera`` stays in the camera frame.
    """
    if not tracks:
        return []
    T_target_object = T_target_camera @ np.stack([track.T_frame_object for track in tracks])
    covariances = rotate_covariance(np.stack([track.covariance for track in tracks]), T_target_camera[:3, :3])
    return [
        dataclasses.replace(track, T_frame_object=T, covariance=covariance)
        for track, T, covariance in zip(tracks, T_target_object, covariances, strict=True)
    ]
