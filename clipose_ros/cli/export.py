"""``export``: write a model as an ONNX file and check it with onnxruntime."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from clipose_ros.cli.node_settings import local_model
from clipose_ros.errors import CliposeError
from clipose_ros.model.checkpoint import load_checkpoint
from clipose_ros.model.onnx_export import EQUAL, compare_onnx, export_onnx, require
from clipose_ros.resources import model_path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if not options.unchecked:
            require("onnxruntime")  # raises before the export
        source = model_path(local_model(options.model))
        network = load_checkpoint(source)
        notes = {"model": source.stem, "model_sha256": hashlib.sha256(source.read_bytes()).hexdigest()}
        export_onnx(network, options.out, options.points, notes)
        print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, any batch size, {options.points} points")
        if options.unchecked:
            return 0
        agreement = compare_onnx(network, options.out, options.points)
    except (CliposeError, OSError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    print("largest (median) difference between onnxruntime and torch over clouds in batches of 1, 3 and 8:")
    for name, values in agreement.differences.items():
        median = sorted(values)[len(values) // 2]
        print(f"  {name:13} {values.max():.1e} ({median:.1e})")
    print(f"{agreement.equal:.0%} of the clouds agree within {EQUAL:g}; the others have nearly equidistant neighbours")
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the parser of all options."""
    parser = argparse.ArgumentParser(prog="export", description=__doc__)
    parser.add_argument(
        "--model",
        default="clipose_small",
        help="Export this shipped model, .safetensors file or hf:owner/name (clipose_small).",
    )
    parser.add_argument("--out", type=Path, required=True, help="Write the ONNX network to this file.")
    parser.add_argument(
        "--points",
        type=int,
        default=1024,
        help="Export for this number of points per cloud, equal to cloud.points of the node (1024).",
    )
    parser.add_argument(
        "--unchecked", action="store_true", help="Skip the comparison of the file with the network in onnxruntime."
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
