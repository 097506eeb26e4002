"""``train_segmenter``: train a segmentation model of the object categories on synthetic images or on photographs.

``pictures`` renders synthetic images, ``propose`` labels own images for correction, ``classes`` gives a trained model
other classes, ``train`` trains a model, ``average`` averages checkpoints, ``evaluate`` measures the mask accuracy,
``export`` writes the fast form for CPUs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.generate import add_object_library_options, describe_objects, read_object_library_options
from clipose_ros.cli.node_settings import SHIPPED_SEGMENTER, read_parameters, segmenter_settings
from clipose_ros.config import PoseNodeConfig, SegmentationConfig, nest
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.resources import config_path
from clipose_ros.segmentation.factory import create_segmenter
from clipose_ros.segmenter_training.class_rows import COCO_SOURCES, replace_classes
from clipose_ros.segmenter_training.dataset import IMAGES_PER_SCENE, PARTS, ImageSetConfig, write_images
from clipose_ros.segmenter_training.evaluation import evaluate_segmenter
from clipose_ros.segmenter_training.openvino_export import ExportConfig, export_openvino
from clipose_ros.segmenter_training.photo_set import read_rejected
from clipose_ros.segmenter_training.proposals import PROPOSALS, ProposalConfig, propose_labels
from clipose_ros.segmenter_training.realistic_set import RealisticSetConfig
from clipose_ros.segmenter_training.source_images import find_images
from clipose_ros.segmenter_training.trainer import SegmenterTrainConfig, train_segmenter
from clipose_ros.segmenter_training.weights import average_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (CliposeError, OSError) as error:
        print(f"train_segmenter: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train_segmenter: interrupted; repeat the command to continue (train with --resume)", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train_segmenter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_pictures_options(verbs.add_parser("pictures", help="Render synthetic images; existing images are kept."))
    _add_classes_options(verbs.add_parser("classes", help="Start a model of the categories from COCO weights."))
    _add_propose_options(verbs.add_parser("propose", help="Label images with a model at hand, to correct by hand."))
    _add_train_options(verbs.add_parser("train", help="Train a model on images with polygons."))
    _add_average_options(verbs.add_parser("average", help="Write the mean of the weights of several checkpoints."))
    _add_evaluate_options(verbs.add_parser("evaluate", help="Measure the mask accuracy on a part of a data set."))
    _add_export_options(verbs.add_parser("export", help="Write the OpenVINO form of weights, which is fast on CPUs."))
    return parser


def _add_pictures_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``pictures``."""
    parser.set_defaults(run=_write_images)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="Write the data set to this folder.")
    add("--part", choices=PARTS, default="train", help="Render this part of the data set (train).")
    add(
        "--scenes", type=int, default=3000,
        help=f"Simulate this number of scenes, {IMAGES_PER_SCENE} images each (3000).",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="Set the random seed; equal seeds give equal images (0).")
    add("--workers", type=int, default=1, help="Render with this number of processes (1).")
    add("--size", type=_parse_size, default=(160, 128), metavar="WxH", help="Set the image size, pixels (160x128).")
    add("--near", type=float, default=0.25, metavar="M", help="Set the smallest camera distance, metres (0.25).")
    add("--far", type=float, default=0.85, metavar="M", help="Set the largest camera distance, metres (0.85).")
    _add_realistic_options(parser)
    add_object_library_options(parser)


def _add_realistic_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of realistic images."""
    add = parser.add_argument_group("realistic images").add_argument
    add(
        "--realistic", action="store_true",
        help="Light the tables by panoramas, print labels on the objects, and add composites of cut-out objects.",
    )  # fmt: skip
    add("--photos", type=Path, metavar="DIR", help="Use these photographs: images/CLASS_*.jpg and masks/*.png.")
    add("--rejected", type=Path, metavar="FILE", help="Skip the photographs whose SHA-256 this file lists.")
    add("--panoramas", type=Path, metavar="DIR", help="Use the panoramas (.hdr) of this folder as light.")
    add("--backgrounds", type=Path, metavar="DIR", help="Use these images (.jpg), which show no object of a category.")
    add("--tables", type=float, default=0.5, help="Render tables in this share of scenes, composites else (0.5).")


def _add_classes_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``classes``."""
    parser.set_defaults(run=_replace_classes)
    add = parser.add_argument
    add("--start", type=Path, required=True, metavar="WEIGHTS", help="Start from these weights of COCO's classes.")
    add("--out", type=Path, required=True, metavar="WEIGHTS", help="Write the weights to this file (.pt).")


