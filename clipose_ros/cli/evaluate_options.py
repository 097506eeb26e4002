"""Command line options of ``evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from clipose_ros.cli.generate import OBJECT_LIBRARY_REQUIREMENTS, add_object_library_options
from clipose_ros.cli.node_settings import NETWORK_OPTIONS, SEGMENTERS
from clipose_ros.cli.option_rules import add_renamed_flag, parse
from clipose_ros.config import NetworkConfig

SCENES_SEED = 10_000_000
"""Default seed of simulated scenes, distinct from the seeds of training data."""
SMOOTHING = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)

_REQUIREMENTS = {
    **dict.fromkeys(NETWORK_OPTIONS, ("data", "sequence", "nocs", "scenes")),
    **dict.fromkeys(("subset", "frames", "truths", "save"), ("nocs",)),
    **dict.fromkeys(("film", "smoothing"), ("sequence",)),
    **dict.fromkeys(("segmenter", "params", "frames_in", "workers"), ("scenes",)),
    **OBJECT_LIBRARY_REQUIREMENTS,
    "meshes": ("scenes",),
    "breakdown": ("data",),
    "seed": ("sequence", "scenes"),
    "categories": ("results", "scenes"),
    "report": ("data", "nocs", "results", "scenes"),
}
"""By option: the options of which one must be given with it."""


def read_options(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line and exit with a message if options contradict each other.

    Args:
        description: Description of the command for its help.
        arguments: Command line; that of the process if None.

    Returns:
        The values of the options. ``--model``, ``--device``, ``--engine`` and ``--seed`` are None if not given, since
        their defaults depend on other options.
    """
    parser = _parser(description)
    options = parse(parser, arguments, _REQUIREMENTS)
    for name in ("frames", "sequence", "scenes", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value:g}")
    return options


def _parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of all options."""
    parser = argparse.ArgumentParser(prog="evaluate", description=description)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        type=Path,
        nargs="+",
        help="clouds from `generate` (.npz files, folders of shards) whose poses --model estimates",
    )
    source.add_argument(
        "--sequence",
        type=float,
        metavar="SECONDS",
        help="record a simulated table for so long and evaluate jitter and lag of the tracked poses of --model",
    )
    source.add_argument(
        "--nocs", type=Path, help="folder of the NOCS data; --model estimates the poses of its detections"
    )
    source.add_argument(
        "--results",
        nargs="+",
        metavar="PATTERN",
        help="result files (results_*.pkl) with truths and predictions, evaluated with the NOCS protocol",
    )
    source.add_argument(
        "--scenes",
        type=int,
        metavar="N",
        help="number of simulated scenes, three views each, on which the full pose pipeline is evaluated",
    )
    # no argparse defaults: with --scenes the values of --params apply to options that are not given
    defaults = NetworkConfig()
    parser.add_argument("--model", help=f"a .safetensors file or the name of a shipped model ({defaults.model})")
    parser.add_argument("--device", help=f"auto, cpu, cuda or cuda:N ({defaults.device})")
    parser.add_argument("--engine", help=f"engine that computes the network, built-in or installed ({defaults.engine})")
    add_renamed_flag(parser, "--looks", "--max-passes")
    add_renamed_flag(parser, "--agree-deg", "--disagreement-deg")
    parser.add_argument(
        "--max-passes", type=int, help=f"test-time augmentation passes per object at most ({defaults.tta.max_passes})"
    )
    parser.add_argument(
        "--disagreement-deg",
        type=float,
        help="passes beyond the second are run only if the first two differ by more, degrees; "
        f"0: always run all ({defaults.tta.disagreement_deg:g})",
    )
    parser.add_argument("--subset", default="real_test", help="with --nocs: real_test or camera_val")
    parser.add_argument("--frames", type=int, help="with --nocs: number of images, evenly spaced (all)")
    parser.add_argument(
        "--truths",
        choices=("official", "maps"),
        default="official",
        help="with --nocs: the released truths, or truths fitted to the coordinate maps with mugs centred on their box",
    )
    parser.add_argument("--save", type=Path, help="with --nocs: folder for the predictions as results_*.pkl")
    parser.add_argument(
        "--breakdown",
        action="store_true",
        help="with --data: also print accuracy by visibility, distance and viewpoint, as in --json and --report",
    )
    parser.add_argument(
        "--film", type=Path, help="with --sequence: file of the recorded sequence; read if it exists, else written"
    )
    parser.add_argument(
        "--seed", type=int, help=f"random seed of the scenes, with --sequence (0) or --scenes ({SCENES_SEED})"
    )
    parser.add_argument(
        "--smoothing", type=float, nargs="+", default=SMOOTHING, help="with --sequence: values of tracking.smoothing"
    )
    _add_scenes_options(parser)
    parser.add_argument("--json", type=Path, help="also write the results to this JSON file")
    parser.add_argument("--report", type=Path, help="also write an HTML page with tables, curves and worst cases")
    return parser


def _add_scenes_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``--scenes``."""
    group = parser.add_argument_group("scenes", "with --scenes: segmentation and storage of frames")
    group.add_argument(
        "--segmenter",
        metavar="WHICH",
        help=f"{SEGMENTERS}; class map and image size are those of --params (default: that of --params, or labels)",
    )
    group.add_argument(
        "--params",
        type=Path,
        metavar="YAML",
        help="parameters of the pose node, as in config/pose.yaml; --model, --device and --engine override them",
    )
    group.add_argument(
        "--frames-in",
        type=Path,
        metavar="DIR",
        help="folder of rendered frames; existing frames are reused, missing ones are rendered",
    )
    group.add_argument("--workers", type=int, default=1, help="number of rendering processes (1)")
    add_object_library_options(parser)
    parser.set_defaults(split="val")
