"""``doctor``: check the installation, the middleware and the camera, and tell what to do.

Listens to the topics of the pose node: rgb/image_rect_color, depth_registered/image_rect and rgb/camera_info. Other
names are given by remapping, after --ros-args: -r rgb/image_rect_color:=/camera/color/image_raw.
The exit status is 0 if all is well, 1 if a problem was found, and 2 if something could not be checked.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from clipose_ros.cli.node_settings import read_parameters
from clipose_ros.config import PoseNodeConfig, nest
from clipose_ros.doctor.installation import (
    check_detector,
    check_gpu,
    check_models,
    check_packages,
    check_python,
    has_module,
)
from clipose_ros.doctor.middleware import (
    SOURCE_ROS,
    check_distribution,
    check_middleware,
    check_shared_memory,
    find_rclpy_fault,
)
from clipose_ros.doctor.row import EXIT_STATUS, Check, Row, State, run_checks, worst_state
from clipose_ros.errors import CliposeError
from clipose_ros.resources import config_path
from clipose_ros.ros.main import find_memory_fault

_ROS_ARGUMENTS = "--ros-args"
_WIDTH = 118
_CHECK_WIDTH = 26


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    place = given.index(_ROS_ARGUMENTS) if _ROS_ARGUMENTS in given else len(given)
    options = _parser().parse_args(given[:place])  # without rclpy, which may be missing
    try:
        config = _config(options)
    except CliposeError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return EXIT_STATUS[State.PROBLEM]
    rows = []
    try:
        for row in run_checks(_checks(options, given[place:], config)):
            rows.append(row)
            if not options.json:
                print("\n".join(_format(row)), flush=True)
    except KeyboardInterrupt:
        print("doctor: interrupted", file=sys.stderr)
        return 130
    worst = worst_state(rows)
    if options.json:
        print(json.dumps({"state": worst.value, "checks": [row.to_json() for row in rows]}, indent=1))
    else:
        counts = {state: sum(row.state is state for row in rows) for state in State}
        print(", ".join(f"{count} {state.value}" for state, count in counts.items()))
    return EXIT_STATUS[worst]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--json", action="store_true", help="Print one JSON object instead of the table.")
    add("--seconds", type=_parse_seconds, default=5.0, metavar="S", help="Listen to the camera for this time (5).")
    add("--no-camera", action="store_true", help="Do not check the topics.")
    add("--compressed", action="store_true", help="Subscribe to rgb/image_rect_color/compressed.")
    add(
        "--params",
        type=Path,
        metavar="FILE",
        help="Check model, detector and frames of this parameter file of the node.",
    )
    return parser


def _parse_seconds(text: str) -> float:
    """Parse a time of 0.5 to 3600 seconds."""
    value = float(text)
    if not (math.isfinite(value) and 0.5 <= value <= 3600.0):
        raise argparse.ArgumentTypeError(f"expected 0.5 to 3600 seconds, got {text}")
    return value


def _config(options: argparse.Namespace) -> PoseNodeConfig:
    """Return the settings of the parameter file; without one, those of the shipped detector."""
    config = PoseNodeConfig.from_mapping(nest(read_parameters(options.params or config_path("detector.yaml"))))
    return replace(config, sync=replace(config.sync, compressed=options.compressed or config.sync.compressed))


def _checks(
    options: argparse.Namespace, ros_arguments: Sequence[str], config: PoseNodeConfig
) -> list[tuple[str, Check]]:
    checks: list[tuple[str, Check]] = [
        ("python", check_python),
        ("distribution", check_distribution),
        ("rmw", check_middleware),
        ("shared memory", check_shared_memory),
        ("packages", check_packages),
        ("gpu", check_gpu),
        ("models", partial(check_models, config)),
        ("detector", partial(check_detector, config)),
    ]
    if not options.no_camera:
        checks.append(("camera", partial(_check_camera, ros_arguments, options.seconds, config)))
    return checks


def _check_camera(arguments: Sequence[str], seconds: float, config: PoseNodeConfig) -> Iterator[Row]:
    if not has_module("rclpy"):
        yield Row("camera", State.UNKNOWN, "no rclpy", SOURCE_ROS)
        return
    fault = find_rclpy_fault() or find_memory_fault()
    if fault is not None:  # rcl or Fast DDS would end this process
        yield Row("camera", State.UNKNOWN, fault, "mend what the rows above name first")
        return
    from clipose_ros.doctor.camera import check_camera

    yield from check_camera(arguments, seconds, config)


def _format(row: Row) -> list[str]:
    """Return the lines of a row of the table: state, check, what was found, and below it what to do."""
    head, indent = f"{row.state.value:<12}{row.check:<{_CHECK_WIDTH}} ", " " * (13 + _CHECK_WIDTH)
    found = textwrap.wrap(row.found, _WIDTH - len(indent)) or [""]
    lines = [head.rstrip(), f"{indent}{found[0]}"] if len(head) > len(indent) else [head + found[0]]
    lines += [indent + line for line in found[1:]]
    return lines + textwrap.wrap(row.advice, _WIDTH, initial_indent=f"{indent}→ ", subsequent_indent=f"{indent}  ")


if __name__ == "__main__":
    sys.exit(main())
