"""``generate``: create training clouds from simulated scenes or NOCS data."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from clipose_ros.allocator import keep_freed_memory
from clipose_ros.cli.option_rules import parse
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.files import SUBSETS
from clipose_ros.data.nocs.samples import load_nocs_samples
from clipose_ros.data.synthetic.assets.mesh_index import SPLITS, read_mesh_index
from clipose_ros.data.synthetic.assets.mesh_library import MeshLibrary
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary, read_object_library
from clipose_ros.data.synthetic.scene_source import SimulatedScenes
from clipose_ros.data.synthetic.simulators import (
    DEFAULT_SIMULATOR,
    RASTER_RENDERER,
    RAY_RENDERER,
    RENDERERS,
    SIMULATORS,
)
from clipose_ros.data.test_sets import read_test_set
from clipose_ros.errors import CliposeError, ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = parse(_parser(), arguments, _REQUIREMENTS, _CONFLICTS)
    cv2.setNumThreads(1)
    keep_freed_memory()
    try:
        if options.shards is not None:
            write_shards(options)
        else:
            write_clouds(options)
    except (CliposeError, OSError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resume_hint = "; the same command continues after the completed shards" if options.shards is not None else ""
        print(f"generate: interrupted{resume_hint}", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument(
        "--scenes", type=int, default=400, help="Simulate this number of scenes, three or four views each (400)."
    )
    made = parser.add_mutually_exclusive_group(required=True)
    made.add_argument("--seed", type=int, help="Set the random seed; equal seeds give equal files.")
    made.add_argument(
        "--test-set",
        metavar="NAME",
        help="Make the frozen test set of config/test_sets/NAME.yaml and compare it with its SHA-256 hashes.",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="Write the clouds to this .npz file.")
    target.add_argument(
        "--shards",
        metavar="TARGET",
        help="Create, resume or extend a folder of WebDataset shards: a path, or a URL of fsspec, such as "
        "s3://bucket/train.",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="With --shards: use this number of processes of this machine (1)."
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="With --shards: use the workers of this scheduler of dask, such as tcp://10.0.0.1:8786.",
    )
    parser.add_argument(
        "--scenes-per-shard",
        type=int,
        default=50,
        help="With --shards: set the number of scenes per shard, with --nocs of frames (50).",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        default=0,
        help="Store an image crop of each object with this side, pixels, for recipes with CLIP; 0 stores none (0).",
    )
    parser.add_argument(
        "--simulator",
        choices=tuple(SIMULATORS),
        default=DEFAULT_SIMULATOR,
        help="Simulate whole tables as in version 0.2.0 (tables, the default), household shapes seen by stereo, "
        "structured-light and time-of-flight cameras (objects), or these with more hands and neighbours "
        "(crowded_objects), of all cameras or of one (crowded_objects_d435).",
    )
    parser.add_argument(
        "--renderer",
        choices=tuple(RENDERERS),
        default=RASTER_RENDERER,
        help="Render by a compiled rasterizer (raster, the default) or by rays, which takes three times as long (rays)."
        " Images (--image-size) and frozen test sets are always rendered by rays.",
    )
    add_object_library_options(parser)
    add_nocs_options(parser)
    return parser


OBJECT_LIBRARY_REQUIREMENTS = dict.fromkeys(("index", "split", "mesh_share"), ("meshes",))
"""Options of ``add_object_library_options`` that require others: names of the others by option."""
_REQUIREMENTS = {
    **OBJECT_LIBRARY_REQUIREMENTS,
    **dict.fromkeys(("workers", "scheduler", "scenes_per_shard"), ("shards",)),
    **dict.fromkeys(("subset", "frames", "box_centred_mugs"), ("nocs",)),
}
"""Options that require one of others: names of the others by option."""
_SCENE_OPTIONS = ("scenes", "simulator", "renderer", "categories", "meshes")
_CONFLICTS = [
    ("workers", "scheduler"),
    *((name, "nocs") for name in _SCENE_OPTIONS),
    *((name, "test_set") for name in (*_SCENE_OPTIONS, "nocs", "shards", "image_size")),
]
"""Pairs of options that exclude each other. NOCS data and test sets define their own scenes, categories and objects."""


def _format_counts(counts: Mapping[str, int]) -> str:
    """Return the number of clouds of each category as text."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def write_clouds(options: argparse.Namespace) -> None:
    """Write the clouds to the file of ``--out``.

    Raises:
        ConfigError: Options contradict each other, or no test set has the name.
        DataError: A file of the NOCS data is missing or malformed, or the clouds differ from the test set.
    """
    options.out.parent.mkdir(parents=True, exist_ok=True)
    test_set = None if options.test_set is None else read_test_set(options.test_set)
    if test_set is not None:
        source = SimulatedScenes(test_set.seed, simulator=test_set.simulator, renderer=RAY_RENDERER)
        samples = source.generate_samples(test_set.scenes)
    elif options.nocs is not None:
        samples = load_nocs_samples(
            open_nocs_dataset(options), options.seed, options.frames, image_side=options.image_size
        )
    else:
        samples = _read_simulated_scenes(options).generate_samples(options.scenes)
    samples.save(options.out)
    if test_set is not None:
        test_set.check(options.test_set, samples)
    names = samples.categories.names
    counts = np.bincount(samples.category_index, minlength=len(names))
    print(f"{options.out}: {len(samples)} clouds: {_format_counts(dict(zip(names, counts, strict=True)))}")


