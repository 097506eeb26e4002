"""``generate``: simulate clouds to train on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2

from clipose_ros.data.samples import generate_samples
from clipose_ros.errors import CliposeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="generate", description=__doc__)
    parser.add_argument("--scenes", type=int, default=400, help="scenes to simulate, each seen from three places")
    parser.add_argument(
        "--seed", type=int, required=True, help="equal seeds give equal files, different seeds other scenes"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write; it appears when it is whole")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    try:
        samples = generate_samples(options.scenes, options.seed)
        samples.save(options.out)
    except (CliposeError, OSError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {len(samples)} clouds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
