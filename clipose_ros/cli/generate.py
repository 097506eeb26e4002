"""``generate``: clouds to train on, of simulated scenes or of NOCS data."""

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

from clipose_ros.cli.option_rules import parse
from clipose_ros.data.nocs.dataset import NocsDataset
from clipose_ros.data.nocs.files import SUBSETS
from clipose_ros.data.nocs.samples import load_nocs_samples
from clipose_ros.data.synthetic.assets.mesh_index import SPLITS, read_mesh_index
from clipose_ros.data.synthetic.assets.mesh_library import MeshLibrary
from clipose_ros.data.synthetic.assets.object_library import NOCS_OBJECT_LIBRARY, ObjectLibrary, read_object_library
from clipose_ros.data.synthetic.samples import generate_samples
from clipose_ros.errors import CliposeError, ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument("--scenes", type=int, default=400, help="scenes to simulate, each seen from three places")
    parser.add_argument(
        "--seed", type=int, required=True, help="equal seeds give equal files, different seeds other scenes"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="the .npz file to write; it appears when it is whole")
    target.add_argument("--shards", type=Path, help="the folder of WebDataset shards to begin, go on with or extend")
    parser.add_argument("--workers", type=int, default=1, help="with --shards: processes")
    parser.add_argument(
        "--scenes-per-shard", type=int, default=50, help="with --shards: scenes, or frames of --nocs, in each"
    )
    parser.add_argument(
        "--image-size", type=int, default=0, help="side of an image of each object, for recipes with CLIP; 0 for none"
    )
    add_object_library_options(parser)
    add_nocs_options(parser)
    options = parse(parser, arguments, _GOES_WITH, _APART)
    cv2.setNumThreads(1)
    try:
        if options.shards is not None:
            return write_shards(options)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        if options.nocs is not None:
            samples = load_nocs_samples(nocs_of(options), options.seed, options.frames, image_side=options.image_size)
        else:
            samples = generate_samples(
                options.scenes,
                options.seed,
                object_library=object_library_from(options),
                image_side=options.image_size,
            )
        samples.save(options.out)
    except (CliposeError, OSError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = "; the same command goes on from the shards that are whole" if options.shards is not None else ""
        print(f"generate: interrupted{kept}", file=sys.stderr)
        return 130
    names = samples.categories.names
    counts = np.bincount(samples.category_index, minlength=len(names))
    print(f"{options.out}: {len(samples)} clouds: {_listed(dict(zip(names, counts, strict=True)))}")
    return 0


OBJECT_LIBRARY_GOES_WITH = dict.fromkeys(("index", "split", "mesh_share"), ("meshes",))
"""Options of ``add_object_library_options`` that mean something only beside one of these."""
_GOES_WITH = {
    **OBJECT_LIBRARY_GOES_WITH,
    **dict.fromkeys(("workers", "scenes_per_shard"), ("shards",)),
    **dict.fromkeys(("subset", "frames", "box_centred_mugs"), ("nocs",)),
}
"""Options that mean something only beside one of these."""
_APART = [(name, "nocs") for name in ("scenes", "categories", "meshes")]
"""NOCS data have their own frames, categories and objects."""


def _listed(counts: Mapping[str, int]) -> str:
    """How many clouds there are of each category."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def write_shards(options: argparse.Namespace) -> int:
    """Write into the folder of ``--shards``; returns the exit status.

    Raises:
        ConfigError: Options contradict each other, or the folder was begun otherwise.
        DataError: A shard cannot be written, or a file of the NOCS data is missing or malformed.
    """
    # these load torch, by way of webdataset
    from clipose_ros.data.nocs.scene_source import NocsFrames
    from clipose_ros.data.shards.sources import SceneSource
    from clipose_ros.data.shards.writer import generate_shards
    from clipose_ros.data.synthetic.scene_source import SimulatedScenes

    source: SceneSource
    if options.nocs is not None:
        dataset = nocs_of(options)
        source, scenes = NocsFrames(dataset, options.seed, options.image_size), len(dataset)
        scenes = min(scenes, options.frames or scenes)
    else:
        source = SimulatedScenes(
            options.seed, options.image_size, object_library_from(options), objects_record(options)
        )
        scenes = options.scenes
    tell = partial(print, flush=True)
    manifest = generate_shards(options.shards, source, scenes, options.scenes_per_shard, options.workers, tell)
    counts = {name: sum(shard.counts[name] for shard in manifest.shards) for name in manifest.categories.names}
    print(f"{options.shards}: {manifest.samples} clouds in {len(manifest.shards)} shards: {_listed(counts)}")
    return 0


def objects_record(options: argparse.Namespace) -> dict[str, str | float]:
    """What the manifest of shards says of the objects: equal options and equal files give equal records."""
    record: dict[str, str | float] = {"categories": "nocs"}
    if options.categories is not None:
        record["categories"] = hashlib.sha256(options.categories.read_bytes()).hexdigest()
    if options.meshes is not None:
        index = options.index or options.meshes / "index.csv"
        record |= {"meshes": hashlib.sha256(index.read_bytes()).hexdigest(), "split": options.split}
        record["mesh_share"] = options.mesh_share
    return record


def add_object_library_options(parser: argparse.ArgumentParser) -> None:
    """Options that say what is put on the tables; ``object_library_from`` reads them."""
    group = parser.add_argument_group("objects", "the six NOCS categories from shape generators, unless told otherwise")
    group.add_argument("--categories", type=Path, help="YAML file of categories, such as config/categories/*.yaml")
    group.add_argument("--meshes", type=Path, help="folder of meshes that take part")
    group.add_argument("--index", type=Path, help="CSV file that describes them; MESHES/index.csv if left out")
    group.add_argument("--split", choices=SPLITS[:2], default="train", help="which of the index's meshes take part")
    group.add_argument(
        "--mesh-share", type=float, default=0.5, help="share of meshes where a category also has a generator, 0 to 1"
    )


def object_library_from(options: argparse.Namespace) -> ObjectLibrary:
    """The object library that the options of ``add_object_library_options`` describe; tells of what it cannot draw.

    Raises:
        ConfigError: The categories are wrong, none can be drawn, the share is out of bounds, or an index is given
            without a folder.
        DataError: The index or a mesh is missing or wrong.
    """
    object_library = read_object_library(options.categories) if options.categories else NOCS_OBJECT_LIBRARY
    if options.meshes is not None:
        entries = read_mesh_index(options.index or options.meshes / "index.csv", options.meshes)
        library = MeshLibrary(entries, options.split, dict(object_library.size_ranges))
        object_library = replace(object_library, library=library, mesh_share=options.mesh_share)
    elif options.index is not None:
        raise ConfigError(f"--index {options.index} needs --meshes, the folder its files lie in")
    if absent := ", ".join(name for name in object_library.categories.names if name not in object_library.drawable):
        lack = (
            f"there is neither a shape nor a mesh of {absent}: name a shape in {options.categories}, or give meshes of "
            f"split '{options.split}' (--meshes)"
        )
        if not object_library.drawable:
            raise ConfigError(f"nothing can be put on a table, for {lack}")
        print(lack, file=sys.stderr)
    return object_library


def add_nocs_options(parser: argparse.ArgumentParser) -> None:
    """Options that take frames of NOCS data in place of simulated scenes; ``nocs_of`` reads them."""
    group = parser.add_argument_group("NOCS data", "real or rendered frames in place of simulated scenes")
    group.add_argument("--nocs", type=Path, help="folder of the unpacked archives")
    group.add_argument("--subset", choices=tuple(SUBSETS), default="real_train", help="part of the data")
    group.add_argument("--frames", type=int, help="frames taken, drawn at random; all if left out")
    group.add_argument(
        "--box-centred-mugs",
        action="store_true",
        help="centre mugs on their box, as simulated ones are, not on their body's axis as published methods do",
    )


def nocs_of(options: argparse.Namespace) -> NocsDataset:
    """The part of the data that the options of ``add_nocs_options`` name; tells of frames that lack files.

    Raises:
        DataError: A folder is missing, or holds no whole frame.
    """
    dataset = NocsDataset(options.nocs, options.subset, correct_mugs=not options.box_centred_mugs)
    for path in dataset.missing[:1]:
        print(f"generate: {len(dataset.missing)} files are missing, such as {path}; those frames are left out")
    return dataset


if __name__ == "__main__":
    sys.exit(main())
