"""``evaluate``: judge a model on clouds, NOCS images or simulated scenes, its tracks on a film, or result files."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.evaluate_options import SCENES_SEED, read_options
from clipose_ros.cli.evaluate_tables import (
    breakdown_table,
    protocol_title,
    recall_table,
    scores_table,
    shares_table,
    smoothness_table,
)
from clipose_ros.cli.generate import object_library_from, objects_record
from clipose_ros.cli.node_settings import network_config, node_config
from clipose_ros.config import CloudConfig, NetworkConfig, TrackingConfig
from clipose_ros.data.synthetic.assets.object_library import read_object_library
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.evaluation.metrics.detection_recall import DetectionRecall, sum_counts
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.latency import Latency
from clipose_ros.evaluation.metrics.nocs_protocol import TABLE, MatchedPair, Scores, evaluate_frames, records_by_kind
from clipose_ros.evaluation.metrics.pose_accuracy import as_records, summarize
from clipose_ros.evaluation.report.report import REPORT_THRESHOLDS, SINGLE, Report, report_html
from clipose_ros.evaluation.report.worst_cases import FailureCase, FailureImage, cases_of_clouds, cases_of_pairs
from clipose_ros.evaluation.results_file import NocsFrame, find_results, read_results, write_results

if TYPE_CHECKING:  # it loads the simulator, which result files do without
    from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence

MIN_CLOUD_POINTS = 50
"""On NOCS images clouds of fewer points get no pose, as in training."""

Result = tuple[list[Table], dict[str, Any], Report | None]
"""For a terminal, for JSON and for a page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = read_options(__doc__, arguments)
    try:
        for path in filter(None, (options.json, options.report, options.film)):
            path.parent.mkdir(parents=True, exist_ok=True)  # a folder that cannot be is told before the work
        tables, record, report = _evaluated(options)
        _print(tables)
        if options.json:
            options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if options.report and report is not None:
            options.report.write_text(report_html(report), encoding="utf-8")
    except (CliposeError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = "; the same command goes on from the scenes that are whole" if options.frames_in else ""
        print(f"evaluate: interrupted{kept}", file=sys.stderr)
        return 130
    return 0


def _print(tables: Sequence[Table]) -> None:
    console = Console()
    console.width = max(console.width, 130)  # a pipe claims 80 columns, which would break the heads
    for table in tables:
        console.print(table)


def _evaluated(options: argparse.Namespace) -> Result:
    """What was asked for."""
    if options.data:
        return _of_clouds(options)
    if options.results:
        return _of_results(options)
    if options.scenes:
        return _of_scenes(options)
    return _of_nocs(options) if options.nocs else _of_film(options)


def _of_clouds(options: argparse.Namespace) -> Result:
    """Figures of a model on stored clouds."""
    # torch is loaded for this alone
    from clipose_ros.data.shards.manifest import load_clouds
    from clipose_ros.evaluation.report.breakdown import breakdown, breakdown_records
    from clipose_ros.evaluation.runs.stored_clouds import as_frames, latencies_ms, pose_clouds
    from clipose_ros.inference.predictor import Predictor

    network = network_config(options)
    predictor = Predictor.from_config(network)
    categories, samples = predictor.categories, load_clouds(*options.data)
    posed = pose_clouds(predictor, samples, lambda batches: _watched(batches, "Posing"))
    shares, factors = summarize(posed.errors, categories), breakdown(posed)
    thresholds = REPORT_THRESHOLDS if options.report else TABLE
    by_kind = evaluate_frames(as_frames(posed, categories), categories, tuple(IouKind), thresholds)
    unranked = evaluate_frames(as_frames(posed, categories, ranked=False), categories, (IouKind.CORRECTED,))
    latency = Latency(f"poses of six clouds at once on {predictor.device}", latencies_ms(predictor, samples))
    source = f"{_looking(network)} on {len(samples)} clouds of {', '.join(map(str, options.data))}"
    report = Report("Poses of single clouds", source, latency, by_kind, SINGLE, shares, factors, cases_of_clouds(posed))
    record = {
        "source": source,
        "latency": latency.as_record(),
        "shares": as_records(shares),
        "protocol": SINGLE,
        "iou": records_by_kind(by_kind),
        "iou_equal_scores": records_by_kind(unranked),
        "breakdown": breakdown_records(factors),
    }
    single = scores_table(f"{SINGLE} IoU {IouKind.CORRECTED.value}", by_kind[IouKind.CORRECTED])
    tables = [shares_table(shares), single]
    return [*tables, breakdown_table(factors)] if options.breakdown else tables, record, report


def _of_results(options: argparse.Namespace) -> Result:
    """Figures of result files by the NOCS protocol."""
    categories = NOCS_CATEGORIES if options.categories is None else read_object_library(options.categories).categories
    paths = find_results(options.results)
    frames = (frame for path in _watched(paths, "Scoring") for frame in read_results(path))
    thresholds = REPORT_THRESHOLDS if options.report else TABLE
    by_kind = evaluate_frames(frames, categories, tuple(IouKind), thresholds)
    source = f"{len(paths)} result files: {', '.join(options.results)}"
    cases = cases_of_pairs(_pairs(by_kind), categories)
    return _protocol_result(source, Latency("result files do not tell it"), by_kind, cases)


def _of_nocs(options: argparse.Namespace) -> Result:
    """Figures of a model on NOCS images by the NOCS protocol; keeps its predictions where asked."""
    from clipose_ros.data.nocs.dataset import NocsDataset
    from clipose_ros.evaluation.runs.nocs_images import pose_images
    from clipose_ros.inference.predictor import Predictor

    dataset = NocsDataset(options.nocs, options.subset, correct_mugs=options.truths == "maps")
    network = network_config(options)
    predictor = Predictor.from_config(network)
    count = min(options.frames or len(dataset), len(dataset))
    images = _watched([int(i) for i in np.linspace(0, len(dataset) - 1, count).round()], "Posing")
    official, latencies_ms = options.truths == "official", []
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)

    def frames() -> Iterator[NocsFrame]:
        for image in pose_images(dataset, predictor, images, CloudConfig(min_points=MIN_CLOUD_POINTS), official):
            latencies_ms.append(image.latency_ms)
            if options.save:
                name = image.frame.name.replace("/", "_")
                write_results(options.save / f"results_{options.subset}_{name}.pkl", image.frame)
            yield image.frame

    def shot(name: str) -> FailureImage:
        frame = dataset.read_frame(dataset.frames.index(name))
        return FailureImage(frame.rgb, frame.intrinsics)

    thresholds = REPORT_THRESHOLDS if options.report else TABLE
    by_kind = evaluate_frames(frames(), dataset.categories, tuple(IouKind), thresholds)
    source = f"{_looking(network)} on {options.subset} of {options.nocs}, truths: {options.truths}"
    latency = Latency(f"from masks to poses, all objects of an image, on {predictor.device}", latencies_ms)
    cases = cases_of_pairs(_pairs(by_kind), dataset.categories, shot) if options.report else []
    return _protocol_result(source, latency, by_kind, cases)


