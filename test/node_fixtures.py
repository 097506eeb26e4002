"""Fixtures of ``test/ros`` for other folders: a helper node, a camera, and a pose node without weights, over DDS."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("ros_conftest", Path(__file__).parent / "ros" / "conftest.py")
_MODULE = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = _MODULE
_SPEC.loader.exec_module(_MODULE)

ros_context, ros, camera, start_node = _MODULE.ros_context, _MODULE.ros, _MODULE.camera, _MODULE.start_node
