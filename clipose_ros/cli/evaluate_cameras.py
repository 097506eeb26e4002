"""``evaluate_cameras``: measure what further cameras add on simulated tables: objects found, and accuracy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from clipose_ros.cli.node_settings import NETWORK_OPTIONS, TTA_OPTIONS, network_config
from clipose_ros.config import PoseNodeConfig
from clipose_ros.errors import CliposeError
from clipose_ros.evaluation.runs.camera_scenes import evaluate_cameras, sum_counts
from clipose_ros.evaluation.runs.grasp_scenes import grasp_pipeline

_HEAD = (
    "cameras",
    "objects",
    "found",
    "position, median",
    "position, 90 %",
    "rotation, median",
    "rotation, 90 %",
    "extra",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        pipeline = grasp_pipeline(replace(PoseNodeConfig(), network=network_config(options)))
        counts = sum_counts(list(evaluate_cameras(options.scenes, options.seed, options.cameras, pipeline)))
    except (CliposeError, OSError) as error:
        print(f"evaluate_cameras: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evaluate_cameras: interrupted", file=sys.stderr)
        return 130
    rows = [_HEAD, ["---"] * len(_HEAD)]
    for each in counts:
        position_mm, axis_deg = (
            [
                f"{value:.1f} {unit}"
                for value in np.percentile(np.array(values) * factor if values else [np.nan], [50, 90])
            ]
            for values, factor, unit in ((each.position_m, 1e3, "mm"), (each.axis_deg, 1.0, "°"))
        )
        rows.append(
            [
                str(each.cameras),
                str(each.objects),
                f"{100 * each.recall:.1f} %",
                *position_mm,
                *axis_deg,
                str(each.extra),
            ]
        )
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate_cameras", description=__doc__)
    add = parser.add_argument
    add("--scenes", type=int, default=50, metavar="N", help="Simulate this many tables (50).")
    add("--seed", type=int, default=0, metavar="N", help="Draw other tables (0).")
    add("--cameras", type=int, default=3, metavar="N", help="Stand up to this many cameras around each table (3).")
    add("--model", help="Estimate the poses with this model.")
    parser.set_defaults(**{name: None for name in (*NETWORK_OPTIONS, *TTA_OPTIONS) if name != "model"})
    return parser


if __name__ == "__main__":
    sys.exit(main())