def _read_simulated_scenes(options: argparse.Namespace) -> SimulatedScenes:
    """Return the scene source of the options.

    Raises:
        ConfigError: Options contradict each other.
        DataError: A mesh or its index is missing or malformed.
    """
    if options.image_size and options.simulator != DEFAULT_SIMULATOR:
        raise ConfigError(f"only --simulator {DEFAULT_SIMULATOR} makes images: leave out --image-size")
    library, record = read_object_library_options(options), describe_objects(options)
    return SimulatedScenes(options.seed, options.image_size, library, record, options.simulator, options.renderer)


def write_shards(options: argparse.Namespace) -> None:
    """Write the shards into the folder or store of ``--shards``.

    Raises:
        ConfigError: Options contradict each other, or the folder was created with other options.
        DataError: A shard cannot be written, or a file of the NOCS data is missing or malformed.
    """
    # imports webdataset and with it torch
    from clipose_ros.data.nocs.scene_source import NocsFrames
    from clipose_ros.data.shards.sources import SceneSource
    from clipose_ros.data.shards.writer import generate_shards

    if options.scheduler is not None:
        # Workers on other hosts have other working directories.
        for name in ("meshes", "index", "nocs"):
            path = getattr(options, name)
            setattr(options, name, path and path.absolute())
    source: SceneSource
    if options.nocs is not None:
        dataset = open_nocs_dataset(options)
        source, scenes = NocsFrames(dataset, options.seed, options.image_size), len(dataset)
        scenes = min(scenes, options.frames or scenes)
    else:
        source, scenes = _read_simulated_scenes(options), options.scenes
    log = partial(print, flush=True)
    workers = options.workers if options.scheduler is None else options.scheduler
    manifest = generate_shards(options.shards, source, scenes, options.scenes_per_shard, workers, log)
    counts = {name: sum(shard.counts[name] for shard in manifest.shards) for name in manifest.categories.names}
    print(f"{options.shards}: {manifest.samples} clouds in {len(manifest.shards)} shards: {_format_counts(counts)}")


def describe_objects(options: argparse.Namespace) -> dict[str, str | float]:
    """Return the description of the objects for the manifest of shards; equal options and files give equal values."""
    record: dict[str, str | float] = {"categories": "nocs"}
    if options.categories is not None:
        record["categories"] = hashlib.sha256(options.categories.read_bytes()).hexdigest()
    if options.meshes is not None:
        index = options.index or options.meshes / "index.csv"
        record |= {"meshes": hashlib.sha256(index.read_bytes()).hexdigest(), "split": options.split}
        record["mesh_share"] = options.mesh_share
    return record


def add_object_library_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the objects in the scenes, read by ``read_object_library_options``."""
    group = parser.add_argument_group("objects", "the default are the six NOCS categories with shape generators")
    group.add_argument(
        "--categories", type=Path, help="Use the categories of this YAML file, such as config/categories/*.yaml."
    )
    group.add_argument("--meshes", type=Path, help="Use the meshes of this folder as objects.")
    group.add_argument(
        "--index", type=Path, help="Read the description of the meshes from this CSV file (MESHES/index.csv)."
    )
    group.add_argument("--split", choices=SPLITS[:2], default="train", help="Use the meshes of this split.")
    group.add_argument(
        "--mesh-share",
        type=float,
        default=0.5,
        help="Use meshes for this fraction of the objects of categories with a shape generator, 0 to 1 (0.5).",
    )


def read_object_library_options(options: argparse.Namespace) -> ObjectLibrary:
    """Return the object library of the options of ``add_object_library_options``; warn of categories without objects.

    Raises:
        ConfigError: The categories are wrong, none has a shape or mesh, the fraction is out of bounds, or an index is
            given without a folder.
        DataError: The index or a mesh is missing or malformed.
    """
    object_library = read_object_library(options.categories) if options.categories else NOCS_OBJECT_LIBRARY
    if options.meshes is not None:
        mean_sizes = {category.name: category.mean_size for category in object_library.categories}
        entries = read_mesh_index(options.index or options.meshes / "index.csv", options.meshes)
        library = MeshLibrary(entries, options.split, object_library.size_ranges, mean_sizes)
        object_library = replace(object_library, library=library, mesh_share=options.mesh_share)
    elif options.index is not None:
        raise ConfigError(f"--index {options.index} needs --meshes, the folder of its files")
    if absent := ", ".join(name for name in object_library.categories.names if name not in object_library.drawable):
        lack = (
            f"there is neither a shape nor a mesh of {absent}: name a shape in {options.categories}, or give meshes of "
            f"split '{options.split}' (--meshes)"
        )
        if not object_library.drawable:
            raise ConfigError(f"no object can be drawn: {lack}")
        print(lack, file=sys.stderr)
    return object_library


def add_nocs_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of NOCS data, read by ``open_nocs_dataset``."""
    group = parser.add_argument_group("NOCS data", "real or rendered frames instead of simulated scenes")
    group.add_argument("--nocs", type=Path, help="Read the frames from this folder of the unpacked archives.")
    group.add_argument(
        "--subset", choices=tuple(SUBSETS), default="real_train", help="Use this subset of the data (real_train)."
    )
    group.add_argument("--frames", type=int, help="Use this number of frames, drawn at random (all).")
    group.add_argument(
        "--box-centred-mugs",
        action="store_true",
        help="Place the origin of mugs at the centre of their box, as in simulated data (default: on the axis of the "
        "body, as in published methods).",
    )


def open_nocs_dataset(options: argparse.Namespace) -> NocsDataset:
    """Open the dataset of the options of ``add_nocs_options``; report frames with missing files.

    Raises:
        DataError: A folder is missing, or holds no complete frame.
    """
    dataset = NocsDataset(options.nocs, options.subset, correct_mugs=not options.box_centred_mugs)
    for path in dataset.missing[:1]:
        print(f"generate: {len(dataset.missing)} files are missing, such as {path}; those frames are left out")
    return dataset


if __name__ == "__main__":
    sys.exit(main())
