"""Forward pass of a training step: from a batch to its loss, in every process of a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clipose_ros.model.encoder import PointNorm
from clipose_ros.model.network import CLIPoseNet, NetworkOutput
from clipose_ros.training.batches import Batch
from clipose_ros.training.clip_features import ClipFeatureProvider, ClipFeatures
from clipose_ros.training.config import FusionConfig
from clipose_ros.training.losses.total import TotalLoss
from clipose_ros.training.runtime.distributed import joint_mean, rank_and_size
from clipose_ros.training.runtime.precision import to_float32


class Forward(nn.Module):
    """Network, CLIP features and loss as one module.

    Args:
        network: Network that is trained.
        loss: Total loss.
        clip_features: Provider of CLIP features; None if the recipe uses no CLIP.
        fusion: Fusion of the second modality in the network.
        autocast_bf16: Compute matrix products of networks and heads in bfloat16; losses stay in float32.
    """

    def __init__(
        self,
        network: CLIPoseNet,
        loss: TotalLoss,
        clip_features: ClipFeatureProvider | None,
        fusion: FusionConfig,
        autocast_bf16: bool,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.clip_features, self.fusion = network, loss, clip_features, fusion
        self.autocast_bf16 = autocast_bf16

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and its terms."""
        with torch.autocast(batch.points.device.type, torch.bfloat16, enabled=self.autocast_bf16):
            clip_features = None if self.clip_features is None else self.clip_features(batch)
            output = self._output(batch, clip_features)
            auxiliary = self.loss.predict_auxiliary(batch, output)
        return self.loss(batch, *(to_float32(value) for value in (output, auxiliary, clip_features)))

    def _output(self, batch: Batch, clip_features: ClipFeatures | None) -> NetworkOutput:
        """Return the output of the network; a fusion network also gets the features of the other modality."""
        if clip_features is None or self.fusion.kind == "none":
            return self.network(batch.points, batch.category)
        other = clip_features.image if self.fusion.modality == "image" else clip_features.text
        return self.network(batch.points, batch.category, other)


class JointPointNorm(nn.SyncBatchNorm):
    """``PointNorm`` over the joint batch of all ranks."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalise ``(B, N, C)``."""
        return super().forward(features.flatten(0, 1)).reshape(features.shape)


def join_norms(module: nn.Module) -> None:
    """Replace every batch norm inside a module by one over the joint batch, with the same parameters and statistics."""
    for name, child in module.named_children():
        join_norms(child)
        if isinstance(child, nn.BatchNorm1d):
            module.register_module(name, _make_joint_norm(child))


def _make_joint_norm(norm: nn.BatchNorm1d) -> nn.SyncBatchNorm:
    """Create a norm over the joint batch that holds the parameters and statistics of another norm, not copies."""
    kind = JointPointNorm if isinstance(norm, PointNorm) else nn.SyncBatchNorm
    joint = kind(norm.num_features, norm.eps, norm.momentum).train(norm.training)
    joint.weight, joint.bias = norm.weight, norm.bias
    joint.running_mean, joint.running_var = norm.running_mean, norm.running_var
    joint.num_batches_tracked = norm.num_batches_tracked
    return joint


def across_ranks(forward: Forward, device: str) -> nn.Module:
    """Return the module so that gradients are averaged over the ranks; on CUDA batch norms use the joint batch."""
    if rank_and_size()[1] == 1:
        return forward
    if device.startswith("cuda"):
        join_norms(forward)
    return nn.parallel.DistributedDataParallel(forward, forward_sync_buffers=False, find_unused_parameters=True)


def over_ranks(total: Tensor, terms: dict[str, float]) -> tuple[Tensor, dict[str, float]]:
    """Compute loss and terms of the joint batch, without gradient; a value that is not finite spreads to all ranks."""
    if rank_and_size()[1] == 1:
        return total.detach(), terms
    values = torch.tensor([*terms.values()], dtype=total.dtype, device=total.device)
    joint = joint_mean(torch.cat([total.detach().reshape(1), values]))
    return joint[0], dict(zip(terms, joint[1:].tolist(), strict=True))
