"""``make_segmenter``: make a detector from text prompts, by baking them into a YOLOE model.

Needs ultralytics (AGPL-3.0), YOLOE weights and their text encoder. Nothing is downloaded without --download.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CliposeError, ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _make(options)
    except (CliposeError, OSError) as error:
        print(f"make_segmenter: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("make_segmenter: interrupted; the same command starts over", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_segmenter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--prompts", required=True, metavar="TEXT",
        help="Detect these: 'mug: mug, coffee cup; can: tin can, soda can'. Each group is a category and its prompts.",
    )  # fmt: skip
    add(
        "--weights", type=Path, required=True, metavar="FILE", help="Use these YOLOE weights, such as yoloe-26s-seg.pt."
    )
    add(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="Write the model to this .pt file, with a .yaml beside it.",
    )
    add("--image-size", type=int, default=640, help="Set the longer side of the network's input, pixels (640).")
    add("--score-threshold", type=float, default=0.1, help="Set segmentation.score_threshold in the .yaml file (0.1).")
    add("--download", action="store_true", help="Allow the download of missing weights and of the text encoder.")
    return parser


def _make(options: argparse.Namespace) -> None:
    """Check prompts and files, then write the model."""
    if options.download:
        os.environ["YOLO_OFFLINE"] = "false"  # ultralytics reads it at its first import
    # imports torch, which the check of the command line does not need
    from clipose_ros.segmenter_training.text_prompts import (
        PromptedSegmenterConfig,
        make_segmenter,
        missing_downloads,
        parse_prompts,
    )

    prompts = parse_prompts(options.prompts, NOCS_CATEGORIES)
    missing = missing_downloads(options.weights)
    listed = "; ".join(map(str, missing))
    if missing and not options.download:
        raise ConfigError(f"missing in '{options.weights.parent}': {listed}. Give --download to allow it")
    if missing:
        print(f"Downloading to '{options.weights.parent}': {listed}", file=sys.stderr)
    config = PromptedSegmenterConfig(prompts, options.weights, options.image_size, options.score_threshold)
    parameters = make_segmenter(config, options.out)
    print(f"{options.out} (AGPL-3.0) detects {', '.join(prompts)}; use it with --params-file {parameters}")


if __name__ == "__main__":
    sys.exit(main())
