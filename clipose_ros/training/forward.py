"""From a batch to its loss: the one call that every process of a run makes in step with the others."""

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
    """Network, companions and objective as one module.

    Args:
        network: What is trained.
        objective: What it is told.
        clip_features: Texts and images, where they take part.
        fusion: What a fusion network sees of them.
        autocast_bf16: Whether networks, heads and companions multiply in bfloat16; losses never do.
    """

    def __init__(
        self,
        network: CLIPoseNet,
        objective: TotalLoss,
        clip_features: ClipFeatureProvider | None,
        fusion: FusionConfig,
        autocast_bf16: bool,
    ) -> None:
        super().__init__()
        self.network, self.objective, self.clip_features, self.fusion = network, objective, clip_features, fusion
        self.autocast_bf16 = autocast_bf16

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss and its terms."""
        with torch.autocast(batch.points.device.type, torch.bfloat16, enabled=self.autocast_bf16):
            clip_features = None if self.clip_features is None else self.clip_features(batch)
            output = self._output(batch, clip_features)
            auxiliary = self.objective.predict_auxiliary(batch, output)
        return self.objective(batch, *(to_float32(value) for value in (output, auxiliary, clip_features)))

    def _output(self, batch: Batch, clip_features: ClipFeatures | None) -> NetworkOutput:
        """Return the output of the network; a fusion network also gets the features of the other modality."""
        if clip_features is None or self.fusion.kind == "none":
            return self.network(batch.points, batch.category)
        other = clip_features.image if self.fusion.modality == "image" else clip_features.text
        return self.network(batch.points, batch.category, other)


class JointPointNorm(nn.SyncBatchNorm):
    """``PointNorm`` over the joint batch."""

    def forward(self, features: Tensor) -> Tensor:
        """``(B, N, C)`` to the same."""
        return super().forward(features.flatten(0, 1)).reshape(features.shape)


def join_norms(module: nn.Module) -> None:
    """Let every batch norm below a module see the joint batch; parameters and statistics stay the same objects."""
    for name, child in module.named_children():
        join_norms(child)
        if isinstance(child, nn.BatchNorm1d):
            kind = JointPointNorm if isinstance(child, PointNorm) else nn.SyncBatchNorm
            joint = kind(child.num_features, child.eps, child.momentum).train(child.training)
            for key, value in (*child.named_parameters(), *child.named_buffers()):
                setattr(joint, key, value)
            setattr(module, name, joint)


def across_ranks(forward: Forward, device: str) -> nn.Module:
    """Return the same module, whose gradients are averaged over the ranks; on CUDA batch norms see the joint batch."""
    if rank_and_size()[1] == 1:
        return forward
    if device.startswith("cuda"):
        join_norms(forward)
    return nn.parallel.DistributedDataParallel(forward, forward_sync_buffers=False, find_unused_parameters=True)


def over_ranks(total: Tensor, terms: dict[str, float]) -> tuple[Tensor, dict[str, float]]:
    """Loss and terms of the joint batch, without gradient; not finite on all ranks where it is so on one."""
    if rank_and_size()[1] == 1:
        return total.detach(), terms
    values = torch.tensor([*terms.values()], dtype=total.dtype, device=total.device)
    joint = joint_mean(torch.cat([total.detach().reshape(1), values]))
    return joint[0], dict(zip(terms, joint[1:].tolist(), strict=True))
