"""Import of HS-Pose's published weights; its network is the same function with other names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CheckpointError
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.network import Architecture, CLIPoseNet

_PREFIXES = ("module.", "posenet.")  # of parallel training, and of the whole model around the network
_HEADS = {"rot_green": "head_y", "rot_red": "head_x", "ts": "head_ts"}
_HEAD_LAYERS = {"conv1": "point1", "conv2": "point2", "conv3": "cloud1", "conv4": "cloud2"}


def import_hs_pose(state_dict: Mapping[str, Tensor], ops: GraphOps = PYTORCH_OPS) -> CLIPoseNet:
    """Create a network from an HS-Pose state dict.

    Weights that only training uses (reconstruction and voting) are left out.

    Args:
        state_dict: Weights by HS-Pose's names: ``face_recon.…``, ``rot_green.…``, ``rot_red.…``, ``ts.…``, with or
            without ``posenet.`` and ``module.`` before them; six categories as a one-hot vector.
        ops: Operations on neighbourhoods.

    Returns:
        A network in evaluation mode for the NOCS categories.

    Raises:
        CheckpointError: A weight is missing or has another shape; the message names it.
    """
    given = {_strip_prefixes(name): tensor.detach().to("cpu", torch.float32) for name, tensor in state_dict.items()}
    # The file has no record of the architecture; the shapes of its weights determine it.
    w = [_get_weight(given, f"face_recon.conv_{i}.STE_layer.weight").shape[0] for i in range(5)]
    supports = _get_weight(given, "face_recon.conv_0.directions").shape[-1] // w[0]
    heads = tuple(_get_weight(given, f"rot_green.{layer}.weight").shape[0] for layer in ("conv1", "conv2"))
    architecture = Architecture(widths=tuple(w), supports=supports, head_widths=heads, one_hot=True)
    network = CLIPoseNet(architecture, NOCS_CATEGORIES, ops)
    ours = _rename_encoder(given, supports) | _rename_heads(given, sum(w))
    for name, parameter in network.state_dict().items():
        # A counter of training steps, which inference does not use.
        if name.endswith("num_batches_tracked"):
            ours[name] = parameter
        elif tuple(ours[name].shape) != tuple(parameter.shape):
            raise CheckpointError(
                f"expected HS-Pose weights for '{name}' of shape {tuple(parameter.shape)}, got "
                f"{tuple(ours[name].shape)}: only networks of 6 categories with the published settings can be imported"
            )
    network.load_state_dict(ours)
    return network.eval()


def _strip_prefixes(name: str) -> str:
    """Return a name without the prefixes of wrapping modules."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _get_weight(given: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a weight; raise CheckpointError if it is missing."""
    if name not in given:
        raise CheckpointError(f"expected an HS-Pose state dict, got one without '{name}': it is of another network")
    return given[name]


def _rename_encoder(given: Mapping[str, Tensor], supports: int) -> dict[str, Tensor]:
    """Return the encoder's weights by this package's names; convolutions of width one become linear layers."""
    ours = {}
    for i in range(5):
        theirs, mine = f"face_recon.conv_{i}", f"encoder.layer{i}"
        directions = _get_weight(given, f"{theirs}.directions")
        ours[f"{mine}.conv.supports"] = directions.reshape(3, supports, -1)
        ours[f"{mine}.straight.weight"] = _get_weight(given, f"{theirs}.STE_layer.weight").flatten(1)
        ours[f"{mine}.overall.merge.weight"] = _get_weight(given, f"{theirs}.conv2.weight").flatten(1)
        if i > 0:
            ours[f"{mine}.conv.project.weight"] = _get_weight(given, f"{theirs}.weights").T
            ours[f"{mine}.conv.project.bias"] = _get_weight(given, f"{theirs}.bias")
    for i in (1, 2, 3):
        ours |= _rename_norm(given, f"face_recon.bn{i}", f"encoder.norm{i}")
    return ours


def _rename_heads(given: Mapping[str, Tensor], encoded: int) -> dict[str, Tensor]:
    """Return the heads' weights by this package's names."""
    ours = {}
    for theirs, mine in _HEADS.items():
        for layer, name in _HEAD_LAYERS.items():
            ours[f"{mine}.{name}.weight"] = _get_weight(given, f"{theirs}.{layer}.weight").flatten(1)
            ours[f"{mine}.{name}.bias"] = _get_weight(given, f"{theirs}.{layer}.bias")
        for i in (1, 2, 3):
            ours |= _rename_norm(given, f"{theirs}.bn{i}", f"{mine}.norm{i}")
    features, category, places = ours["head_ts.point1.weight"].tensor_split((encoded, -3), dim=1)
    ours["head_ts.point1.weight"] = torch.cat(
        [features, places, category], dim=1
    )  # this package puts the coordinates first
    return ours


def _rename_norm(given: Mapping[str, Tensor], theirs: str, mine: str) -> dict[str, Tensor]:
    """Return the weights and statistics of a batch norm by this package's names."""
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{mine}.{name}": _get_weight(given, f"{theirs}.{name}") for name in names}
