"""The fixtures of ``test/ros``: a helper node, a camera, and a pose node without weights, over DDS."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_PATH = Path(__file__).resolve().parents[1] / "ros" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("ros_fixtures", _PATH)
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)

ros_context, ros, camera, start_node = _MODULE.ros_context, _MODULE.ros, _MODULE.camera, _MODULE.start_node
