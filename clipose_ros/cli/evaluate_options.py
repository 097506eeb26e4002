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
"""Default seed of simulated scenes; training data have other seeds."""
CAMERAS = ("moving", "resting", "both")
"""Values of ``--camera``."""
SHORTEST_S = 0.1
"""Length of the shortest sequences with ``--tables``, seconds."""
SMOOTHING = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Default values of ``tracking.smoothing`` that are evaluated on a sequence."""

_REQUIREMENTS = {
    **dict.fromkeys(NETWORK_OPTIONS, ("data", "sequence", "nocs", "scenes", "bag")),
    **dict.fromkeys(("subset", "frames", "truths", "save"), ("nocs",)),
    **dict.fromkeys(("film", "smoothing", "tables", "plot"), ("sequence",)),
    **dict.fromkeys(("segmenter", "params"), ("scenes", "photos", "bag")),
    **dict.fromkeys(("annotations", "drawings"), ("photos",)),
    "frames_in": ("scenes",),
    **OBJECT_LIBRARY_REQUIREMENTS,
    "camera": ("tables",),
    "workers": ("scenes", "tables"),
    "meshes": ("scenes", "tables"),
    "breakdown": ("data",),
    "test_set": ("data",),
    "seed": ("sequence", "scenes"),
    "categories": ("results", "scenes", "tables"),
    "report": ("data", "nocs", "results", "scenes"),
}
"""Options that require one of others: names of the others by option."""
_CONFLICTS = [("smoothing", "tables")]
"""Pairs of options that exclude each other."""


def read_options(description: str | None, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exit with a message if options contradict each other.

    Args:
        description: Description of the command for its help.
        arguments: Command line; that of the process if None.

    Returns:
        The values of the options. ``--model``, ``--device``, ``--engine`` and ``--seed`` are None if not given, since
        their defaults depend on other options.
    """
    parser = _parser(description)
    options = parse(parser, arguments, _REQUIREMENTS, _CONFLICTS)
    for name in ("frames", "sequence", "scenes", "tables", "workers"):
        value = getattr(options, name)
        least = SHORTEST_S if name == "sequence" and options.tables else 1
        if value is not None and value < least:
            parser.error(f"--{name} must be at least {least:g}, got {value:g}")
    return options


def _parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of all options."""
    parser = argparse.ArgumentParser(prog="evaluate", description=description)
    _add_source_options(parser)
    add_network_options(parser)
    _add_nocs_options(parser)
    _add_sequence_options(parser)
    _add_scenes_options(parser)
    add_object_library_options(parser)
    parser.set_defaults(split="val")
    group = parser.add_argument_group("output")
    group.add_argument("--json", type=Path, metavar="FILE", help="Write the results to this JSON file.")
    group.add_argument(
        "--report", type=Path, metavar="FILE", help="Write an HTML page with tables, curves and worst cases."
    )
    group.add_argument(
        "--breakdown",
        action="store_true",
        help="With --data: print the accuracy by visibility, distance and viewpoint.",
    )
    return parser


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select what is evaluated; exactly one is required."""
    group = parser.add_argument_group("source", "one of these options is required")
    add = group.add_mutually_exclusive_group(required=True).add_argument
    add(
        "--data",
        type=Path,
        nargs="+",
        help="Evaluate --model on clouds from `generate`: .npz files or folders of shards.",
    )
    group.add_argument(
        "--test-set",
        metavar="NAME",
        help="With --data: refuse clouds that differ from the frozen test set of config/test_sets/NAME.yaml.",
    )
    add(
        "--sequence",
        type=float,
        metavar="SECONDS",
        help="Evaluate accuracy against time, jitter and lag of tracked poses of --model on a simulated sequence of "
        "this length, seconds.",
    )
    add("--nocs", type=Path, metavar="DIR", help="Evaluate --model on the detections of the NOCS data in this folder.")
    add(
        "--results",
        nargs="+",
        metavar="PATTERN",
        help="Evaluate result files (results_*.pkl), which hold truths and predictions, with the NOCS protocol.",
    )
    add(
        "--scenes",
        type=int,
        metavar="N",
        help="Evaluate the full pose pipeline on this number of simulated scenes, three views each.",
    )
    add(
        "--photos",
        type=Path,
        metavar="DIR",
        help="Evaluate a segmenter on the annotated photographs in this folder and its subfolders.",
    )
    add(
        "--bag",
        type=Path,
        metavar="BAG",
        help="Evaluate the tracked poses of a recording (.mcap, .db3, .bag or folder) that holds true poses.",
    )


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the network. They have no defaults, since those are in ``--params`` with ``--scenes``."""
    defaults, group = NetworkConfig(), parser.add_argument_group("network")
    group.add_argument(
        "--model", help=f"Evaluate this .safetensors file, shipped model or hf:owner/name ({defaults.model})."
    )
    group.add_argument("--device", help=f"Run on this device: auto, cpu, cuda or cuda:N ({defaults.device}).")
    group.add_argument("--engine", help=f"Use this engine, built-in or installed ({defaults.engine}).")
    group.add_argument(
        "--max-passes",
        type=int,
        help=f"Set the largest number of test-time augmentation passes per object ({defaults.tta.max_passes}).",
    )
    group.add_argument(
        "--disagreement-deg",
        type=float,
        help="Run further passes, or the correction by the refiner, only if the first two differ by more than this "
        f"angle, degrees; 0 always runs all, and no correction ({defaults.tta.disagreement_deg:g}).",
    )
    group.add_argument(
        "--refine",
        help=f"Correct the poses of these objects by the model's refiner: all, unsettled or none ({defaults.refine}).",
    )
    group.add_argument(
        "--surface-normals",
        action=argparse.BooleanOptionalAction,
        help="Correct rotations by the normals of the measured surface (as network.surface_normals).",
    )
    add_renamed_flag(parser, "--looks", "--max-passes")
    add_renamed_flag(parser, "--agree-deg", "--disagreement-deg")


def _add_nocs_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``--nocs``."""
    group = parser.add_argument_group("NOCS data", "with --nocs")
    group.add_argument("--subset", default="real_test", help="Use this subset: real_test or camera_val (real_test).")
    group.add_argument("--frames", type=int, help="Use this number of images, evenly spaced (all).")
    group.add_argument(
        "--truths",
        choices=("official", "maps"),
        default="official",
        help="Use the released truths (official), or truths fitted to the coordinate maps, with the origin of mugs at "
        "the centre of their box (maps).",
    )
    group.add_argument(
        "--save", type=Path, metavar="DIR", help="Write the predictions to this folder as results_*.pkl."
    )


