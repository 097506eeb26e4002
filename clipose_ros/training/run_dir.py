"""Files of a training run: state, models and log.

State and models are replaced as whole files. If a write fails, the previous file is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipose_ros.atomic_files import replace_file
from clipose_ros.errors import CliposeError, UnreadableFileError
from clipose_ros.model.checkpoint import save_checkpoint
from clipose_ros.model.network import CLIPoseNet
from clipose_ros.run_lock import LOCK, locked
from clipose_ros.training.runtime.distributed import any_rank, failing_together, from_rank_zero, rank_and_size
from clipose_ros.training.state_file import TrainingState, read_state

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

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainers out of the folder in a context; the folder is created, and removed if it stays empty.

        Raises:
            LockedError: Another process trains into the folder.
            TrainingError: The folder cannot be written.
        """
        is_new = not self.path.exists()
        try:
            with ExitStack() as held:
                with _report_failure(self.path / LOCK):
                    held.enter_context(locked(self.path))
                yield
        finally:
            if is_new:
                with suppress(OSError):
                    self.path.rmdir()

    def record(self, values: dict[str, Any]) -> None:
        """Append a line to the log.

        Raises:
            TrainingError: The file cannot be written.
        """
        path = self.path / LOG
        with _report_failure(path), path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(values) + "\n")

    def save_state(self, state: TrainingState) -> None:
        """Replace the resumable state.

        Raises:
            TrainingError: The file cannot be written; the previous one is kept.
        """
        buffer = BytesIO()  # torch.save reports a full disk by various errors, a plain file always by OSError
        torch.save(state, buffer)
        path = self.path / STATE
        with _report_failure(path), replace_file(path) as partial:
            partial.write_bytes(buffer.getbuffer())

    def save_model(self, name: str, network: CLIPoseNet, notes: dict[str, Any]) -> None:
        """Replace a model file.

        Raises:
            TrainingError: The file cannot be written; the previous one is kept.
        """
        path = self.path / name
        with _report_failure(path):
            save_checkpoint(path, network, notes)

    def load_state(self, device: str) -> TrainingState:
        """Load the state, with its tensors on a device; all ranks get the state of rank 0.

        Raises:
            TrainingError: There is no state, or it cannot be read.
            LostRankError: The same, on the other ranks.
        """
        path = self.path / STATE
        rank, size = rank_and_size()
        content = BytesIO()
        with failing_together(device):
            if not rank:
                if not path.is_file():
                    raise TrainingError(f"nothing to resume: '{path}' does not exist")
                state = self._read_state(path, device)
                if size > 1:
                    torch.save(state, content)
        received = from_rank_zero(content.getvalue(), device)
        return self._read_state(BytesIO(received), device) if rank else state

    def _read_state(self, source: Path | BytesIO, device: str) -> TrainingState:
        """Read the state from its file, or from its content."""
        try:
            return read_state(source, device)
        except UnreadableFileError as error:
            raise self.state_error(str(error)) from error

    def has_state(self, device: str) -> bool:
        """Return True on all ranks if rank 0 has a state."""
        return any_rank(not rank_and_size()[0] and (self.path / STATE).is_file(), device)

    def state_error(self, reason: str) -> TrainingError:
        """Return the error for a state that cannot be used."""
        remedy = "train into another folder"
        if (self.path / BEST).is_file():
            remedy += f" with --start {self.path / BEST}"
        return TrainingError(f"state '{self.path / STATE}' cannot be resumed ({reason}): {remedy}")


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


@contextmanager
def _report_failure(path: Path) -> Iterator[None]:
    """Create the folder of a file; if the write in the block fails, raise TrainingError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise TrainingError(
            f"'{path}' cannot be written ({error.strerror or error}): free disk space, or make the folder writable; "
            "the previous file is kept"
        ) from error
