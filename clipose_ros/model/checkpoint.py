"""Checkpoints: safetensors files with weights, architecture and categories.

A safetensors file holds arrays and text only, so loading an untrusted checkpoint runs no code. A hash over all of the
contents shows damage.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from clipose_ros.atomic_files import replace_file
from clipose_ros.bounded_files import parse_json
from clipose_ros.categories import CategorySet
from clipose_ros.errors import CheckpointError, ConfigError, UnreadableFileError, quoted
from clipose_ros.model.graph import PYTORCH_OPS, GraphOps
from clipose_ros.model.hs_pose import import_hs_pose as import_hs_pose
from clipose_ros.model.network import Architecture, CLIPoseNet
from clipose_ros.model.safetensors_header import SafetensorsHeader, read_header
from clipose_ros.model.score_calibration import ScoreCalibration

FORMAT = "clipose_ros/1"
"""Name of the file's layout; files of another layout are refused."""
HASH = "sha256"
"""Key of the hash in the metadata; files of version 0.2.0 and earlier have none."""
CALIBRATION = "score_calibration"
"""Key of the score calibration in the metadata; files without it have scores that are confidences."""
REFINER = "refiner"
"""Key of the refiner's architecture in the metadata; files without it have no refiner."""
_KEYS = {"format", "architecture", "categories", "notes", CALIBRATION, REFINER, HASH}


def save_checkpoint(path: Path, network: CLIPoseNet, notes: Mapping[str, Any] | None = None) -> None:
    """Write a network to a file; the file is complete or absent.

    Args:
        path: A ``.safetensors`` file.
        network: Network to write.
        notes: Plain values that describe the network: recipe, figures, date.

    Raises:
        OSError: The file cannot be written; a previous one is unchanged.
    """
    metadata = {"format": FORMAT, **_describe(network), "notes": json.dumps(notes or {})}
    # safetensors refuses tensors that are not contiguous.
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    content = save(state, metadata | {HASH: compute_hash(metadata, state)})
    with replace_file(path) as partial:
        partial.write_bytes(content)


def load_checkpoint(path: Path, ops: GraphOps = PYTORCH_OPS) -> CLIPoseNet:
    """Load a network on the CPU, in evaluation mode.

    The file is read only if its header describes a network of this package and a file of its size. A file without a
    hash loads with a warning.

    Args:
        path: A file that ``save_checkpoint`` wrote.
        ops: Operations by which the network computes neighbourhoods.

    Raises:
        CheckpointError: The file is missing or corrupt, is not a checkpoint of this package, or its weights do not fit
            its architecture or its hash.
    """
    try:
        if not path.is_file():
            raise CheckpointError(
                f"model file '{path}' does not exist: give a .safetensors file or the name of a shipped model"
            )
        with path.open("rb") as stream:
            header = read_header(stream, os.fstat(stream.fileno()).st_size)
            network = _build(path, header.metadata, ops)
            _check_weights(path, network, header)
            state = _read_tensors(stream, header)
    except OSError as error:
        raise CheckpointError(f"model file '{path}' cannot be read: {error.strerror}") from error
    except (SafetensorError, UnreadableFileError) as error:
        raise CheckpointError(
            f"model file '{path}' cannot be read ({error}): it is corrupt or cut short, or no model file; copy it again"
        ) from error
    _check_hash(path, header.metadata, state)
    _check_finite(path, state)
    network.load_state_dict(state, assign=True)
    return network.eval()


def weights_hash(network: CLIPoseNet) -> str:
    """Return the hash of a network, its refiner and its score calibration, whatever the notes of its file.

    Settings of the architecture with their default do not count, so that a later version with more settings gives the
    same hash.
    """
    usual = Architecture().to_mapping()
    metadata = _describe(network)
    for key, part in {"architecture": network, REFINER: network.refiner}.items():
        if part is not None:
            settings = part.architecture.to_mapping().items()
            metadata[key] = json.dumps({name: value for name, value in settings if value != usual[name]})
    return compute_hash(metadata, {name: value.detach().cpu() for name, value in network.state_dict().items()})


def read_notes(path: Path) -> dict[str, Any]:
    """Return the notes of a file that ``load_checkpoint`` accepts.

    Raises:
        CheckpointError: The notes are no mapping.
    """
    with path.open("rb") as stream:
        text = read_header(stream, os.fstat(stream.fileno()).st_size).metadata.get("notes", "{}")
    try:
        notes = parse_json(text)
    except UnreadableFileError as error:
        raise CheckpointError(f"model file '{path}' has notes that cannot be read: {error}") from error
    if not isinstance(notes, dict):
        raise CheckpointError(f"model file '{path}' has notes that are no mapping: {notes!r:.80}")
    return notes


