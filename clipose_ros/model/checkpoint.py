"""Checkpoints: safetensors files with weights, architecture and categories.

A safetensors file holds arrays and text only, so loading an untrusted checkpoint runs no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clipose_ros.categories import CategorySet
from clipose_ros.errors import CheckpointError, ConfigError
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.hs_pose import import_hs_pose as import_hs_pose
from clipose_ros.model.network import Architecture, CLIPoseNet

FORMAT = "clipose_ros/1"
"""Name of the file's layout; files of another layout are refused."""


def save_checkpoint(path: Path, network: CLIPoseNet, notes: dict[str, Any] | None = None) -> None:
    """Write a network to a file; the file is complete or absent.

    Args:
        path: A ``.safetensors`` file.
        network: Network to write.
        notes: Plain values that describe the network: recipe, figures, date.
    """
    metadata = {
        "format": FORMAT,
        "architecture": json.dumps(network.architecture.to_mapping()),
        "categories": json.dumps(network.categories.to_records()),
        "notes": json.dumps(notes or {}),
    }
    # safetensors refuses tensors that are not contiguous.
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    # Renamed after writing, so that a reader never finds half a file.
    partial = path.with_name(path.name + ".part")
    save_file(state, partial, metadata)
    partial.replace(path)


def load_checkpoint(path: Path, ops: GraphOps = PYTORCH_OPS) -> CLIPoseNet:
    """Load a network on the CPU, in evaluation mode.

    Args:
        path: A file that ``save_checkpoint`` wrote.
        ops: Operations by which the network computes neighbourhoods.

    Raises:
        CheckpointError: The file is missing or corrupt, is not a checkpoint of this package, or its weights do not fit
            its architecture.
    """
    if not path.is_file():
        raise CheckpointError(
            f"model file '{path}' does not exist: give a .safetensors file or the name of a shipped model"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the handle is no mapping
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"model file '{path}' cannot be read ({error}): it is corrupt or cut short; copy it again"
        ) from error
    network = _build(path, metadata, ops)
    # load_state_dict would report missing weights, but neither the file nor values that are not finite.
    _check_weights(path, network, state)
    network.load_state_dict(state)
    return network.eval()


def _build(path: Path, metadata: dict[str, str], ops: GraphOps) -> CLIPoseNet:
    """Build an untrained network of the architecture in the metadata."""
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"model file '{path}' has format {metadata.get('format')!r}, expected {FORMAT!r}: "
            "it is not a pose model of this package"
        )
    try:
        architecture = Architecture.from_mapping(json.loads(metadata["architecture"]))
        categories = CategorySet.from_records(json.loads(metadata["categories"]))
    except (KeyError, json.JSONDecodeError, ConfigError) as error:
        raise CheckpointError(
            f"model file '{path}' describes an architecture that this version cannot build: {error}"
        ) from error
    return CLIPoseNet(architecture, categories, ops)


def _check_weights(path: Path, network: CLIPoseNet, state: dict[str, torch.Tensor]) -> None:
    """Check that every weight exists, has the expected shape and is finite."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if wrong := [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]:
        name = min(wrong)
        raise CheckpointError(
            f"model file '{path}' has a different architecture: {len(wrong)} weights differ, first '{name}': "
            f"expected {expected.get(name, 'none')}, got {found.get(name, 'none')}"
        )
    if broken := [name for name, value in state.items() if not torch.isfinite(value).all()]:
        raise CheckpointError(
            f"model file '{path}' has values that are not finite in '{broken[0]}': its training diverged, use an "
            "earlier model of the run"
        )
