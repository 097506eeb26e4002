"""Network for inference: from point clouds and categories to axes, translations and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipose_ros.categories import CategorySet
from clipose_ros.config import ConfigNode, option
from clipose_ros.errors import ConfigError, ShapeError
from clipose_ros.model.encoder import MIN_POINTS, Encoding, GraphEncoder
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps, use_ops
from clipose_ros.model.heads import AxisHead, CloudHead
from clipose_ros.model.ray_alignment import rotation_to_ray
from clipose_ros.model.score_calibration import ScoreCalibration


@dataclass(frozen=True)
class Architecture(ConfigNode):
    """Settings that define the network's shape; a checkpoint stores them."""

    encoder: str = option("hs", "3D encoder.", choices=("hs", "gcn3d"))
    widths: tuple[int, ...] = option((128, 128, 256, 256, 512), "Channels of the five graph layers.", low=1, high=4096)
    supports: int = option(7, "Support directions per kernel.", low=1, high=64)
    neighbours: int = option(20, "Neighbours of a point.", low=4, high=64)
    head_widths: tuple[int, ...] = option((1024, 256), "Channels of a head's two per-point layers.", low=1, high=8192)
    points: int = option(
        0,
        "Points that the network uses, the first of the cloud's random order; 0: all, as in the paper.",
        low=0,
        high=16384,
    )
    head_points: int = option(
        0,
        "Points that the heads use, the first of the network's points; 0: all, as in the paper.",
        low=0,
        high=16384,
    )
    unit_m: float = option(
        1.0,
        "Unit of length inside the network, metres: a unit near the objects' size trains faster.",
        low=1e-3,
        high=1e3,
    )
    ray_aligned: bool = option(
        False,
        "Rotate each centred cloud so that the ray through its mean is the optical axis, and the predictions back: "
        "objects beside the image centre then look like those in it.",
    )
    category_shift: bool = option(
        False, "Add a learned vector of the category to the features of every graph layer, before its normalisation."
    )
    refines: bool = option(
        False,
        "Correct an estimated pose: the network gets each cloud in the frame of that estimate, see model.refinement.",
    )
    dropout: float = option(0.2, "Probability of dropping a value before a head's last layer.", low=0.0, high=0.9)
    one_hot: bool = option(False, "Give the heads the category as a one-hot vector (Table III, D2).")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.widths) != 5 or len(self.head_widths) != 2:
            raise ConfigError(
                f"an architecture needs 5 widths and 2 head_widths, got {self.widths} and {self.head_widths}"
            )
        if self.refines and self.ray_aligned:
            raise ConfigError("'refines' and 'ray_aligned' must not both be true: a refiner gets aligned clouds")
        if self.points and (self.points % 16 or self.points < MIN_POINTS):
            raise ConfigError(f"'points' must be 0 or a multiple of 16, at least {MIN_POINTS}, got {self.points}")


_SMALL = Architecture(
    widths=(64, 64, 128, 128, 256),
    neighbours=16,
    head_widths=(128, 96),
    points=256,
    unit_m=0.1,
    dropout=0.0,
    one_hot=True,
)

PRESETS = {
    "clipose": Architecture(),
    "clipose_small": _SMALL,
    "clipose_narrow": replace(_SMALL, widths=(32, 32, 64, 64, 128), points=512, head_points=256),
    "clipose_tiny": Architecture(
        widths=(16, 16, 32, 32, 64),
        neighbours=12,
        head_widths=(64, 48),
        head_points=256,
        unit_m=0.1,
        dropout=0.0,
    ),
}
"""Architecture by name.

``clipose`` has the paper's widths. ``clipose_small`` is for two CPU cores and takes the category as a one-hot vector,
as HS-Pose does. ``clipose_narrow`` is the network that ``clipose_small`` is widened from. ``clipose_tiny`` is for
comparing recipes in minutes.
"""


@dataclass(frozen=True)
class NetworkOutput:
    """Raw predictions for a batch of clouds, camera optical frame.

    Attributes:
        axis_y: ``(B, 3)`` unit vectors, the object's y axis.
        axis_x: ``(B, 3)`` unit vectors, the object's x axis; not yet orthogonal to y.
        confidence_y: ``(B,)`` in (0, 1).
        confidence_x: ``(B,)`` in (0, 1).
        translation: ``(B, 3)`` metres, box centre.
        size: ``(B, 3)`` metres, full extent.
        encoding: Features that the predictions are computed from.
    """

    axis_y: Tensor
    axis_x: Tensor
    confidence_y: Tensor
    confidence_x: Tensor
    translation: Tensor
    size: Tensor
    encoding: Encoding


class PoseNetwork(Protocol):
    """Network that predicts poses: ``CLIPoseNet``, or a module that binds further inputs to one."""

    @property
    def categories(self) -> CategorySet:
        """Return the categories that the network was trained on."""
        ...

    def eval(self) -> PoseNetwork:
        """Switch to evaluation mode."""
        ...

    def __call__(self, points_camera: Tensor, category: Tensor) -> NetworkOutput:
        """Predict as ``CLIPoseNet.forward`` describes."""
        ...


def check_shape(shape: Sequence[int]) -> None:
    """Check that clouds are ``(B, N, 3)``, N a multiple of 16 and at least ``MIN_POINTS``.

    Raises:
        ShapeError: They have another shape.
    """
    if len(shape) != 3 or shape[2] != 3 or shape[1] % 16 or shape[1] < MIN_POINTS:
        raise ShapeError(f"points must be (B, N, 3), N a multiple of 16 and at least {MIN_POINTS}, got {tuple(shape)}")


