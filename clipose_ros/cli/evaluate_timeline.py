"""Accuracy against time for ``evaluate --sequence``: recording or reading of sequences, tables and plot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from clipose_ros.cli.evaluate_tables import timeline_tables
from clipose_ros.cli.generate import describe_objects, read_object_library_options
from clipose_ros.config import NetworkConfig
from clipose_ros.errors import ConfigError
from clipose_ros.evaluation.metrics.timeline import TimelineReport, summarize_timelines
from clipose_ros.evaluation.runs.network_poses import NetworkPoses
from clipose_ros.evaluation.runs.recorded_sequence import FPS, RecordedSequence, load_film, save_film
from clipose_ros.evaluation.runs.simulated_scenes import evaluated_categories
from clipose_ros.evaluation.runs.table_sequences import TableRecipe, record_tables
from clipose_ros.evaluation.runs.timeline import SequenceTimeline, TimelineSettings, run_timeline
from clipose_ros.inference.pipeline import PosePredictor

Progress = Callable[[Sequence[Any], str], Iterator[Any]]
"""Yields the items of a sequence and shows a progress bar with a description."""


def evaluate_tables(
    options: argparse.Namespace, network: NetworkConfig, predictor: PosePredictor, progress: Progress
) -> tuple[list[Table], dict[str, object]]:
    """Evaluate accuracy against time on the sequences of ``--tables``.

    Args:
        options: Options of the command.
        network: Settings of the network.
        predictor: Predictor of these settings.
        progress: Progress bar.

    Returns:
        Tables for the terminal, and plain values for JSON.

    Raises:
        ConfigError: The film was recorded with other options, or the model lacks a category of the tables.
        DataError: A file cannot be read, or no object is visible.
    """
    recipes = _recipes(options)
    evaluated_categories(recipes[0].object_library, predictor.categories)
    sequences = _load_or_record_tables(options, recipes, progress)
    settings, timelines = TimelineSettings(network=network), dict[str, list[SequenceTimeline]]()
    for sequence in progress(sequences, "Tracking"):
        camera = "resting" if sequence.camera_rests else "moving"
        timelines.setdefault(camera, []).append(run_timeline(NetworkPoses(sequence, predictor), settings))
    reports = {camera: summarize_timelines(items, predictor.categories) for camera, items in timelines.items()}
    source = f"{options.tables} random tables of {recipes[0].frames} frames, seed {recipes[0].seed}, deformed masks"
    return timeline_tables(reports), {"source": source, **_write_reports(options, reports)}


def evaluate_sequence_timeline(
    options: argparse.Namespace, network: NetworkConfig, poses: NetworkPoses
) -> tuple[list[Table], dict[str, object]]:
    """Evaluate accuracy against time on the single sequence of ``--sequence``.

    Args:
        options: Options of the command.
        network: Settings of the network.
        poses: Poses of the network for the sequence.

    Returns:
        Tables for the terminal, and plain values for JSON; no tables, and no value under the key ``timeline``, for a
        sequence without truths.
    """
    if poses.sequence.truths is None:
        print(
            f"'{options.film}' was recorded by an earlier version and has no true poses: accuracy against time is left "
            "out",
            file=sys.stderr,
        )
        return [], {"timeline": None}
    camera = "resting" if poses.sequence.camera_rests else "moving"
    timeline = run_timeline(poses, TimelineSettings(network=network))
    reports = {camera: summarize_timelines([timeline], poses.predictor.categories)}
    return timeline_tables(reports), _write_reports(options, reports)


def _write_reports(options: argparse.Namespace, reports: Mapping[str, TimelineReport]) -> dict[str, object]:
    """Draw the plot of ``--plot`` and return the figures as plain values for JSON."""
    if options.plot:
        from clipose_ros.evaluation.report.timeline_plot import plot_timelines  # imports matplotlib

        plot_timelines(reports, options.plot)
    return {"frames_per_second": FPS, "timeline": {camera: report.as_record() for camera, report in reports.items()}}


def _recipes(options: argparse.Namespace) -> list[TableRecipe]:
    """Return the recipes of the cameras of ``--camera``."""
    cameras = ("moving", "resting") if options.camera == "both" else (options.camera,)
    library, record = read_object_library_options(options), describe_objects(options)
    frames = round(options.sequence * FPS)
    return [TableRecipe(options.seed or 0, frames, camera == "resting", library, record) for camera in cameras]


def _load_or_record_tables(
    options: argparse.Namespace, recipes: Sequence[TableRecipe], progress: Progress
) -> list[RecordedSequence]:
    """Load the file of ``--film`` if it exists, otherwise record the sequences and write them to that file.

    Raises:
        ConfigError: The film was recorded with other options.
        DataError: The file is no film of tables.
    """
    asked = "\n".join(f"{options.tables} {recipe.describe()}" for recipe in recipes)
    if options.film and options.film.exists():
        sequences, recorded = load_film(options.film)
        if recorded != asked:
            raise ConfigError(
                f"'{options.film}' was recorded with other options: expected {asked}, got {recorded}: name a new file"
            )
        return sequences
    sequences = []
    for recipe in recipes:
        camera = "resting" if recipe.resting else "moving"
        recording = record_tables(recipe, options.tables, options.workers)
        bar = progress(range(options.tables), f"Rendering, {camera} camera")
        sequences += [sequence for _, sequence in zip(bar, recording, strict=False)]  # empty tables are left out
    if options.film:
        save_film(options.film, sequences, asked)
    return sequences
