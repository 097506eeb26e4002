"""Trainer of ultralytics whose checkpoints are complete or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipose_ros.segmentation.isolation import read_checkpoint


def make_trainer(folder: Path) -> Any:
    """Return a class for ``YOLO.train``, inside ``isolate_ultralytics``.

    Args:
        folder: Folder of the run.
    """
    from ultralytics.models.yolo import segment

    base: Any = segment.SegmentationTrainer

    class FolderTrainer(base):  # type: ignore[misc]  # ultralytics' classes have no types
        """Trainer that writes to ``folder`` only."""

        last: Path
        best: Path

        def check_resume(self, overrides: dict[str, Any]) -> None:
            """Read the settings of a run that is continued; if it was moved, they name the earlier folder."""
            super().check_resume(overrides)
            self.args.save_dir = str(folder.resolve())

        def save_model(self) -> Any:
            """Write the checkpoints of an epoch beside the previous ones, then replace these."""
            final = self.last, self.best
            partial = tuple(path.with_name(f"{path.name}.part") for path in final)
            self.last, self.best = partial
            try:
                saved = super().save_model()
                for written, path in zip(partial, final, strict=True):
                    if written.exists():
                        written.replace(path)
            finally:
                self.last, self.best = final
                for written in partial:
                    written.unlink(missing_ok=True)
            return saved

        def final_eval(self) -> None:
            """Remove the optimizer from the checkpoints and measure the accuracy of the best epoch."""
            # The removal is restricted to classes that have been loaded in this process.
            read_checkpoint(self.last)
            super().final_eval()

    return FolderTrainer