def _add_sequence_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``--sequence``, and ``--seed``, which ``--scenes`` uses too."""
    group = parser.add_argument_group("sequence", "with --sequence")
    group.add_argument(
        "--tables",
        type=int,
        metavar="N",
        help="Evaluate accuracy against time for this number of random tables, each with its own sequence and "
        "deformed masks.",
    )
    group.add_argument(
        "--camera",
        choices=CAMERAS,
        default="both",
        help="With --tables: move the camera around the table, let it rest, or record each table twice (both).",
    )
    group.add_argument(
        "--plot", type=Path, metavar="FILE", help="Draw accuracy against time into this image file (.png, .svg)."
    )
    group.add_argument(
        "--film", type=Path, metavar="FILE",
        help="Read the recorded sequence from this file if it exists; otherwise write it there.",
    )  # fmt: skip
    group.add_argument(
        "--smoothing", type=float, nargs="+", default=SMOOTHING, help="Evaluate these values of tracking.smoothing."
    )
    group.add_argument(
        "--seed", type=int, help=f"Set the random seed of the scenes, also with --scenes (0; {SCENES_SEED})."
    )


def _add_scenes_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``--scenes``."""
    group = parser.add_argument_group("segmenter", "with --scenes, --photos or --bag")
    group.add_argument(
        "--segmenter",
        metavar="WHICH",
        help=f"Use this segmenter: {SEGMENTERS}. Class map and image size are those of --params. The default is the "
        "segmenter of --params, or labels (shipped with --photos, and with --bag if it has no labels).",
    )
    group.add_argument(
        "--params",
        type=Path,
        metavar="YAML",
        help="Use these parameters of the pose node, as in config/pose.yaml; --model, --device and --engine override "
        "them.",
    )
    group = parser.add_argument_group("photographs", "with --photos")
    group.add_argument(
        "--annotations", type=Path, metavar="FILE", help="Use this annotation file (config/photos/annotations.json)."
    )
    group.add_argument("--drawings", type=Path, metavar="DIR", help="Draw objects and detections into this folder.")
    group = parser.add_argument_group("scenes", "with --scenes")
    group.add_argument(
        "--frames-in",
        type=Path,
        metavar="DIR",
        help="Keep rendered frames in this folder; existing frames are reused, missing ones are rendered.",
    )
    group.add_argument("--workers", type=int, default=1, help="Render with this number of processes (1).")
