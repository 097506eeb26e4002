"""Category-level 6D object pose and size from RGB-D, for ROS 2 and without it.

``Predictor`` turns object clouds into poses; ``PosePipeline`` turns an ``RgbdFrame`` into poses. Both are imported
when they are first asked for: geometry and messages can be used without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipose_ros.inference.pipeline import PosePipeline
    from clipose_ros.inference.predictor import Predictor

__version__ = "0.2.0"
__all__ = ["PosePipeline", "Predictor"]

_HOMES = {"PosePipeline": "clipose_ros.inference.pipeline", "Predictor": "clipose_ros.inference.predictor"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'clipose_ros' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
