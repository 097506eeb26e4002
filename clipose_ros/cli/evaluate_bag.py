"""``evaluate --bag``: tracked poses of a recording against its true poses."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

from rich.table import Table

from clipose_ros.cli.node_settings import SHIPPED_SEGMENTER, node_config
from clipose_ros.data.bags.recording import open_recording
from clipose_ros.errors import DataError
from clipose_ros.evaluation.runs.recording_poses import RecordingProcessor
from clipose_ros.evaluation.runs.recording_statistics import MIN_VISIBLE, RecordingStatistics
from clipose_ros.inference.pipeline import PosePipeline


def evaluate_bag(options: argparse.Namespace, report: Callable[[str], None]) -> tuple[list[Table], dict[str, object]]:
    """Pose every frame of the recording of ``--bag`` and compare the tracks with its true poses.

    Args:
        options: Options of the command.
        report: Receives a line about each part that cannot be read.

    Returns:
        Tables for the terminal, and plain values for ``--json``.

    Raises:
        ConfigError: A setting is wrong.
        DataError: The recording cannot be read, or holds no true poses.
    """
    recording = open_recording(options.bag, report=report)
    if not options.params and not options.segmenter:
        options.segmenter = "labels" if recording.topics.labels else SHIPPED_SEGMENTER
    config = node_config(options)
    if recording.topics.truth is None:
        raise DataError(
            f"'{options.bag}' holds no true poses (vision_msgs/Detection3DArray on a topic with 'truth' in its name): "
            "`process` poses recordings without them"
        )
    # Results do not depend on the speed of the machine.
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, budget_ms=0.0))
    pipeline = PosePipeline.from_config(config, live=True)
    statistics = RecordingStatistics(pipeline.predictor.categories)
    for processed in RecordingProcessor(recording, pipeline, config).run():
        statistics.add(processed)
    if not statistics.has_truths:
        raise DataError(
            f"'{options.bag}' holds no true poses at the stamps and in the frame of its {statistics.frames} images"
        )
    segmenter = f"{config.segmentation.backend} {config.segmentation.model}".rstrip()
    source = f"{config.network.model} and segmenter {segmenter} on {statistics.posed} frames of {options.bag}"
    return [errors_table(statistics)], {"source": source, **statistics.as_record()}


def errors_table(statistics: RecordingStatistics) -> Table:
    """Return the table of errors by category."""
    table = Table(
        title=f"Tracked poses; missed: true objects without a pose, at least {100 * MIN_VISIBLE:.0f} % visible"
    )
    head = ("category", "poses", "matched", "missed", "cm p50", "cm p90", "deg p50", "deg p90")
    for name in head:
        table.add_column(name, justify="left" if name == "category" else "right")
    for name, row in statistics.errors().items():
        values = dataclasses.astuple(row)
        table.add_row(name, *("-" if v is None else f"{v:.2f}" if isinstance(v, float) else str(v) for v in values))
    return table
