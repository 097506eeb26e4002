"""Pose prediction by a fusion network on stored clouds (Table VI).

The second modality at inference is the image of the object or the text of its category without pose.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from clipose_ros.data.samples import CloudSamples
from clipose_ros.inference.engines.pytorch import PytorchEngine
from clipose_ros.inference.predictor import Predictor
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.network import NetworkOutput
from clipose_ros.training.batches import image_batch
from clipose_ros.training.clip_features import ClipFeatureProvider
from clipose_ros.types import ByteArray, PoseEstimate


class _ConditionedNetwork(nn.Module):
    """Fusion network bound to the second modality's features of one batch."""

    def __init__(self, network: FusionNet, other: Tensor) -> None:
        super().__init__()
        self.network, self.other, self.categories = network, other, network.categories

    def forward(self, points: Tensor, category: Tensor) -> NetworkOutput:
        return self.network(points, category, self.other)


class FusionPredictor:
    """Predictor of the poses of stored clouds.

    Args:
        network: Network in evaluation mode.
        source: Provider of text features and image tower.
        samples: Stored clouds.
        images: Images of the clouds if the second modality is the image; None if it is the text.
        device: Device of network and features.
    """

    def __init__(
        self,
        network: FusionNet,
        source: ClipFeatureProvider,
        samples: CloudSamples,
        images: ByteArray | None,
        device: str,
    ) -> None:
        self._network, self._source, self._samples = network, source, samples
        self._images, self._device = images, device

    def __call__(self, rows: slice) -> list[PoseEstimate]:
        """Predict the poses of the clouds of a slice."""
        index = self._samples.category_index[rows]
        with torch.inference_mode():
            if self._images is None or self._source.tower is None:
                other = self._source.category_text()[torch.from_numpy(index).to(self._device)]
            else:
                other = self._source.tower(image_batch(self._images[rows]).to(self._device))
        network = _ConditionedNetwork(self._network, other)
        names = [self._samples.categories.names[kind] for kind in index]
        return Predictor(PytorchEngine(network, self._device)).predict(
            self._samples.points[rows].astype(np.float32), names
        )