@dataclass(frozen=True)
class CentredClouds:
    """Clouds as the encoder gets them, and how to return to the frame of the input.

    Attributes:
        points: ``(B, N, 3)`` about ``origin``, in the network's unit, turned by ``R_ray_camera``.
        origin: ``(B, 3)`` metres: the means of the clouds; for a refiner 0, the estimated centres.
        R_ray_camera: ``(B, 3, 3)`` rotation that turned them; None if the network does not align rays.
    """

    points: Tensor
    origin: Tensor
    R_ray_camera: Tensor | None

    def to_camera(self, vectors: Tensor) -> Tensor:
        """Turn vectors ``(B, 3)`` back to the camera frame."""
        return vectors if self.R_ray_camera is None else (vectors.unsqueeze(1) @ self.R_ray_camera).squeeze(1)


class CLIPoseNet(nn.Module):
    """Inference network of CLIPose: a graph encoder, two axis heads, and a translation-and-size head.

    Args:
        architecture: Shape of the network.
        categories: Categories; predicted sizes are residuals to their mean sizes.
        ops: Operations on neighbourhoods; ``cpu_training.graph_ops.CPU_OPS`` on a CPU.

    Attributes:
        score_calibration: Calibration of the scores of these weights; None if they have none.
        refiner: Network that corrects the poses of this one; None if there is none. ``forward`` does not use it.
    """

    mean_sizes: Tensor

    def __init__(self, architecture: Architecture, categories: CategorySet, ops: GraphOps = PYTORCH_OPS) -> None:
        super().__init__()
        self.architecture = architecture
        self.categories = categories
        self.score_calibration: ScoreCalibration | None = None
        self.refiner: CLIPoseNet | None = None
        w0, w1, w2, w3, w4 = architecture.widths
        wide, narrow = architecture.head_widths
        self.encoder = GraphEncoder(
            (w0, w1, w2, w3, w4), architecture.supports, architecture.neighbours, architecture.encoder == "hs", ops,
            categories=len(categories) if architecture.category_shift else 0,
        )  # fmt: skip
        channels = self.encoder.out_channels + (len(categories) if architecture.one_hot else 0)
        self.head_y = AxisHead(channels, (wide, narrow), architecture.dropout)
        self.head_x = AxisHead(channels, (wide, narrow), architecture.dropout)
        self.head_ts = CloudHead(channels + 3, (wide, narrow), out_channels=6, dropout=architecture.dropout)
        # Not persistent: a checkpoint stores the sizes with its categories.
        self.register_buffer("mean_sizes", torch.from_numpy(categories.mean_sizes), persistent=False)

    def forward(self, points_camera: Tensor, category: Tensor) -> NetworkOutput:
        """Predict axes, translation and size.

        Args:
            points_camera: ``(B, N, 3)`` float32, metres, camera optical frame, in random order; N a multiple of 16, at
                least 128. A refiner gets and predicts in the frames of the estimated poses instead.
            category: ``(B,)`` int64, index of each object's category in the category set.

        Raises:
            ShapeError: The points have another shape.
        """
        clouds = self.centre(points_camera)
        return self.read(self.encoder(clouds.points, category), clouds, category)

    def use_ops(self, ops: GraphOps) -> None:
        """Compute neighbourhoods by ``ops`` from now on. Weights stay as they are."""
        use_ops(self, ops)

    def centre(self, points_camera: Tensor) -> CentredClouds:
        """Centre the points that the network uses about their mean, and align them if the architecture says so."""
        check_shape(points_camera.shape)
        points = points_camera[:, : self.architecture.points or None]
        if self.architecture.refines:  # the estimated centre says more than the mean of the visible points
            return CentredClouds(points / self.architecture.unit_m, torch.zeros_like(points[:, 0]), None)
        # Axes and sizes then do not depend on the position; the mean is added to the predicted centre again.
        mean = points.mean(dim=1, keepdim=True)
        centred = (points - mean) / self.architecture.unit_m
        if not self.architecture.ray_aligned:
            return CentredClouds(centred, mean.squeeze(1), None)
        # In float32 under autocast, too: a rotation in bfloat16 would move points by millimetres.
        with torch.autocast(centred.device.type, enabled=False):
            R_ray_camera = rotation_to_ray(mean.squeeze(1))
            return CentredClouds(centred @ R_ray_camera.mT, mean.squeeze(1), R_ray_camera)

    def read(self, encoding: Encoding, clouds: CentredClouds, category: Tensor) -> NetworkOutput:
        """Predict axes, translation and size from an encoding.

        Args:
            encoding: Encoding of the centred clouds.
            clouds: Centred clouds.
            category: ``(B,)`` int64, indices of the categories.
        """
        centred = clouds.points
        unit = self.architecture.unit_m
        count = self.architecture.head_points or centred.shape[1]
        features, coordinates = encoding.first(count), centred[:, :count]
        one_hot: Tensor | None = None
        if self.architecture.one_hot:
            one_hot = F.one_hot(category, len(self.categories)).to(centred.dtype).unsqueeze(1)
        axis_y, confidence_y = self.head_y.axis(features, one_hot)
        axis_x, confidence_x = self.head_x.axis(features, one_hot)
        # Only the translation head needs coordinates: the centre is relative to the points, an axis is not.
        extra = coordinates
        if one_hot is not None:
            extra = torch.cat([coordinates, one_hot.expand(-1, coordinates.shape[1], -1)], dim=-1)
        residual = self.head_ts(features, extra)
        return NetworkOutput(
            clouds.to_camera(axis_y), clouds.to_camera(axis_x), confidence_y, confidence_x,
            translation=clouds.to_camera(residual[:, :3]) * unit + clouds.origin,
            size=residual[:, 3:] * unit + self.mean_sizes[category],
            encoding=encoding,
        )  # fmt: skip
