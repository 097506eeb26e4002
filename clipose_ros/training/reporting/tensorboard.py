"""Curves and pictures for TensorBoard, which is imported only if a run writes to it."""

from __future__ import annotations

from collections.abc import Mapping

from clipose_ros.training.run_dir import RunDir
from clipose_ros.types import ByteArray


class TensorBoardWriter:
    """Writer of TensorBoard's files, in the folder ``tensorboard`` of a run.

    Args:
        folder: Folder of the run.

    Raises:
        ImportError: TensorBoard is not installed.
        OSError: The folder cannot be written; every method may raise it.
    """

    def __init__(self, folder: RunDir) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.path / "tensorboard"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, pictures: Mapping[str, ByteArray]) -> None:
        """Write pictures ``(H, W, 3)`` RGB by name."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write the remaining events and close the file."""
        self._writer.close()