def _of_scenes(options: argparse.Namespace) -> Result:
    """Figures of the robot's whole pipeline on simulated scenes; keeps their frames where asked."""
    from clipose_ros.data.synthetic.scene_views import StoredViews, ViewRecipe, store_views
    from clipose_ros.evaluation.runs.simulated_scenes import evaluated_categories, pose_views
    from clipose_ros.inference.pipeline import PosePipeline

    config, object_library = node_config(options), object_library_from(options)
    pipeline = PosePipeline.from_config(config)
    categories = evaluated_categories(object_library, pipeline.predictor.categories, config.categories)
    seed = SCENES_SEED if options.seed is None else options.seed
    recipe = ViewRecipe(seed, object_library=object_library, objects=objects_record(options))
    with tempfile.TemporaryDirectory() as passing:
        folder = options.frames_in or Path(passing)
        store_views(folder, recipe, options.scenes, options.workers, partial(print, file=sys.stderr))
        views = StoredViews(folder, options.scenes)
        posed = list(pose_views(map(views.read, _watched(views.names, "Posing")), pipeline, categories))

        def shot(name: str) -> FailureImage:
            frame = views.read(name).frame
            return FailureImage(frame.rgb, frame.intrinsics)

        thresholds = REPORT_THRESHOLDS if options.report else TABLE
        by_kind = evaluate_frames((view.frame for view in posed), categories, tuple(IouKind), thresholds)
        cases = cases_of_pairs(_pairs(by_kind), categories, shot) if options.report else []
    model, masks = _looking(config.network), f"{config.segmentation.backend} {config.segmentation.model}".strip()
    source = f"{model} on {len(posed)} views of {options.scenes} simulated scenes, seed {seed}, masks: {masks}"
    of = f"from image to poses, all objects of a view, on {pipeline.predictor.device}"
    latency = Latency(of, [view.latency_ms for view in posed])
    recall = sum_counts((view.recall for view in posed), categories)
    return _protocol_result(source, latency, by_kind, cases, recall)


