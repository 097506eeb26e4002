"""Files of a run: state, models and log. Each appears whole or not at all, and a full disk costs none of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from clipose_ros.errors import CliposeError
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import CLIPoseNet

STATE, LAST, BEST, LOG = "state.pt", "model.safetensors", "best.safetensors", "log.jsonl"


class TrainingError(CliposeError):
    """Training cannot go on; the last good state is on disk."""


class RunDir:
    """The folder of a run; it is made when first written to.

    Args:
        path: Where ``state.pt``, ``model.safetensors``, ``best.safetensors`` and ``log.jsonl`` lie.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def last_good(self) -> str:
        """What there is to go on from, in words."""
        state = self.path / STATE
        return f"the last good state is '{state}'" if state.is_file() else "no state had been written yet"

    def record(self, values: dict[str, Any]) -> None:
        """Append a line to the log.

        Raises:
            TrainingError: It cannot be written.
        """
        path = self.path / LOG
        with _whole(path), path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")

    def save_state(self, state: dict[str, Any]) -> None:
        """Write the resumable state in place of the one before.

        Raises:
            TrainingError: It cannot be written; the one before is kept.
        """
        buffer = io.BytesIO()  # torch reports a full disk as it likes; a plain file says OSError
        torch.save(state, buffer)
        path = self.path / STATE
        partial = _partial(path)
        with _whole(path):
            partial.write_bytes(buffer.getbuffer())
            partial.replace(path)

    def save_model(self, name: str, network: CLIPoseNet, notes: dict[str, Any]) -> None:
        """Write a model in place of the one before.

        Raises:
            TrainingError: It cannot be written; the one before is kept.
        """
        path = self.path / name
        with _whole(path):
            save_checkpoint(path, network, notes)

    def load_state(self, device: str) -> dict[str, Any]:
        """Load the state, with its tensors on a device.

        Raises:
            TrainingError: There is none.
        """
        path = self.path / STATE
        if not path.is_file():
            raise TrainingError(f"nothing to resume: '{path}' does not exist")
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        return state


def random_state(device: str) -> dict[str, Tensor]:
    """Where torch's random numbers stand: the CPU's, and on CUDA the device's, which draws dropout there."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.startswith("cuda") else state


def set_random_state(state: Tensor | dict[str, Tensor], device: str) -> None:
    """Put back what ``random_state`` gave, as far as this device has it; older states hold the CPU's alone."""
    states = {"cpu": state} if isinstance(state, Tensor) else state
    torch.set_rng_state(states["cpu"].cpu())
    if device.startswith("cuda") and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".part")


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Says so when a write fails, and removes what it had begun."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        _partial(path).unlink(missing_ok=True)
        raise TrainingError(
            f"'{path}' cannot be written ({error}): make room, or let the run write; what was there is kept"
        ) from error
