"""Curves and pictures for TensorBoard, which is imported only where a run asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from clipose_ros.training.run_dir import RunDir
from clipose_ros.types import ByteArray


class TensorBoardWriter:
    """TensorBoard's files, in the folder ``tensorboard`` of a run.

    Args:
        folder: The run's.

    Raises:
        ImportError: TensorBoard is not installed.
        OSError: The folder cannot be written; as from every method.
    """

    def __init__(self, folder: RunDir) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.path / "tensorboard"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def pictures(self, step: int, pictures: Mapping[str, ByteArray]) -> None:
        """Pictures ``(H, W, 3)`` RGB by name."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