def _add_propose_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``propose``."""
    parser.set_defaults(run=_propose)
    add = parser.add_argument
    add("--images", type=Path, required=True, metavar="DIR", help="Label these RGB-D frames or photographs.")
    add("--out", type=Path, required=True, metavar="DIR", help="Add to this data set; existing labels are kept.")
    add(
        "--weights", metavar="FILE",
        help=f"Label with these weights, or '{SHIPPED_SEGMENTER}' for the detector of this package.",
    )  # fmt: skip
    add(
        "--params", type=Path, metavar="YAML",
        help="Use the segmentation settings of this parameter file of the node: class map, image size, threshold.",
    )  # fmt: skip
    add("--val-share", type=float, default=0.2, help="Use this share of the images for validation (0.2).")
    add("--part", choices=PARTS, default="", help="Use all images for this part instead.")


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``train``."""
    parser.set_defaults(run=_train)
    add = parser.add_argument
    add("--recipe", type=Path, help="Use the training settings of this YAML file (config/segmenter/synthetic.yaml).")
    add("--data", type=Path, required=True, metavar="YAML", help="Train on the data set of this dataset.yaml.")
    add("--out", type=Path, required=True, metavar="DIR", help="Write the run and the weights to this folder.")
    add("--start", type=Path, metavar="WEIGHTS", help="Start from these weights (.pt).")
    add("--resume", action="store_true", help="Resume the run in --out.")
    add("--device", default="cpu", help="Train on this device: cpu, cuda or cuda:N (cpu).")


