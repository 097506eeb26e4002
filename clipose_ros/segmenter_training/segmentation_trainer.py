"""Trainer of ultralytics whose checkpoints are complete or absent, and which keeps the head of its starting weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from clipose_ros.segmentation.isolation import read_checkpoint


def make_trainer(folder: Path, frozen_statistics: bool = False) -> Any:
    """Return a class for ``YOLO.train``, inside ``isolate_ultralytics``.

    Args:
        folder: Folder of the run.
        frozen_statistics: Keep the means and variances of batch normalization.
    """
    from ultralytics.models.yolo import segment

    base: Any = segment.SegmentationTrainer

    class FolderTrainer(base):  # type: ignore[misc]  # ultralytics' classes have no types
        """Trainer that writes to ``folder`` only."""

        last: Path
        best: Path

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            """Return the starting network if it has the classes of the data, else a network built for them.

            The class branch that is built for a number of classes may have other channels than that of
            ``replace_classes``, and weights of other shapes are not copied.
            """
            if weights is None or list(weights.names.values()) != list(self.data["names"].values()):
                return super().get_model(cfg, weights, verbose)
            kept = copy.deepcopy(weights).float()
            for parameter in kept.parameters():
                parameter.requires_grad = True
            return kept

        def _model_train(self) -> None:
            """Switch the network to training, but for frozen batch normalization."""
            super()._model_train()
            for module in self.model.modules() if frozen_statistics else ():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()

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


def name_layers_outside_class_branch(network: Any) -> list[int | str]:
    """Return the layers, and the parts of the head, that do not classify, as ultralytics' ``freeze`` takes them."""
    head = len(network.model) - 1
    parts = [name for name, _ in network.model[-1].named_children() if name != "cv3"]
    return [*range(head), *(f"{head}.{name}" for name in parts)]
