"""Pose accuracy by detection interval, the setting ``segmentation.every_n``, on rendered camera sweeps.

    python -m clipose_ros.benchmark.detection_interval --seeds 0 3

A camera sweeps over a table at 30 Hz. Label images replace the detector, so that only the propagation of masks between
detections makes a difference. The tracks observed in each frame are compared with the objects of which more than 30 %
is visible. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig, SegmentationConfig, TrackingConfig
from clipose_ros.data.synthetic.sequence import SequenceConfig, SequenceFrame, render_sequence
from clipose_ros.errors import CliposeError
from clipose_ros.evaluation.runs.live_statistics import LiveError, PublishedObject, TrueObject, match_errors
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.inference.predictor import Predictor
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import RgbdFrame, TrackedObject

FRAME_NS = 33_333_333
"""Interval between frames at 30 Hz, nanoseconds."""
MIN_VISIBLE = 0.3
"""Visible fraction above which an object is compared."""
TABLE_HEAD = (
    "| scene | every_n | poses | position, cm: median, p90 | rotation, °: median, p90 | within 5° 2 cm | 10° 5 cm |\n"
    "|---|---|---|---|---|---|---|"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="detection_interval", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="clipose_small", help="a checkpoint, or the name of a shipped model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 3], help="seeds of the scenes (0 3)")
    parser.add_argument("--frames", type=int, default=60, help="frames of a sweep (60)")
    parser.add_argument("--every", type=int, nargs="+", default=[1, 2, 3, 4], help="values of segmentation.every_n")
    options = parser.parse_args(arguments)
    try:
        predictor = Predictor.load(options.model)
        print(TABLE_HEAD)
        for seed in options.seeds:
            sweep = list(render_sequence(SequenceConfig(seed=seed, frames=options.frames)))
            for every_n in options.every:
                print(f"| {seed} | {every_n} | {format_row(sweep_errors(sweep, predictor, every_n))} |", flush=True)
    except CliposeError as error:
        print(f"detection_interval: {error}", file=sys.stderr)
        return 1
    return 0


def sweep_errors(sweep: Sequence[SequenceFrame], predictor: Predictor, every_n: int) -> list[LiveError]:
    """Run pipeline and tracker on a sweep and return the errors of all matched tracks.

    Args:
        sweep: Rendered frames in order.
        predictor: Estimates the poses.
        every_n: Detection interval, frames.
    """
    config = PoseNodeConfig(segmentation=SegmentationConfig(backend="labels", every_n=every_n))
    categories = predictor.categories
    pipeline = PosePipeline(create_segmenter(config.segmentation, categories), predictor, config)
    tracker = Tracker(TrackingConfig(frame="world"), categories)
    errors: list[LiveError] = []
    for number, sequence_frame in enumerate(sweep):
        view, stamp_ns = sequence_frame.frame, number * FRAME_NS
        frame = RgbdFrame(view.rgb, view.depth, view.intrinsics, stamp_ns, "camera", view.labels)
        tracks = tracker.update(pipeline.process(frame), stamp_ns, sequence_frame.T_world_camera)
        observed = [to_published(track) for track in tracks if track.seen]
        frame_errors = match_errors(observed, visible_truths(sequence_frame), NOCS_CATEGORIES)
        errors += [error for error in frame_errors if error is not None]
    return errors


def visible_truths(sequence_frame: SequenceFrame) -> list[TrueObject]:
    """Return the true objects of a frame of which more than ``MIN_VISIBLE`` is visible."""
    return [
        TrueObject(truth.category, truth.T_camera_object, truth.handle_visible)
        for truth in sequence_frame.truths
        if truth.visible_fraction > MIN_VISIBLE
    ]


def to_published(track: TrackedObject) -> PublishedObject:
    """Convert a track to the object that the pose node would publish."""
    return PublishedObject(track.name, track.category, track.T_frame_object, track.size, track.score)


def format_row(errors: Sequence[LiveError]) -> str:
    """Return the cells of one row: count, position and rotation errors, percentages within two thresholds."""
    if not errors:
        return "0 | - | - | - | -"
    cm, deg = np.array([[error.translation_cm, error.rotation_deg] for error in errors]).T
    within = [100.0 * np.mean((deg < angle) & (cm < distance)) for angle, distance in ((5.0, 2.0), (10.0, 5.0))]
    quantiles = [f"{np.median(values):.2f}, {np.percentile(values, 90):.2f}" for values in (cm, deg)]
    return f"{len(errors)} | {quantiles[0]} | {quantiles[1]} | {within[0]:.1f} % | {within[1]:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
