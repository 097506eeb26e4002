"""Export of the network to ONNX, for runtimes other than torch (onnxruntime, TensorRT, OpenVINO).

The batch size is dynamic. The number of points is fixed at export: neighbourhoods and pooling depend on it, and
runtimes optimise better for a fixed number. The file's metadata describe its outputs: categories in order, their mean
sizes, architecture, number of points and source of the weights.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from clipose_ros.atomic_files import replace_file
from clipose_ros.errors import ExportError
from clipose_ros.model.network import CLIPoseNet, check_shape
from clipose_ros.types import FloatArray

if TYPE_CHECKING:
    import onnx_ir as ir

FORMAT = "clipose_ros.onnx/1"
"""Name of the file's layout: inputs, outputs and metadata."""

INPUTS = ("points_camera", "category")
"""``(B, N, 3)`` float32 metres in the camera's optical frame, in random order; ``(B,)`` int64."""

OUTPUTS = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")
"""Names of the outputs, see ``network.NetworkOutput``."""

OPSET = 18
"""Version of the ONNX operators: the one that the exporter writes without conversion and most runtimes support."""

EQUAL = 1e-4
"""Largest difference of outputs that counts as rounding."""

LEAST_EQUAL = 0.25
"""Share of clouds that must agree within ``EQUAL``; the 17 numbers of a cloud do not agree by chance."""


class _PlainOutputs(nn.Module):
    """Network that returns a tuple of tensors in the order of ``OUTPUTS``."""

    def __init__(self, network: CLIPoseNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, points_camera: Tensor, category: Tensor) -> tuple[Tensor, ...]:
        output = self.network(points_camera, category)
        return tuple(getattr(output, name) for name in OUTPUTS)


def require(*packages: str) -> None:
    """Check that packages are installed.

    Raises:
        ExportError: A package is missing.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ExportError(f"ONNX export needs {', '.join(missing)}, which is missing: pip install {' '.join(missing)}")


def export_onnx(network: CLIPoseNet, path: Path, points: int = 1024, notes: Mapping[str, str] | None = None) -> None:
    """Write a network to an ONNX file; the file is complete or absent.

    Args:
        network: Network in evaluation mode, on the CPU, with ``graph.PYTORCH_OPS``.
        path: File to write.
        points: Number of points of every cloud, a multiple of 16, at least 128.
        notes: Further metadata: the model's name, its hash.

    Raises:
        ExportError: The packages ``onnx`` and ``onnxscript`` are missing.
        OSError: The file cannot be written; a previous one is unchanged.
        ShapeError: The network does not take this number of points.
    """
    require("onnx", "onnxscript")
    check_shape((2, points, 3))
    batch = {0: torch.export.Dim("batch", min=1)}
    example = (torch.randn(2, points, 3), torch.zeros(2, dtype=torch.int64))
    with _silence_exporter():
        # Traced separately: if tracing fixes the batch size, torch.export raises, but torch.onnx.export would not.
        traced = torch.export.export(_PlainOutputs(network).eval(), example, dynamic_shapes=(batch, batch))
        program = torch.onnx.export(
            traced,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=(batch, batch),  # names the dimension
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "with dynamo=True torch returns a program"
    _clear_traces(program.model)
    program.model.metadata_props.update(_metadata(network, points), **(notes or {}))
    with replace_file(path) as partial:
        program.save(partial)


def _clear_traces(model: ir.Model) -> None:
    """Remove the stack traces that the exporter writes into every node: they hold folders of this machine."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(model)


@contextlib.contextmanager
def _silence_exporter() -> Iterator[None]:
    """Suppress the exporter's internal log messages and warnings."""
    log = logging.getLogger("onnxscript")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _metadata(network: CLIPoseNet, points: int) -> dict[str, str]:
    """Return the metadata of the file."""
    return {
        "format": FORMAT,
        "architecture": json.dumps(network.architecture.to_mapping()),
        "categories": json.dumps(network.categories.to_records()),
        "points": str(points),
    }


@dataclass(frozen=True)
class Agreement:
    """Differences between the outputs of an exported network and of the original.

    Attributes:
        differences: Largest absolute difference of each cloud ``(clouds,)``, by output.
    """

    differences: Mapping[str, FloatArray]

    @property
    def equal(self) -> float:
        """Return the share of clouds whose outputs all agree within ``EQUAL``."""
        return float((np.stack(list(self.differences.values())).max(axis=0) <= EQUAL).mean())


def compare_onnx(network: CLIPoseNet, path: Path, points: int = 1024, batches: Sequence[int] = (1, 3, 8)) -> Agreement:
    """Compare an exported file, run by onnxruntime, with its network on random ellipsoids.

    onnxruntime rounds sums in another order. If two points are almost equally far from a third, the other one may
    become its neighbour, and the outputs of such a cloud differ by more than rounding.

    Args:
        network: Network that was exported.
        path: Exported file.
        points: Number of points at export.
        batches: Batch sizes to compare.

    Raises:
        ExportError: onnxruntime is missing, or too few clouds agree.
    """
    require("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[FloatArray]] = {name: [] for name in OUTPUTS}
    for count in batches:
        clouds = _ellipsoids(count, points, generator)
        category = torch.randint(len(network.categories), (count,), generator=generator)
        with torch.inference_mode():
            expected = _PlainOutputs(network)(clouds, category)
        got = session.run(list(OUTPUTS), dict(zip(INPUTS, (clouds.numpy(), category.numpy()), strict=True)))
        for name, ours, theirs in zip(OUTPUTS, expected, got, strict=True):
            found[name].append(np.abs(ours.numpy() - theirs).reshape(count, -1).max(axis=1))
    agreement = Agreement({name: np.concatenate(parts) for name, parts in found.items()})
    if agreement.equal < LEAST_EQUAL:
        raise ExportError(
            f"'{path}' does not compute what its network does: only {agreement.equal:.0%} of the clouds agree within "
            f"{EQUAL:g}, expected at least {LEAST_EQUAL:.0%}. Export it again with the pinned "
            "versions of torch and onnxruntime"
        )
    return agreement


def _ellipsoids(count: int, points: int, generator: torch.Generator) -> Tensor:
    """Draw clouds ``(count, points, 3)`` of ellipsoids of the size of tabletop objects, at a distance of 0.9 m."""
    directions = nn.functional.normalize(torch.randn(count, points, 3, generator=generator), dim=-1)
    radii = torch.rand(count, 1, 3, generator=generator) * 0.1 + 0.02
    return directions * radii + torch.tensor([0.1, -0.1, 0.9])
