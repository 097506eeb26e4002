"""``view``: show the objects of a running pose node in the browser.

The page has the point cloud, boxes, axes, labels, uncertainty and history of the objects, the annotated image, rejected
objects with the reason, rates and latencies, and the parameters that can change at run time. Open the address that the
command prints. The camera topics are those of the pose node; other names are given by remapping, after --ros-args:
-r rgb/image_rect_color:=/camera/color/image_raw.
With --bag, the page shows the frames of a recording by a time slider; no node is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from clipose_ros.cli.subprocesses import ended_by_signals
from clipose_ros.errors import CliposeError, ConfigError, one_line

ADDRESS_LINE = "view: open"
"""Start of the line that names the address of the page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command until Ctrl-C and return the exit status."""
    from rclpy.utilities import remove_ros_args

    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(remove_ros_args(given))
    try:
        if options.poses is not None and options.bag is None:
            raise ConfigError("--poses needs --bag, the recording with the images")
        return _run(options, given) if options.bag is None else _show_recording(options)
    except (CliposeError, OSError) as error:
        print(f"view: {one_line(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="view", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--node", default="pose_node", metavar="NAME", help="Show the pose node of this name (pose_node).")
    add(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="Listen on this address of the machine; any but a loopback address needs the printed token (127.0.0.1).",
    )  # fmt: skip
    add("--port", type=int, default=8080, metavar="N", help="Listen on this port; 0 takes any free one (8080).")
    add("--compressed", action="store_true", help="Subscribe to rgb/image_rect_color/compressed.")
    add = parser.add_argument_group("recording").add_argument
    add("--bag", type=Path, metavar="FILE", help="Show this recording: an .mcap, .db3 or .bag file, or a folder.")
    add(
        "--poses", type=Path, metavar="FILE",
        help="Show the poses in this recording, such as poses/ of `process`; without it, those that --bag holds.",
    )  # fmt: skip
    return parser


def _run(options: argparse.Namespace, given: list[str]) -> int:
    from clipose_ros.ros.node_process import run_node  # imports ROS, which --help does not need
    from clipose_ros.ros_tools.view.server import ViewServer
    from clipose_ros.ros_tools.view.view_node import ViewConfig, ViewNode

    server = ViewServer(options.host, options.port)
    print(f"{ADDRESS_LINE} {server.url}", flush=True)
    try:
        return run_node(partial(ViewNode, server, ViewConfig(options.node, options.compressed)), given)
    finally:
        server.stop()


def _show_recording(options: argparse.Namespace) -> int:
    """Read the recording, which can be looked at meanwhile, and serve the page until Ctrl-C."""
    from clipose_ros.ros_tools.view.bag_view import BagView, load_frames
    from clipose_ros.ros_tools.view.server import ViewServer

    server = ViewServer(options.host, options.port)
    with ended_by_signals(), contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        print(f"{ADDRESS_LINE} {server.url}", flush=True)
        view = BagView(server)
        load_frames(options.bag, options.poses, view, lambda line: print(f"view: {line}", file=sys.stderr))
        print(f"view: {len(view.frames)} frames of '{options.bag}'; Ctrl-C ends", flush=True)
        threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
