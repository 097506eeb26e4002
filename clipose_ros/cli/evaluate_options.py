"""The options of ``evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from clipose_ros.config import ENGINES

SMOOTHING = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(prog="evaluate", description=description)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        type=Path,
        nargs="+",
        help="clouds (.npz files, folders of shards) from `generate`, for --model to pose",
    )
    source.add_argument(
        "--sequence",
        type=float,
        metavar="SECONDS",
        help="a film of a simulated table, whose objects --model poses and the tracker follows: jitter and lag",
    )
    source.add_argument("--nocs", type=Path, help="folder of the NOCS data, whose detections --model poses")
    source.add_argument(
        "--results",
        nargs="+",
        metavar="PATTERN",
        help="result files (results_*.pkl) with truths and predictions, scored by the NOCS protocol without any model",
    )
    parser.add_argument("--categories", type=Path, help="with --results: categories (YAML), if not the six of NOCS")
    parser.add_argument("--model", default="clipose_small", help="a .safetensors file or the name of a shipped model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--engine", default="auto", choices=ENGINES, help="what computes the network (auto)")
    parser.add_argument("--subset", default="real_test", help="with --nocs: real_test or camera_val")
    parser.add_argument("--frames", type=int, help="with --nocs: so many images, evenly spread; all if left out")
    parser.add_argument(
        "--truths",
        choices=("official", "maps"),
        default="official",
        help="with --nocs: the released truths, or those fitted to the coordinate maps, with mugs re-centred",
    )
    parser.add_argument("--save", type=Path, help="with --nocs: folder for the predictions as results_*.pkl")
    parser.add_argument(
        "--breakdown",
        action="store_true",
        help="with --data: also print where poses fail, as --json and --report tell",
    )
    parser.add_argument("--film", type=Path, help="with --sequence: file to keep the film in, or to take it from")
    parser.add_argument("--seed", type=int, default=0, help="with --sequence: another seed films another table")
    parser.add_argument(
        "--smoothing", type=float, nargs="+", default=SMOOTHING, help="with --sequence: values of tracking.smoothing"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--report", type=Path, help="also write a page of HTML with tables, curves and worst cases")
    return parser


def refuse_contradictions(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with a message where options do not go together."""
    for wrong, message in (
        (options.report and options.sequence, "--report goes with --data, --nocs or --results"),
        (options.categories and not options.results, "--categories goes with --results: a model knows its own"),
        (options.save and not options.nocs, "--save goes with --nocs"),
        (options.film and options.sequence is None, "--film goes with --sequence"),
        (options.breakdown and not options.data, "--breakdown goes with --data"),
    ):
        if wrong:
            parser.error(message)
    for name in ("frames", "sequence"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value:g}")
