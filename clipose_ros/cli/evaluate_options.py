"""The options of ``evaluate``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from clipose_ros.cli.generate import OBJECT_LIBRARY_GOES_WITH, add_object_library_options
from clipose_ros.cli.node_settings import NETWORK_OPTIONS, SEGMENTERS
from clipose_ros.cli.option_rules import add_renamed_flag, parse
from clipose_ros.config import NetworkConfig

SCENES_SEED = 10_000_000
"""Of simulated scenes; far from those that models are trained on."""
SMOOTHING = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)

_GOES_WITH = {
    **dict.fromkeys(NETWORK_OPTIONS, ("data", "sequence", "nocs", "scenes")),
    **dict.fromkeys(("subset", "frames", "truths", "save"), ("nocs",)),
    **dict.fromkeys(("film", "smoothing"), ("sequence",)),
    **dict.fromkeys(("segmenter", "params", "frames_in", "workers"), ("scenes",)),
    **OBJECT_LIBRARY_GOES_WITH,
    "meshes": ("scenes",),
    "breakdown": ("data",),
    "seed": ("sequence", "scenes"),
    "categories": ("results", "scenes"),
    "report": ("data", "nocs", "results", "scenes"),
}
"""Options that mean something only beside one of these."""


def read_options(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line; ends the program with a message where options do not go together.

    Args:
        description: Of the command, for its help.
        arguments: The command line; that of the process if left out.

    Returns:
        Their values. Of ``--model``, ``--device``, ``--engine`` and ``--seed`` None where they are left out: what then
        holds depends on other options.
    """
    parser = _parser(description)
    options = parse(parser, arguments, _GOES_WITH)
    for name in ("frames", "sequence", "scenes", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value:g}")
    return options


def _parser(description: str | None) -> argparse.ArgumentParser:
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
    source.add_argument(
        "--scenes",
        type=int,
        metavar="N",
        help="so many simulated tables, three views of each, on which the robot's whole pipeline works",
    )
    # no defaults here: with --scenes those of --params come first
    usual = NetworkConfig()
    parser.add_argument("--model", help=f"a .safetensors file or the name of a shipped model ({usual.model})")
    parser.add_argument("--device", help=f"auto, cpu, cuda or cuda:N ({usual.device})")
    parser.add_argument("--engine", help=f"engine that computes the network, built-in or installed ({usual.engine})")
    add_renamed_flag(parser, "--looks", "--max-passes")
    add_renamed_flag(parser, "--agree-deg", "--disagreement-deg")
    parser.add_argument(
        "--max-passes", type=int, help=f"test-time augmentation passes per object at most ({usual.tta.max_passes})"
    )
    parser.add_argument(
        "--disagreement-deg",
        type=float,
        help="passes beyond the second are run only if the first two differ by more, degrees; "
        f"0: always run all ({usual.tta.disagreement_deg:g})",
    )
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
    parser.add_argument(
        "--seed", type=int, help=f"another seed shows other tables: with --sequence (0) or --scenes ({SCENES_SEED})"
    )
    parser.add_argument(
        "--smoothing", type=float, nargs="+", default=SMOOTHING, help="with --sequence: values of tracking.smoothing"
    )
    _add_scenes_options(parser)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--report", type=Path, help="also write a page of HTML with tables, curves and worst cases")
    return parser


def _add_scenes_options(parser: argparse.ArgumentParser) -> None:
    """What only ``--scenes`` understands."""
    group = parser.add_argument_group("scenes", "with --scenes: what sees, and where frames are kept")
    group.add_argument(
        "--segmenter",
        metavar="WHICH",
        help=f"{SEGMENTERS}, whose class map and image size --params tells (what --params says, or else labels)",
    )
    group.add_argument(
        "--params",
        type=Path,
        metavar="YAML",
        help="the pose node's parameters, as in config/pose.yaml; --model, --device and --engine hold against them",
    )
    group.add_argument(
        "--frames-in", type=Path, metavar="DIR", help="folder to keep the frames in, or to take them from"
    )
    group.add_argument("--workers", type=int, default=1, help="processes that render (1)")
    add_object_library_options(parser)
    parser.set_defaults(split="val")
