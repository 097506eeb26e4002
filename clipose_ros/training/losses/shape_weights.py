"""Weights of the loss terms on points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipose_ros.config import ConfigNode, option
from clipose_ros.model.reconstruction import WIDTHS
from clipose_ros.model.voting import WIDTHS as FACE_WIDTHS


@dataclass(frozen=True)
class ShapeWeights(ConfigNode):
    """Weights of the terms on points; all disabled by default. In parentheses: the values of GPV-Pose for its terms."""

    symmetry: float = option(0.0, "Reconstruction of the counterpart, Eq. (13) (1).", low=0.0)
    point_matching: float = option(0.0, "The cloud in the object's frame by both poses (2).", low=0.0)
    box_matching: float = option(0.0, "Distances to the faces of both boxes (1).", low=0.0)
    face_normal: float = option(0.0, "1 - cosine of the voted normals (3).", low=0.0)
    face_distance: float = option(0.0, "L1 of the voted distances (3).", low=0.0)
    face_confidence: float = option(0.0, "L1 of the votes' confidences (1).", low=0.0)
    voting: float = option(0.0, "Voted faces against the true ones (1).", low=0.0)
    box_rotation: float = option(0.0, "Voted normals against the predicted axes (1).", low=0.0)
    box_translation: float = option(0.0, "Predicted centre against the voted faces (1).", low=0.0)
    box_size: float = option(0.0, "Predicted size against the voted faces (1).", low=0.0)
    box_self: float = option(0.0, "Opposite voted faces are parallel (1).", low=0.0)
    coordinates: float = option(0.0, "Object coordinates of each point.", low=0.0)
    relations: float = option(0.0, "Distances between points, by their object coordinates and as measured.", low=0.0)
    symmetry_widths: tuple[int, ...] = option(WIDTHS, "Layers of the reconstruction head.", low=1, high=8192)
    face_widths: tuple[int, ...] = option(FACE_WIDTHS, "Layers of the voting head.", low=1, high=8192)

    coordinate_widths: tuple[int, ...] = option((128, 64), "Layers of the coordinate head.", low=1, high=8192)

    def is_enabled(self, names: Sequence[str]) -> bool:
        """Return True if any of the named terms has a weight."""
        return any(getattr(self, name) > 0.0 for name in names)
