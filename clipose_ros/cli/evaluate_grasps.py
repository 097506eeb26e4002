"""``evaluate_grasps``: measure how many grasps of grasp_node succeed on simulated tables.

A grasp succeeds if the space between the fingers contains the surface of its object, and fingers and palm touch
nothing on their way from the pre-grasp. The best grasp of each visible object counts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clipose_ros.cli.node_settings import NETWORK_OPTIONS, TTA_OPTIONS, network_config
from clipose_ros.config import PoseNodeConfig
from clipose_ros.errors import CliposeError
from clipose_ros.evaluation.metrics.grasp_success import GraspCounts, GraspOutcome
from clipose_ros.evaluation.runs.grasp_scenes import evaluate_grasps, grasp_pipeline, sum_outcomes
from clipose_ros.manipulation.grasp_planner import GraspLimits
from clipose_ros.manipulation.grasp_rules import GraspRules
from clipose_ros.resources import config_path

_FAILURES = (GraspOutcome.EMPTY, GraspOutcome.HITS_OBJECT, GraspOutcome.HITS_NEIGHBOUR, GraspOutcome.HITS_TABLE)
_HEAD = (
    "category",
    "objects",
    "with a grasp",
    "success",
    *(outcome.name.lower().replace("_", " ") for outcome in _FAILURES),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        rules = GraspRules.load(options.grasps or config_path("grasps.yaml"))
        limits = replace(GraspLimits(), min_score=options.min_score)
        for poses in ("true", "estimated") if options.poses == "both" else (options.poses,):
            config = replace(PoseNodeConfig(), network=network_config(options))
            pipeline = None if poses == "true" else grasp_pipeline(config)
            results = list(evaluate_grasps(options.scenes, options.seed, rules, limits, pipeline))
            print(f"{poses} poses, {options.scenes} scenes\n\n{_table(sum_outcomes(results))}\n", flush=True)
    except (CliposeError, OSError) as error:
        print(f"evaluate_grasps: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evaluate_grasps: interrupted", file=sys.stderr)
        return 130
    return 0


def _table(counts: Mapping[str, GraspCounts]) -> str:
    """Return a Markdown table of the counts, with a row for all categories."""
    everything = GraspCounts(tuple(outcome for each in counts.values() for outcome in each.outcomes))
    rows = [_HEAD, ["---"] * len(_HEAD)]
    for name, each in [*counts.items(), ("all", everything)]:
        share = f"{100 * each.success:.1f} %" if each.proposed else "–"
        failures = (str(each.count(outcome)) for outcome in _FAILURES)
        rows.append([name, str(each.objects), str(each.proposed), share, *failures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate_grasps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scenes", type=int, default=200, metavar="N", help="Simulate this many tables (200).")
    add("--seed", type=int, default=0, metavar="N", help="Draw other tables (0).")
    add("--poses", choices=("true", "estimated", "both"), default="both", help="Plan with these poses (both).")
    add("--grasps", type=Path, metavar="FILE", help="Use these rules (config/grasps.yaml).")
    add("--min-score", type=float, default=0.0, metavar="S", help="Drop grasps with a lower score (0).")
    add("--model", help="Estimate the poses with this model.")
    parser.set_defaults(**{name: None for name in (*NETWORK_OPTIONS, *TTA_OPTIONS) if name != "model"})
    return parser


if __name__ == "__main__":
    sys.exit(main())
