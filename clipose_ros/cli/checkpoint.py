"""``checkpoint``: average pose models, or calibrate the scores of one.

``average`` writes the mean of the weights of several runs from one start. ``calibrate`` fits the scores to clouds that
the model was not trained on, so that a score is the probability of a pose within 10 degrees and 5 centimetres.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clipose_ros.cli.evaluate_options import add_network_options
from clipose_ros.cli.node_settings import network_config
from clipose_ros.cli.progress import show_progress
from clipose_ros.errors import CliposeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)  # raises before the work if it cannot be created
        return _average(options) if options.verb == "average" else _calibrate(options)
    except (CliposeError, OSError) as error:
        print(f"checkpoint: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("checkpoint: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="checkpoint", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    average = verbs.add_parser("average", help="Write the mean of the weights of several models.")
    average.add_argument("models", nargs="+", metavar="MODEL", help="Average these .safetensors files.")
    calibrate = verbs.add_parser("calibrate", help="Write a model with calibrated scores.")
    calibrate.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="CLOUDS",
        help="Fit the scores to these .npz files or folders of shards; the model must not have seen them.",
    )
    add_network_options(calibrate)
    for verb in (average, calibrate):
        verb.add_argument("--out", type=Path, required=True, metavar="FILE", help="Write this .safetensors file.")
    return parser


def _average(options: argparse.Namespace) -> int:
    """Write the mean of the models."""
    from clipose_ros.model.averaging import average_checkpoints  # imports torch, which --help does not need
    from clipose_ros.model.checkpoint import save_checkpoint, weights_hash
    from clipose_ros.resources import model_path

    network = average_checkpoints([model_path(name) for name in options.models])
    save_checkpoint(options.out, network, {"mean_of": [Path(name).name for name in options.models]})
    print(f"{options.out}: mean of {len(options.models)} models, weights {weights_hash(network)[:12]}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    """Write the model with scores that fit the clouds."""
    from clipose_ros.data.shards.reader import load_clouds
    from clipose_ros.evaluation.metrics.reliability import measure_reliability
    from clipose_ros.evaluation.report.breakdown import find_correct
    from clipose_ros.evaluation.runs.score_calibration import fit_calibration, require_enough_clouds
    from clipose_ros.evaluation.runs.stored_clouds import pose_clouds
    from clipose_ros.inference.predictor import Predictor, calibrate_scores
    from clipose_ros.model.checkpoint import load_checkpoint, read_notes, save_checkpoint
    from clipose_ros.resources import model_path

    config = network_config(options)
    path = model_path(config.model)
    network, samples = load_checkpoint(path), load_clouds(*options.data)
    require_enough_clouds(samples, network.categories)
    predictor = Predictor.from_config(config, calibrated=False)
    posed = pose_clouds(predictor, samples, lambda rows: show_progress(rows, "Posing"))
    network.score_calibration = fit_calibration(posed, network.categories)
    save_checkpoint(options.out, network, read_notes(path))
    correct = find_correct(posed.errors)
    scored = calibrate_scores(posed.estimates, samples.points, network.score_calibration)
    before, after = (
        measure_reliability([pose.score for pose in poses], correct).expected_calibration_error
        for poses in (posed.estimates, scored)
    )
    print(f"{options.out}: expected calibration error {100 * before:.1f} % before, {100 * after:.1f} % after, on the "
          f"{len(samples)} clouds of the fit")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
