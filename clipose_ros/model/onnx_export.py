"""The network as an ONNX file, for runtimes other than torch (onnxruntime, TensorRT, OpenVINO).

The batch size is free, the number of points is fixed when exporting: neighbourhoods and pooling depend on it, and
runtimes plan better for a number that they know. The file's metadata say what its outputs mean: categories in order,
their mean sizes, architecture, points and where the weights came from.
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

import numpy as np
import torch
from torch import Tensor, nn

from clipose_ros.errors import ExportError
from clipose_ros.model.network import CLIPoseNet, check_shape
from clipose_ros.types import FloatArray

FORMAT = "clipose_ros.onnx/1"
"""Names the inputs, outputs and metadata below."""

INPUTS = ("points_camera", "category")
"""``(B, N, 3)`` float32 metres in the camera's optical frame, in random order; ``(B,)`` int64."""

OUTPUTS = ("axis_y", "axis_x", "confidence_y", "confidence_x", "translation", "size")
"""As ``network.NetworkOutput`` names and describes them."""

OPSET = 18
"""Version of ONNX's operators: the one that the exporter writes without converting, and that most runtimes read."""

EQUAL = 1e-4
"""Outputs of a cloud this near differ by rounding alone."""

LEAST_EQUAL = 0.25
"""Share of clouds that must agree so; 17 numbers of one cloud do not agree by accident."""


class _PlainOutputs(nn.Module):
    """The network with a tuple of tensors for its result, in the order of ``OUTPUTS``."""

    def __init__(self, network: CLIPoseNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, points_camera: Tensor, category: Tensor) -> tuple[Tensor, ...]:
        output = self.network(points_camera, category)
        return tuple(getattr(output, name) for name in OUTPUTS)


def require(*packages: str) -> None:
    """Find the packages that exporting or checking needs, before any work is done.

    Raises:
        ExportError: One is not installed.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ExportError(f"ONNX export needs {', '.join(missing)}, which is missing: pip install {' '.join(missing)}")


def export_onnx(network: CLIPoseNet, path: Path, points: int = 1024, notes: Mapping[str, str] | None = None) -> None:
    """Write a network as an ONNX file; it appears whole or not at all.

    Args:
        network: In evaluation mode, on the CPU, with the plain operations (``graph.PYTORCH_OPS``).
        path: File to write.
        points: Points of every cloud, a multiple of 16, at least 128.
        notes: More lines of metadata: the model's name, its hash.

    Raises:
        ExportError: The packages ``onnx`` and ``onnxscript`` are missing.
        ShapeError: The number of points does not fit the network.
    """
    require("onnx", "onnxscript")
    check_shape((2, points, 3))
    batch = {0: torch.export.Dim("batch", min=1)}
    example = (torch.randn(2, points, 3), torch.zeros(2, dtype=torch.int64))
    with _quiet():
        # Traced first by itself: given a module whose batch turns out fixed, the exporter would fix it and say nothing.
        traced = torch.export.export(_PlainOutputs(network).eval(), example, dynamic_shapes=(batch, batch))
        program = torch.onnx.export(
            traced,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=(batch, batch),  # for the name
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None, "with dynamo=True torch returns a program"
    program.model.metadata_props.update(_metadata(network, points), **(notes or {}))
    partial = path.with_name(path.name + ".part")
    program.save(partial)
    partial.replace(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own insides from the user."""
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
    """What a reader of the file needs to know."""
    return {
        "format": FORMAT,
        "architecture": json.dumps(network.architecture.to_mapping()),
        "categories": json.dumps(network.categories.to_records()),
        "points": str(points),
    }


@dataclass(frozen=True)
class Agreement:
    """How far an exported network's outputs are from the network's own.

    Attributes:
        differences: For each output the largest absolute difference of every cloud tried, ``(clouds,)``.
    """

    differences: Mapping[str, FloatArray]

    @property
    def equal(self) -> float:
        """Share of clouds whose outputs all agree within ``EQUAL``."""
        return float((np.stack(list(self.differences.values())).max(axis=0) <= EQUAL).mean())


def compare_onnx(network: CLIPoseNet, path: Path, points: int = 1024, batches: Sequence[int] = (1, 3, 8)) -> Agreement:
    """Run the file with onnxruntime beside the network, on random ellipsoids.

    Sums are rounded in another order there, so where two points are all but equally far from a third, another one of
    them becomes its neighbour: such a cloud's outputs differ a little more than rounding.

    Args:
        network: What was exported.
        path: The file.
        points: As exported.
        batches: Batch sizes to try.

    Raises:
        ExportError: onnxruntime is missing, or too few clouds agree: the file computes something else.
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
            f"{EQUAL:g}, expected at least {LEAST_EQUAL:.0%}. Export it anew, with the pinned "
            "versions of torch and onnxruntime"
        )
    return agreement


def _ellipsoids(count: int, points: int, generator: torch.Generator) -> Tensor:
    """Clouds ``(count, points, 3)`` of shapes as large as things on a table, 0.9 m ahead."""
    directions = nn.functional.normalize(torch.randn(count, points, 3, generator=generator), dim=-1)
    radii = torch.rand(count, 1, 3, generator=generator) * 0.1 + 0.02
    return directions * radii + torch.tensor([0.1, -0.1, 0.9])
