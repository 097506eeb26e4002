"""``generate``: simulate clouds to train on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from clipose_ros.data.catalogue import NOCS_CATALOGUE, Catalogue, read_catalogue
from clipose_ros.data.mesh_index import SPLITS, read_mesh_index
from clipose_ros.data.meshes import MeshLibrary
from clipose_ros.data.samples import generate_samples
from clipose_ros.errors import CliposeError, ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument("--scenes", type=int, default=400, help="scenes to simulate, each seen from three places")
    parser.add_argument(
        "--seed", type=int, required=True, help="equal seeds give equal files, different seeds other scenes"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write; it appears when it is whole")
    parser.add_argument(
        "--image-size", type=int, default=0, help="side of an image of each object, for recipes with CLIP; 0 for none"
    )
    add_catalogue_options(parser)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        samples = generate_samples(
            options.scenes, options.seed, catalogue=catalogue_of(options), image_side=options.image_size
        )
        samples.save(options.out)
    except (CliposeError, OSError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(samples)} clouds")
    return 0


def add_catalogue_options(parser: argparse.ArgumentParser) -> None:
    """Options that say what is put on the tables; ``catalogue_of`` reads them."""
    group = parser.add_argument_group("objects", "the six NOCS categories from shape generators, unless told otherwise")
    group.add_argument("--categories", type=Path, help="YAML file of categories, such as config/categories/*.yaml")
    group.add_argument("--meshes", type=Path, help="folder of meshes that take part")
    group.add_argument("--index", type=Path, help="CSV file that describes them; MESHES/index.csv if left out")
    group.add_argument("--split", choices=SPLITS[:2], default="train", help="which of the index's meshes take part")
    group.add_argument(
        "--mesh-share", type=float, default=0.5, help="share of meshes where a category also has a generator, 0 to 1"
    )


def catalogue_of(options: argparse.Namespace) -> Catalogue:
    """The catalogue that the options of ``add_catalogue_options`` describe.

    Raises:
        ConfigError: The categories are wrong, the share is out of bounds, or an index is given without a folder.
        DataError: The index or a mesh is missing or wrong.
    """
    catalogue = read_catalogue(options.categories) if options.categories else NOCS_CATALOGUE
    if options.meshes is None:
        if options.index is not None:
            raise ConfigError(f"--index {options.index} needs --meshes, the folder its files lie in")
        return catalogue
    entries = read_mesh_index(options.index or options.meshes / "index.csv", options.meshes)
    library = MeshLibrary(entries, options.split, dict(catalogue.size_ranges))
    return replace(catalogue, library=library, mesh_share=options.mesh_share)


if __name__ == "__main__":
    sys.exit(main())
