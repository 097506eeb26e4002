"""Estimation of the category-level 6D pose and size of objects from RGB-D images, with or without ROS 2.

``Predictor`` estimates poses from object clouds, ``PosePipeline`` from an ``RgbdFrame``. Both are imported on first
access, so that geometry and messages can be used without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clipose_ros.inference.pipeline import PosePipeline
    from clipose_ros.inference.predictor import Predictor

__version__ = "0.2.0"
__all__ = ["PosePipeline", "Predictor"]

_MODULES = {"PosePipeline": "clipose_ros.inference.pipeline", "Predictor": "clipose_ros.inference.predictor"}


def __getattr__(name: str) -> Any:
    """Import ``PosePipeline`` or ``Predictor`` on first access."""
    if name not in _MODULES:
        raise AttributeError(f"module 'clipose_ros' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)
