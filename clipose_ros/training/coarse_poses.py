"""Training batches of a refiner: clouds and truths in the frames of poses that a coarse network estimates."""

from __future__ import annotations

from dataclasses import replace

import torch

from clipose_ros.errors import ConfigError
from clipose_ros.model.checkpoint import load_checkpoint, weights_hash
from clipose_ros.model.graph import GraphOps
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.model.refinement import EstimateFrames
from clipose_ros.resources import model_path
from clipose_ros.training.batches import Batch
from clipose_ros.training.losses.pose import PoseTruth


def load_coarse_network(model: str, ops: GraphOps) -> CLIPoseNet:
    """Load the model whose poses a refiner corrects, without a refiner of its own, and without score calibration.

    Args:
        model: Name of a shipped model, or a model file.
        ops: Operations by which the network computes neighbourhoods.

    Raises:
        CheckpointError: The model cannot be loaded.
    """
    network = load_checkpoint(model_path(model), ops)
    network.refiner = network.score_calibration = None
    return network.requires_grad_(False)


class CoarsePoses:
    """Poses of a coarse network for training batches.

    Args:
        network: Coarse network, on the device of the batches.

    Attributes:
        weights: ``weights_hash`` of the network.

    Raises:
        ConfigError: The network is a refiner itself.
    """

    def __init__(self, network: CLIPoseNet) -> None:
        if network.architecture.refines:
            raise ConfigError("'refines' must name a model that poses clouds itself, got a refiner")
        self.network, self.weights = network.eval(), weights_hash(network)
        axial = [category.symmetry.axial_y for category in network.categories]
        self._axial = torch.tensor(axial, device=network.mean_sizes.device)

    @torch.no_grad()
    def to_frames(self, batch: Batch, refiner: CLIPoseNet | None = None) -> Batch:
        """Return the batch with points and truths in the frames of estimated poses.

        The coarse network sees the second half of the points first. Where clouds have more points than it uses, a
        refiner sees others than those whose noise misled the estimate. A correction on a robot sees the points of its
        first coarse pass again: by then all samples are used.

        Args:
            batch: Augmented clouds.
            refiner: Network in evaluation mode that first corrects the coarse poses, from the second quarter of the
                points on; None leaves them.
        """
        points, truth, count = batch.points, batch.truth, batch.points.shape[1]
        axial = self._axial[batch.category]
        pose = self.network(points.roll(-(count // 2), dims=1), batch.category)
        frames = EstimateFrames.from_axes(pose.axis_y, pose.axis_x, pose.translation, axial)
        if refiner is not None:
            again = refiner(frames.from_camera(points.roll(-(count // 4), dims=1)), batch.category)
            corrected = frames.pose_to_camera(again.axis_y, again.axis_x, again.translation)
            frames = EstimateFrames.from_axes(*corrected, axial)
        centre = frames.from_camera(truth.t.unsqueeze(1)).squeeze(1)
        in_frame = PoseTruth(frames.R.mT @ truth.R, centre, truth.size, truth.x_determined)
        return replace(batch, points=frames.from_camera(points), truth=in_frame)