def _add_average_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``average``."""
    parser.set_defaults(run=_average)
    add = parser.add_argument
    add("--weights", type=Path, nargs="+", required=True, help="Average these checkpoints of one network (.pt).")
    add("--out", type=Path, required=True, metavar="WEIGHTS", help="Write the weights to this file (.pt).")


def _add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``evaluate``."""
    parser.set_defaults(run=_evaluate)
    add = parser.add_argument
    add("--weights", type=Path, required=True, help="Evaluate these weights of a segmentation model.")
    add("--data", type=Path, required=True, metavar="YAML", help="Evaluate on the data set of this dataset.yaml.")
    add("--part", choices=PARTS, default="val", help="Evaluate on this part of the data set (val).")
    add("--image-size", type=int, default=320, help="Set the longer side of the input, pixels (320).")


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb ``export``."""
    parser.set_defaults(run=_export)
    add = parser.add_argument
    add("--weights", type=Path, required=True, help="Export these weights of a segmentation model (.pt).")
    add(
        "--out", type=Path, required=True, metavar="DIR",
        help="Write this folder, whose name ends in _openvino_model.",
    )  # fmt: skip
    add(
        "--data", type=Path, metavar="YAML",
        help="Calibrate 8-bit products on training images of this dataset.yaml (without it: floating point).",
    )  # fmt: skip
    add("--image-size", type=int, default=416, help="Set the longer side of the input, pixels (416).")
    add("--images", type=int, default=300, help="Calibrate on this number of images (300).")
    add("--seed", type=int, default=0, help="Set the seed of the choice of images (0).")


def _parse_size(text: str) -> tuple[int, int]:
    """Parse ``WxH`` into width and height."""
    width, height = text.split("x")
    return int(width), int(height)


def _write_images(options: argparse.Namespace) -> int:
    width, height = options.size
    common = ImageSetConfig(
        seed=options.seed,
        part=options.part,
        width=width,
        height=height,
        near_m=options.near,
        far_m=options.far,
        object_library=read_object_library_options(options),
        objects=describe_objects(options),
    )
    if not options.realistic and (options.photos or options.rejected or options.panoramas or options.backgrounds):
        raise ConfigError("--photos, --rejected, --panoramas and --backgrounds require --realistic")
    config = _make_realistic(common, options) if options.realistic else common
    count = write_images(options.out, config, options.scenes, options.workers, partial(print, flush=True))
    print(f"{options.out}: {count} images in part {options.part}")
    return 0


def _make_realistic(common: ImageSetConfig, options: argparse.Namespace) -> RealisticSetConfig:
    """Return the settings of realistic images."""
    rejected = read_rejected(options.rejected) if options.rejected else frozenset()
    values = {spec.name: getattr(common, spec.name) for spec in fields(common)}
    return RealisticSetConfig(
        **values, photos=options.photos, rejected=rejected, panoramas=options.panoramas,
        backgrounds=options.backgrounds, tables=options.tables,
    )  # fmt: skip


def _replace_classes(options: argparse.Namespace) -> int:
    print(replace_classes(options.start, options.out, NOCS_CATEGORIES.names, COCO_SOURCES))
    return 0


def _propose(options: argparse.Namespace) -> int:
    segmenter = create_segmenter(_proposal_settings(options), NOCS_CATEGORIES)
    config = ProposalConfig(options.out, NOCS_CATEGORIES.names, options.val_share, options.part)
    summary = propose_labels(find_images(options.images), segmenter, config, partial(print, flush=True))
    objects = ", ".join(f"{count} {name}" for name, count in sorted(summary.objects.items())) or "no object"
    print(f"{summary.proposed} images labelled: {objects}; existing labels of {summary.kept} images kept")
    print(f"{options.out}: {summary.parts['train']} training and {summary.parts['val']} validation images")
    print(f"{options.out / PROPOSALS}: drawings for review")
    for part in PARTS:
        if not summary.parts[part]:
            print(f"part {part} is empty, training needs both: add images with --part {part}", file=sys.stderr)
    return 0


def _proposal_settings(options: argparse.Namespace) -> SegmentationConfig:
    """Return the settings of the segmenter of ``--params`` and ``--weights``."""
    if not options.params and not options.weights:
        raise ConfigError(f"propose needs a segmenter: --weights FILE, --weights {SHIPPED_SEGMENTER}, or --params YAML")
    settings = read_parameters(options.params) if options.params else {}
    if options.weights == SHIPPED_SEGMENTER:
        settings |= segmenter_settings(SHIPPED_SEGMENTER)
    elif options.weights:
        backend = settings.get("segmentation.backend", SegmentationConfig().backend)
        settings |= segmenter_settings(f"{backend}:{options.weights}", with_parameters=not options.params)
    # Images of a folder are no sequence: masks cannot be propagated from one to the next.
    return replace(PoseNodeConfig.from_mapping(nest(settings)).segmentation, every_n=1)


def _train(options: argparse.Namespace) -> int:
    config = SegmenterTrainConfig.read(options.recipe or config_path("segmenter/synthetic.yaml"))
    if options.start is not None:
        config = replace(config, start=str(options.start))
    log = partial(print, flush=True)
    log(train_segmenter(config, options.data, options.out, options.device, options.resume, log))
    return 0


def _average(options: argparse.Namespace) -> int:
    print(average_weights(options.weights, options.out))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    rows = evaluate_segmenter(options.weights, options.data, options.image_size, options.part)
    print(f"{'':12}{'precision':>11}{'recall':>9}{'mAP50':>9}{'mAP50-95':>10}")
    for name, row in rows.items():
        print(f"{name:12}{row.precision:11.3f}{row.recall:9.3f}{row.map50:9.3f}{row.map:10.3f}")
    return 0


def _export(options: argparse.Namespace) -> int:
    config = ExportConfig(options.image_size, options.data, options.images, options.seed)
    print(export_openvino(options.weights, options.out, config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
