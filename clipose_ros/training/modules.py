"""Modules of a training run, and their construction from a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from clipose_ros.categories import CategorySet
from clipose_ros.errors import ConfigError
from clipose_ros.model.cpu_training.graph_ops import CPU_OPS
from clipose_ros.model.fusion import FusionNet
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.training.batches import TrainingData
from clipose_ros.training.clip_features import ClipFeatureProvider, create_clip_feature_provider
from clipose_ros.training.coarse_poses import CoarsePoses, load_coarse_network
from clipose_ros.training.config import TrainConfig
from clipose_ros.training.forward import Forward, across_ranks
from clipose_ros.training.losses.total import TotalLoss
from clipose_ros.training.runtime.distributed import rank_zero_first
from clipose_ros.training.runtime.precision import uses_bf16


@dataclass(frozen=True, eq=False)
class TrainingModules:
    """Modules of a run, on its device.

    Attributes:
        network: Network that is trained.
        average: Exponential moving average of the weights of ``network``.
        loss: Total loss with its auxiliary heads.
        clip_features: Provider of CLIP features; None if the recipe uses no CLIP.
        coarse: Poses that the network, a refiner, corrects; None if it poses clouds itself.
        forward: Module that maps a batch to its loss; in a run of several ranks it averages the gradients over them.
    """

    network: CLIPoseNet
    average: AveragedModel
    loss: TotalLoss
    clip_features: ClipFeatureProvider | None
    coarse: CoarsePoses | None
    forward: nn.Module

    @property
    def extras(self) -> nn.ModuleList:
        """Return the modules beside the network that may have weights; their order defines keys of the state file."""
        return nn.ModuleList([self.loss] if self.clip_features is None else [self.loss, self.clip_features])

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the trainable parameters, in the order of the optimizer's state."""
        return [p for module in (self.network, self.extras) for p in module.parameters() if p.requires_grad]

    @property
    def averaged_network(self) -> CLIPoseNet:
        """Return the network with the averaged weights, in evaluation mode."""
        network = self.average.module
        assert isinstance(network, CLIPoseNet)
        return network.eval()

    @property
    def model(self) -> CLIPoseNet:
        """Return the network that a robot runs: the averaged one, or the coarse one with it as its refiner."""
        return self.averaged_network if self.coarse is None else self.coarse.network.eval()


def create_modules(config: TrainConfig, data: TrainingData, text_folder: Path, device: str) -> TrainingModules:
    """Create the modules of a recipe, in training mode; weights are drawn from torch's global random numbers.

    Args:
        config: Recipe.
        data: Clouds of the run.
        text_folder: Folder of cached text features, unless the recipe names one.
        device: ``cpu`` or ``cuda:N``.

    Raises:
        CheckpointError: The model that a refiner corrects cannot be loaded.
        ConfigError: The weights of CLIP are not available, or text features and image tower are of different models.
            Or a refiner corrects a model of other categories.
        DataError: The file of text features is of another model, or lacks a text.
    """
    # The order of the calls is the order of the random draws, on which the results of a seed depend.
    clip_features = _create_clip_features(config, data, text_folder, device)
    ops = CPU_OPS if device == "cpu" else PYTORCH_OPS
    network = _create_network(config, data.categories, clip_features, ops).to(device).train()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay), use_buffers=True)
    loss = TotalLoss(config, network, data.categories, clip_features).to(device).train()
    coarse = _create_coarse_poses(config, data.categories, ops, device)
    forward = Forward(network, loss, clip_features, config.fusion, uses_bf16(config.precision, device))
    modules = TrainingModules(network, average, loss, clip_features, coarse, across_ranks(forward, device))
    if coarse is not None:
        coarse.network.refiner = modules.averaged_network
    return modules


def _create_clip_features(
    config: TrainConfig, data: TrainingData, text_folder: Path, device: str
) -> ClipFeatureProvider | None:
    """Create the provider of CLIP features; None if the recipe uses no CLIP."""
    if not config.with_clip:
        return None
    with rank_zero_first():  # the other ranks read the text features that rank 0 computed
        return create_clip_feature_provider(config, data.training, text_folder, device)


def _create_coarse_poses(
    config: TrainConfig, categories: CategorySet, ops: GraphOps, device: str
) -> CoarsePoses | None:
    """Load the model that a refiner corrects; None if the recipe trains no refiner."""
    if not config.refines:
        return None
    network = load_coarse_network(config.refines, ops)
    if network.categories != categories:
        raise ConfigError(
            f"'refines' names the model '{config.refines}' of {', '.join(network.categories.names)}, the clouds are of "
            f"{', '.join(categories.names)}: give a model of the same categories"
        )
    return CoarsePoses(network.to(device))


def _create_network(
    config: TrainConfig, categories: CategorySet, clip_features: ClipFeatureProvider | None, ops: GraphOps
) -> CLIPoseNet:
    """Create the network of a recipe: the deployed network, or a fusion network."""
    if config.fusion.kind == "none" or clip_features is None:
        return CLIPoseNet(config.architecture, categories, ops)
    return FusionNet(config.architecture, categories, config.fusion.kind, clip_features.width, ops)
