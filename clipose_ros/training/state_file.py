"""Reading of training states, which may be damaged or come from anywhere.

A state is a zip archive of PyTorch: a pickle of plain values, and the bytes of each tensor. PyTorch does not check the
archive's checksums, and its safe unpickler makes more kinds of objects than a state holds. Both are checked first.
"""

from __future__ import annotations

import pickletools
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from clipose_ros.errors import UnreadableFileError

_MAX_PICKLE_BYTES = 1 << 22
"""Longest pickle of a state, bytes; that of ``clipose_small`` has 48 thousand."""
_MAX_RECORDS = 20_000
_GLOBALS = {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2",
    *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Byte", "Bool")),
}  # fmt: skip
"""Functions and types in the pickle of a state."""
_KINDS: dict[str, type | tuple[type, ...]] = {
    "step": int, "best": (int, float), "config": dict, "network": dict, "average": dict, "extras": dict,
    "optimizer": dict, "random": (dict, Tensor), "coarse": str,
}  # fmt: skip
_OLDER: dict[str, Any] = {"best": -1.0, "extras": {}, "coarse": ""}
"""Entries that states of older versions lack."""


class TrainingState(TypedDict):
    """Content of a state file.

    Attributes:
        step: Number of steps taken.
        best: Highest validation score so far.
        config: Recipe.
        network: Weights.
        average: Averaged weights.
        extras: Trained weights of modules beside the network.
        optimizer: State of the optimizer.
        random: States of the random generators; in older versions that of the CPU alone.
        coarse: ``weights_hash`` of the model whose poses a refiner corrects; empty without one and in older versions.
    """

    step: int
    best: float
    config: dict[str, Any]
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    extras: dict[str, Tensor]
    optimizer: dict[str, Any]
    random: dict[str, Tensor] | Tensor
    coarse: str


def read_state(source: Path | BytesIO, device: str) -> TrainingState:
    """Read a state, with its tensors on a device.

    Args:
        source: File, or its content.
        device: ``cpu`` or ``cuda:N``.

    Raises:
        UnreadableFileError: The file cannot be read, is damaged, or is no state.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            _check_archive(archive, source.stat().st_size if isinstance(source, Path) else source.getbuffer().nbytes)
        if isinstance(source, BytesIO):
            source.seek(0)
        state: object = torch.load(source, map_location=device, weights_only=True)
    except UnreadableFileError:
        raise
    except Exception as error:  # zipfile and unpickler raise whatever a damaged file causes
        raise UnreadableFileError(f"{type(error).__name__}: {' '.join(str(error).split())[:80]}") from error
    return _check_content(state)


def _check_archive(archive: zipfile.ZipFile, file_bytes: int) -> None:
    """Check the records of the archive: their sizes, their checksums and what the pickle makes."""
    records = archive.infolist()
    if len(records) > _MAX_RECORDS or sum(record.file_size for record in records) > file_bytes:
        raise UnreadableFileError(f"it states more than its {file_bytes} bytes")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise UnreadableFileError("it is compressed, as no state is")
    if (damaged := archive.testzip()) is not None:
        raise UnreadableFileError(f"the checksum of its record {damaged!r:.80} is wrong")
    pickles = [record for record in records if record.filename.endswith("data.pkl")]
    if len(pickles) != 1 or pickles[0].file_size > _MAX_PICKLE_BYTES:
        raise UnreadableFileError("it holds no state of a training run")
    for code, argument, _ in pickletools.genops(archive.read(pickles[0])):
        # The protocol of PyTorch's files names objects by GLOBAL alone.
        is_other = code.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")
        if is_other or (code.name == "GLOBAL" and argument not in _GLOBALS):
            raise UnreadableFileError(f"it would make an object of {argument!r:.80}, which no state holds")


def _check_content(state: object) -> TrainingState:
    """Check the types of the entries."""
    if not isinstance(state, dict):
        raise UnreadableFileError("it holds no state of a training run")
    state = _OLDER | state
    for name, kind in _KINDS.items():
        if not isinstance(state.get(name), kind) or isinstance(state[name], bool):
            raise UnreadableFileError(f"its entry '{name}' is missing or of another type")
    if state["step"] < 0:
        raise UnreadableFileError(f"its step is {state['step']!r:.80}")
    return TrainingState(
        step=state["step"],
        best=state["best"],
        config=state["config"],
        network=state["network"],
        average=state["average"],
        extras=state["extras"],
        optimizer=state["optimizer"],
        random=state["random"],
        coarse=state["coarse"],
    )
