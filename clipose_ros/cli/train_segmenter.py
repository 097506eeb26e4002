"""``train_segmenter``: a detector of the six categories, from simulated pictures or from the user's own.

``pictures`` draws simulated scenes, ``train`` teaches a network with them, ``evaluate`` measures one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from clipose_ros.cli.generate import add_object_library_options, object_library_from, objects_record
from clipose_ros.errors import CliposeError
from clipose_ros.resources import config_path
from clipose_ros.segmenter_training.dataset import PARTS, PictureRecipe, write_pictures
from clipose_ros.segmenter_training.trainer import SegmenterConfig, measure_segmenter, train_segmenter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (CliposeError, OSError) as error:
        print(f"train_segmenter: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train_segmenter: interrupted; the same command goes on (train with --resume)", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train_segmenter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    pictures = verbs.add_parser("pictures", help="draw simulated scenes; what is there already is kept")
    pictures.set_defaults(run=_pictures)
    pictures.add_argument("--out", type=Path, required=True, metavar="DIR", help="the data set's folder")
    pictures.add_argument("--part", choices=PARTS, default="train", help="to train with, or to validate with (train)")
    pictures.add_argument("--scenes", type=int, default=3000, help="scenes, three pictures each (3000)")
    pictures.add_argument("--seed", type=int, default=0, help="equal seeds give equal pictures (0)")
    pictures.add_argument("--workers", type=int, default=1, help="processes (1)")
    pictures.add_argument("--size", type=_size, default=(160, 128), metavar="WxH", help="of the pictures (160x128)")
    pictures.add_argument("--near", type=float, default=0.25, metavar="M", help="nearest view, metres (0.25)")
    pictures.add_argument("--far", type=float, default=0.85, metavar="M", help="farthest view, metres (0.85)")
    add_object_library_options(pictures)
    train = verbs.add_parser("train", help="teach a network with pictures and outlines")
    train.set_defaults(run=_train)
    train.add_argument("--recipe", type=Path, help="YAML file of settings (the shipped one)")
    train.add_argument("--data", type=Path, required=True, metavar="YAML", help="the data set's dataset.yaml")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where run and weights go")
    train.add_argument("--start", type=Path, metavar="WEIGHTS", help="a .pt file to begin with")
    train.add_argument("--resume", action="store_true", help="go on with the run in --out")
    train.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (cpu)")
    evaluate = verbs.add_parser("evaluate", help="mask accuracy on a part of a data set")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("--weights", type=Path, required=True, help="a detector's file")
    evaluate.add_argument("--data", type=Path, required=True, metavar="YAML", help="the data set's dataset.yaml")
    evaluate.add_argument("--part", choices=PARTS, default="val", help="which part (val)")
    evaluate.add_argument("--image-size", type=int, default=320, help="longer side of the input, pixels (320)")
    return parser


def _size(text: str) -> tuple[int, int]:
    """Width and height of ``WxH``."""
    width, height = text.split("x")
    return int(width), int(height)


def _pictures(options: argparse.Namespace) -> int:
    width, height = options.size
    recipe = PictureRecipe(
        seed=options.seed,
        part=options.part,
        width=width,
        height=height,
        near_m=options.near,
        far_m=options.far,
        object_library=object_library_from(options),
        objects=objects_record(options),
    )
    count = write_pictures(options.out, recipe, options.scenes, options.workers, partial(print, flush=True))
    print(f"{options.out}: {count} pictures to {options.part}")
    return 0


def _train(options: argparse.Namespace) -> int:
    config = SegmenterConfig.read(options.recipe or config_path("segmenter/synthetic.yaml"))
    if options.start is not None:
        config = replace(config, start=str(options.start))
    print(train_segmenter(config, options.data, options.out, options.device, options.resume))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    rows = measure_segmenter(options.weights, options.data, options.image_size, options.part)
    print(f"{'':12}{'precision':>11}{'recall':>9}{'mAP50':>9}{'mAP50-95':>10}")
    for name, row in rows.items():
        print(f"{name:12}{row['precision']:11.3f}{row['recall']:9.3f}{row['map50']:9.3f}{row['map']:10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
