"""Files of a training run: state, models and log.

State and models are replaced as whole files. If a write fails, the previous file is kept.
"""

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
"""Names of the resumable state, the last model, the best model, and the log."""


class TrainingError(CliposeError):
    """Training cannot continue; the last state is on disk."""


class RunDir:
    """Folder of a run; it is created at the first write.

    Args:
        path: Folder of ``state.pt``, ``model.safetensors``, ``best.safetensors`` and ``log.jsonl``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def last_good(self) -> str:
        """Return a phrase for error messages that names the last state."""
        state = self.path / STATE
        return f"the last good state is '{state}'" if state.is_file() else "no state had been written yet"

    def record(self, values: dict[str, Any]) -> None:
        """Append a line to the log.

        Raises:
            TrainingError: The file cannot be written.
        """
        path = self.path / LOG
        with _report_failure(path), path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")

    def save_state(self, state: dict[str, Any]) -> None:
        """Replace the resumable state.

        Raises:
            TrainingError: The file cannot be written; the previous one is kept.
        """
        buffer = io.BytesIO()  # torch.save reports a full disk by various errors, a plain file always by OSError
        torch.save(state, buffer)
        path = self.path / STATE
        partial = _partial(path)
        with _report_failure(path):
            partial.write_bytes(buffer.getbuffer())
            partial.replace(path)

    def save_model(self, name: str, network: CLIPoseNet, notes: dict[str, Any]) -> None:
        """Replace a model file.

        Raises:
            TrainingError: The file cannot be written; the previous one is kept.
        """
        path = self.path / name
        with _report_failure(path):
            save_checkpoint(path, network, notes)

    def load_state(self, device: str) -> dict[str, Any]:
        """Load the state, with its tensors on a device.

        Raises:
            TrainingError: There is no state.
        """
        path = self.path / STATE
        if not path.is_file():
            raise TrainingError(f"nothing to resume: '{path}' does not exist")
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        return state


def random_state(device: str) -> dict[str, Tensor]:
    """Return the states of torch's random generators: of the CPU, and on CUDA of the device, which draws dropout."""
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.startswith("cuda") else state


def set_random_state(state: Tensor | dict[str, Tensor], device: str) -> None:
    """Restore what ``random_state`` returned; states of older versions hold the tensor of the CPU only."""
    states = {"cpu": state} if isinstance(state, Tensor) else state
    torch.set_rng_state(states["cpu"].cpu())
    if device.startswith("cuda") and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def _partial(path: Path) -> Path:
    """Return the path of an incomplete file."""
    return path.with_name(path.name + ".part")


@contextmanager
def _report_failure(path: Path) -> Iterator[None]:
    """Create the folder of a file; if the write in the block fails, remove the partial file, raise TrainingError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        _partial(path).unlink(missing_ok=True)
        raise TrainingError(
            f"'{path}' cannot be written ({error}): free disk space, or make the folder writable; the previous file is "
            "kept"
        ) from error
