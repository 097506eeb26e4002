"""What detecting on every n-th frame costs in accuracy: the poses of rendered sweeps against the truth.

    python clipose_ros/benchmark/detection_interval.py --seeds 0 3

A camera swings over a table at 30 Hz; label images stand in for a detector, so that nothing but the carrying along of
masks makes a difference. The tracks that each frame observed are compared with the objects of which more than 30 % is
visible.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import PoseNodeConfig, SegmentationConfig, TrackingConfig
from clipose_ros.data.synthetic.sequence import SequenceConfig, SequenceFrame, render_sequence
from clipose_ros.evaluation.runs.live_statistics import LiveError, PublishedObject, TrueObject, match_errors
from clipose_ros.inference.pipeline import PosePipeline
from clipose_ros.inference.predictor import Predictor
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.tracking.tracker import Tracker
from clipose_ros.types import RgbdFrame, TrackedObject

PERIOD_NS = 33_333_333
VISIBLE = 0.3


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="clipose_small", help="a checkpoint, or the name of a shipped model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 3], help="which scenes")
    parser.add_argument("--frames", type=int, default=60, help="length of a sweep")
    parser.add_argument("--every", type=int, nargs="+", default=[1, 2, 3, 4], help="values of segmentation.every_n")
    options = parser.parse_args()
    predictor = Predictor.load(options.model)
    print(
        "| scene | every_n | poses | position, cm: median, p90 | rotation, °: median, p90 | within 5° 2 cm | 10° 5 cm |"
    )
    print("|---|---|---|---|---|---|---|")
    for seed in options.seeds:
        sweep = list(render_sequence(SequenceConfig(seed=seed, frames=options.frames)))
        for every_n in options.every:
            print(f"| {seed} | {every_n} | {row(sweep_errors(sweep, predictor, every_n))} |", flush=True)


def sweep_errors(sweep: Sequence[SequenceFrame], predictor: Predictor, every_n: int) -> list[LiveError]:
    """Errors of all tracks in all frames of a sweep, in order."""
    config = PoseNodeConfig(segmentation=SegmentationConfig(backend="labels", every_n=every_n))
    categories = predictor.categories
    pipeline = PosePipeline(create_segmenter(config.segmentation, categories), predictor, config)
    tracker = Tracker(TrackingConfig(frame="world"), categories)
    errors = []
    for number, shown in enumerate(sweep):
        view, stamp_ns = shown.frame, number * PERIOD_NS
        frame = RgbdFrame(view.rgb, view.depth, view.intrinsics, stamp_ns, "camera", view.labels)
        tracks = tracker.update(pipeline.process(frame), stamp_ns, shown.T_world_camera)
        truths = [
            TrueObject(truth.category, truth.T_camera_object, truth.handle_visible)
            for truth in shown.truths
            if truth.visible_fraction > VISIBLE
        ]
        found = match_errors([seen(track) for track in tracks if track.seen], truths, NOCS_CATEGORIES)
        errors += [error for error in found if error is not None]
    return errors


def seen(track: TrackedObject) -> PublishedObject:
    """A track as a listener sees it."""
    return PublishedObject(track.name, track.category, track.T_frame_object, track.size, track.score)


def row(errors: Sequence[LiveError]) -> str:
    """One line of the table."""
    cm, deg = np.array([[error.translation_cm, error.rotation_deg] for error in errors]).T
    within = [100.0 * np.mean((deg < angle) & (cm < distance)) for angle, distance in ((5.0, 2.0), (10.0, 5.0))]
    spread = [f"{np.median(values):.2f}, {np.percentile(values, 90):.2f}" for values in (cm, deg)]
    return f"{len(errors)} | {spread[0]} | {spread[1]} | {within[0]:.1f} % | {within[1]:.1f} %"


if __name__ == "__main__":
    main()