def _describe(network: CLIPoseNet) -> dict[str, str]:
    """Return the metadata from which the network is built, with its refiner and score calibration if it has them."""
    described = {
        "architecture": json.dumps(network.architecture.to_mapping()),
        "categories": json.dumps(network.categories.to_records()),
    }
    if network.refiner is not None:
        described[REFINER] = json.dumps(network.refiner.architecture.to_mapping())
    if network.score_calibration is not None:
        described[CALIBRATION] = json.dumps(network.score_calibration.to_mapping())
    return described


def compute_hash(metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 hash of metadata and tensors as hexadecimal digits.

    The hash covers keys and texts, then name, type, shape and bytes of each tensor, each in the order of the names. The
    entry ``HASH`` of the metadata is left out.
    """
    digest = hashlib.sha256()
    for key in sorted(metadata.keys() - {HASH}):
        digest.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(state):
        tensor = state[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).numpy().data)
    return digest.hexdigest()


def _build(path: Path, metadata: Mapping[str, str], ops: GraphOps) -> CLIPoseNet:
    """Build the network of the architecture in the metadata, without memory for its weights."""
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"model file '{path}' has format {metadata.get('format')!r:.80}, expected {FORMAT!r}: "
            "it is not a pose model of this package"
        )
    try:
        if unknown := metadata.keys() - _KEYS:
            raise ConfigError(f"its metadata have the unknown key {quoted(min(unknown))}")
        architecture = _read_architecture(metadata["architecture"])
        refiner = _read_architecture(metadata[REFINER]) if REFINER in metadata else None
        if architecture.refines or (refiner is not None and not refiner.refines):
            raise ConfigError("a network that poses clouds and its refiner are confused")
        categories = CategorySet.from_records(parse_json(metadata["categories"]))
        calibration = _read_calibration(metadata, categories)
    except (KeyError, UnreadableFileError, ConfigError) as error:
        raise CheckpointError(
            f"model file '{path}' describes an architecture that this version cannot build: {error}"
        ) from error
    with torch.device("meta"):
        network = CLIPoseNet(architecture, categories, ops)
        network.refiner = None if refiner is None else CLIPoseNet(refiner, categories, ops)
    network.score_calibration = calibration
    return network


def _read_architecture(text: str) -> Architecture:
    """Read the settings of a network from JSON."""
    settings = parse_json(text)
    if not isinstance(settings, dict):
        raise ConfigError(f"the architecture must be a mapping of settings, got {settings!r:.80}")
    return Architecture.from_mapping(settings)


def _read_calibration(metadata: Mapping[str, str], categories: CategorySet) -> ScoreCalibration | None:
    """Read the score calibration; None if the file has none."""
    if CALIBRATION not in metadata:
        return None
    calibration = ScoreCalibration.from_mapping(parse_json(metadata[CALIBRATION]))
    if set(calibration.weights) != set(categories.names):
        raise ConfigError(
            f"its score calibration is for {', '.join(map(quoted, calibration.weights))}, its categories are "
            f"{', '.join(map(quoted, categories.names))}"
        )
    return calibration


def _check_weights(path: Path, network: CLIPoseNet, header: SafetensorsHeader) -> None:
    """Check that the header has every weight with the expected type and shape, and no other."""
    expected = {name: (value.dtype, tuple(value.shape)) for name, value in network.state_dict().items()}
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in header.tensors.items()}
    if wrong := [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]:
        name = min(wrong)
        raise CheckpointError(
            f"model file '{path}' has a different architecture: {len(wrong)} weights differ, first {quoted(name)}: "
            f"expected {expected.get(name, 'none')}, got {found.get(name, 'none')}"
        )


def _read_tensors(stream: BinaryIO, header: SafetensorsHeader) -> dict[str, Tensor]:
    """Read all tensors of a file whose header was checked."""
    stream.seek(0)
    # Copies are aligned for vector units, and the file's bytes are freed.
    return {name: value.clone() for name, value in load(stream.read(header.file_bytes)).items()}


def _check_hash(path: Path, metadata: Mapping[str, str], state: Mapping[str, Tensor]) -> None:
    """Check the hash of a file; warn if it has none."""
    if HASH not in metadata:
        warnings.warn(
            f"model file '{path}' has no hash, so damage would not be noticed: it is of an earlier version; save it "
            "again with save_checkpoint",
            stacklevel=3,
        )
    elif metadata[HASH] != compute_hash(metadata, state):
        raise CheckpointError(f"model file '{path}' is corrupt: its contents do not have its hash; copy it again")


def _check_finite(path: Path, state: Mapping[str, Tensor]) -> None:
    """Check that every weight is finite."""
    if broken := [name for name, value in state.items() if not torch.isfinite(value).all()]:
        raise CheckpointError(
            f"model file '{path}' has values that are not finite in '{broken[0]}': its training diverged, use an "
            "earlier model of the run"
        )
