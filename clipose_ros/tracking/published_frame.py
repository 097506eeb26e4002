"""Selection of the tracks of a frame that are published, in the frame that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipose_ros.config import PublishConfig
from clipose_ros.tracking.reference_frames import is_finite, transform_tracks
from clipose_ros.types import ByteArray, FloatArray, FrameResult, RgbdFrame, TrackedObject
from clipose_ros.visualization.draw import draw_tracks
from clipose_ros.visualization.labels import LabelOffsets


@dataclass(frozen=True, slots=True, eq=False)
class PublishedFrame:
    """A processed frame with its results, ready to be published.

    Attributes:
        frame: The processed frame.
        result: Poses and rejections of the pipeline.
        tracks_camera: Tracks to publish, in the camera frame.
        tracks: The same tracks in ``frame_id``.
        frame_id: Reference frame of all messages but the debug image.
        T_frame_camera: ``(4, 4)``, camera into ``frame_id``.
        left_out: Names of tracks with a value that is not finite.
    """

    frame: RgbdFrame
    result: FrameResult
    tracks_camera: Sequence[TrackedObject]
    tracks: Sequence[TrackedObject]
    frame_id: str
    T_frame_camera: FloatArray
    left_out: tuple[str, ...] = ()


def select_tracks(
    frame: RgbdFrame,
    result: FrameResult,
    tracks: Sequence[TrackedObject],
    T_frame_camera: FloatArray,
    config: PublishConfig,
) -> PublishedFrame:
    """Select the tracks that the settings publish, and express them in the target frame.

    Args:
        frame: The processed frame.
        result: Result of the pipeline for it.
        tracks: Tracks of the tracker, in the camera frame.
        T_frame_camera: ``(4, 4)``, camera into the target frame; the identity without one.
        config: Settings.
    """
    shown = [track for track in tracks if track.seen or config.coasting]
    moved = transform_tracks(shown, T_frame_camera) if config.target_frame else shown
    finite = [is_finite(here) and is_finite(there) for here, there in zip(shown, moved, strict=True)]
    return PublishedFrame(
        frame,
        result,
        [track for track, kept in zip(shown, finite, strict=True) if kept],
        [track for track, kept in zip(moved, finite, strict=True) if kept],
        config.target_frame or frame.frame_id,
        T_frame_camera,
        tuple(track.name for track, kept in zip(shown, finite, strict=True) if not kept),
    )


def draw_published(published: PublishedFrame, label_offsets: LabelOffsets | None = None) -> ByteArray:
    """Draw masks, boxes, axes, labels and rejected instances onto a copy of the colour image; see ``draw_tracks``."""
    frame, result = published.frame, published.result
    masks = [cloud.instance for cloud in result.clouds]
    return draw_tracks(frame.rgb, published.tracks_camera, frame.intrinsics, masks, result.rejections, label_offsets)