def _of_film(options: argparse.Namespace) -> Result:
    """Jitter, lag and identities of tracked objects under several settings of the tracker."""
    from clipose_ros.evaluation.metrics.jitter import evaluate_tracking
    from clipose_ros.evaluation.runs.trajectories import pose_sequence
    from clipose_ros.inference.predictor import Predictor

    network = network_config(options)
    predictor = Predictor.from_config(network)
    film = _film(options)
    frames = pose_sequence(film, predictor)
    rows = [
        (
            frame,
            smoothing,
            evaluate_tracking(frames, TrackingConfig(smoothing=smoothing), predictor.categories, in_world),
        )
        for frame, in_world in (("world", True), ("camera", False))
        for smoothing in options.smoothing
    ]
    record = {
        "source": f"{_looking(network)} on {film.frames} frames of a simulated table, true masks",
        "settings": [{"frame": f, "smoothing": smoothing, **asdict(figures)} for f, smoothing, figures in rows],
    }
    return [smoothness_table(rows)], record, None


def _film(options: argparse.Namespace) -> RecordedSequence:
    """The film that is there, if it can be what was asked for; else a new one, kept where asked."""
    from clipose_ros.evaluation.runs.recorded_sequence import FPS, RecordedSequence, record_sequence

    if options.film and options.film.exists():
        film = RecordedSequence.load(options.film)
        if film.frames != (asked := round(options.sequence * FPS)):
            raise ConfigError(
                f"'{options.film}' holds {film.frames} frames, and --sequence {options.sequence:g} is {asked}: ask for "
                f"--sequence {film.frames / FPS:g}, or name a new file"
            )
        if options.seed is not None:
            raise ConfigError(f"'{options.film}' does not tell its seed: leave out --seed, or name a new file")
        return film
    film = record_sequence(options.sequence, options.seed or 0)
    if options.film:
        film.save(options.film)
    return film


ByKind = Mapping[IouKind, Mapping[str, Scores]]


def _protocol_result(
    source: str,
    latency: Latency,
    by_kind: ByKind,
    cases: Sequence[FailureCase],
    recall: Mapping[str, DetectionRecall] | None = None,
) -> Result:
    """Figures by the NOCS protocol."""
    record = {
        "source": source,
        "protocol": "NOCS: average precision, per cent; poses judged where matched at IoU > 0.1",
        "latency": latency.as_record(),
        "iou": records_by_kind(by_kind),
    }
    tables = [scores_table(protocol_title(kind), table) for kind, table in by_kind.items()]
    if recall:
        tables.insert(0, recall_table(recall))
        record["found"] = {name: counts.as_record() for name, counts in recall.items()}
    return (
        tables,
        record,
        Report("Poses by the NOCS protocol", source, latency, by_kind, cases=cases, recall=recall or {}),
    )


def _pairs(by_kind: ByKind) -> Iterator[MatchedPair]:
    """What was matched by the true IoU."""
    return (pair for scores in by_kind[IouKind.ORIENTED].values() for pair in scores.pairs)


def _looking(network: NetworkConfig) -> str:
    """Name the model and its number of passes."""
    passes = network.tta.max_passes
    return f"{network.model} ({passes} passes)" if passes > 1 else f"{network.model} (one pass)"


def _watched(items: Sequence[Any], what: str) -> Iterator[Any]:
    """The items, with a bar of progress on the error stream's terminal."""
    yield from track(items, what, console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    sys.exit(main())
