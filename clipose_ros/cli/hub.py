"""``hub``: download a pose model from the Hugging Face Hub, or upload one.

A model is hf:owner/name, or hf:owner/name@revision for a branch, a tag or a commit. HF_ENDPOINT, HF_HOME and HF_TOKEN
hold, as for every program that uses huggingface_hub. A downloaded file is checked before it is kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clipose_ros.atomic_files import write_atomically
from clipose_ros.errors import CliposeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _download(options) if options.verb == "download" else _push(options)
    except (CliposeError, OSError) as error:
        print(f"hub: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hub: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hub", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    download = verbs.add_parser("download", help="Download a model, check it, and write it to a file.")
    download.add_argument("name", metavar="NAME", help="Download this model, hf:owner/name or hf:owner/name@revision.")
    download.add_argument("--out", type=Path, required=True, metavar="FILE", help="Write this .safetensors file.")
    push = verbs.add_parser("push", help="Upload a model; without --public a new repository is private.")
    push.add_argument("file", type=Path, metavar="FILE", help="Upload this .safetensors file.")
    push.add_argument("name", metavar="NAME", help="Upload to hf:owner/name, or to a branch hf:owner/name@branch.")
    push.add_argument("--card", type=Path, metavar="FILE", help="Upload this Markdown file as the model card.")
    push.add_argument("--public", action="store_true", help="Create a missing repository as a public one.")
    return parser


def _download(options: argparse.Namespace) -> int:
    """Download the model, check it, and copy it out of the cache."""
    from clipose_ros.model.checkpoint import load_checkpoint  # imports torch, which --help does not need
    from clipose_ros.model.hub import HubName, resolve_model

    path = Path(resolve_model(str(HubName.parse(options.name))))
    network = load_checkpoint(path)
    write_atomically(options.out, [path.read_bytes()])
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {', '.join(network.categories.names)}")
    print(f"pinned name: {HubName(HubName.parse(options.name).repository, path.parent.name)}")
    return 0


def _push(options: argparse.Namespace) -> int:
    """Upload the model and print its pinned name."""
    from clipose_ros.model.hub import HubName, push_model

    print(push_model(options.file, HubName.parse(options.name), options.card, options.public))
    return 0


if __name__ == "__main__":
    sys.exit(main())
