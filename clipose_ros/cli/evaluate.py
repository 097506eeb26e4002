"""``evaluate``: poses on clouds, NOCS images, scenes or result files; tracks on sequences or recordings; detections."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.evaluate_options import SCENES_SEED, read_options
from clipose_ros.cli.evaluate_tables import (
    breakdown_table,
    protocol_title,
    recall_table,
    reliability_table,
    scores_table,
    shares_table,
    smoothness_table,
)
from clipose_ros.cli.generate import describe_objects, read_object_library_options
from clipose_ros.cli.node_settings import network_config, node_config
from clipose_ros.cli.progress import show_progress
from clipose_ros.config import CloudConfig, NetworkConfig, TrackingConfig
from clipose_ros.data.synthetic.assets.object_library import read_object_library
from clipose_ros.errors import CliposeError, ConfigError
from clipose_ros.evaluation.metrics.detection_recall import DetectionRecall, sum_counts
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.latency import Latency
from clipose_ros.evaluation.metrics.nocs_protocol import (
    TABLE,
    MatchedPair,
    Scores,
    Thresholds,
    evaluate_frames,
    records_by_kind,
)
from clipose_ros.evaluation.metrics.pose_accuracy import as_records, summarize
from clipose_ros.evaluation.report.report import REPORT_THRESHOLDS, SINGLE, Report, report_html
from clipose_ros.evaluation.report.worst_cases import FailureCase, FailureImage, cases_of_clouds, cases_of_pairs
from clipose_ros.evaluation.results_file import NocsFrame, find_results, read_results, write_results
from clipose_ros.evaluation.results_remarks import ResultsRemarks

if TYPE_CHECKING:  # the imports load the simulator and torch, which result files do not need
    from clipose_ros.evaluation.runs.recorded_sequence import RecordedSequence
    from clipose_ros.inference.pipeline import PosePredictor

ByKind = Mapping[IouKind, Mapping[str, Scores]]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Results of an evaluation in three forms.

    Attributes:
        tables: Tables for the terminal.
        record: Plain values for ``--json``.
        report: Content of the HTML page of ``--report``; None where the source has none.
        remarks: Sentences on what was left out or malformed.
    """

    tables: Sequence[Table]
    record: Mapping[str, object]
    report: Report | None = None
    remarks: Sequence[str] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    options = read_options(__doc__, arguments)
    try:
        for path in filter(None, (options.json, options.report, options.film, options.plot)):
            path.parent.mkdir(parents=True, exist_ok=True)  # raises before the evaluation if a folder cannot be created
        result = _evaluate(options)
        print(result.record["source"])
        _print_tables(result.tables)
        for remark in result.remarks:
            print(f"evaluate: {remark}", file=sys.stderr)
        if options.json:
            options.json.write_text(json.dumps(result.record, indent=2) + "\n", encoding="utf-8")
        if options.report and result.report is not None:
            options.report.write_text(report_html(result.report), encoding="utf-8")
    except (CliposeError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resume_hint = "; the same command continues after the completed scenes" if options.frames_in else ""
        print(f"evaluate: interrupted{resume_hint}", file=sys.stderr)
        return 130
    return 0


def _print_tables(tables: Sequence[Table]) -> None:
    console = Console()
    console.width = max(console.width, 130)  # the tables do not fit into the 80 columns of a pipe
    for table in tables:
        console.print(table)


def _evaluate(options: argparse.Namespace) -> EvaluationResult:
    """Run the evaluation that the source option selects."""
    if options.data:
        return _evaluate_clouds(options)
    if options.results:
        return _evaluate_results(options)
    if options.scenes:
        return _evaluate_scenes(options)
    if options.photos:
        return _evaluate_photos(options)
    if options.bag:
        return _evaluate_bag(options)
    return _evaluate_nocs(options) if options.nocs else _evaluate_sequence(options)


def _evaluate_clouds(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate a model on stored clouds."""
    # imports torch, which result files do not need
    from clipose_ros.data.shards.reader import load_clouds
    from clipose_ros.data.test_sets import read_test_set
    from clipose_ros.evaluation.metrics.reliability import measure_reliability
    from clipose_ros.evaluation.report.breakdown import breakdown, breakdown_records, find_correct
    from clipose_ros.evaluation.runs.stored_clouds import as_frames, latencies_ms, pose_clouds
    from clipose_ros.inference.predictor import Predictor

    network = network_config(options)
    predictor = Predictor.from_config(network)
    categories, samples = predictor.categories, load_clouds(*options.data)
    if options.test_set is not None:
        read_test_set(options.test_set).check(options.test_set, samples)
    posed = pose_clouds(predictor, samples, lambda batches: show_progress(batches, "Posing"))
    shares, factors = summarize(posed.errors, categories), breakdown(posed)
    reliability = measure_reliability([pose.score for pose in posed.estimates], find_correct(posed.errors))
    by_kind = evaluate_frames(as_frames(posed, categories), categories, tuple(IouKind), _thresholds(options))
    unranked = evaluate_frames(as_frames(posed, categories, ranked=False), categories, (IouKind.CORRECTED,))
    latency = Latency(f"poses of six clouds at once on {predictor.device}", latencies_ms(predictor, samples))
    clouds = f"{len(samples)} clouds of {', '.join(map(str, options.data))}"
    source = (
        f"{_model_label(network, predictor)} on {clouds}{f', test set {options.test_set}' if options.test_set else ''}"
    )
    report = Report(
        "Poses of single clouds", source, latency, by_kind, SINGLE, shares, factors, cases_of_clouds(posed),
        reliability=reliability,
    )  # fmt: skip
    record = {
        "source": source,
        "latency": latency.as_record(),
        "shares": as_records(shares),
        "protocol": SINGLE,
        "iou": records_by_kind(by_kind),
        "iou_equal_scores": records_by_kind(unranked),
        "breakdown": breakdown_records(factors),
        "reliability": reliability.as_record(),
    }
    single_table = scores_table(f"{SINGLE} IoU {IouKind.CORRECTED.value}", by_kind[IouKind.CORRECTED])
    tables = [shares_table(shares), single_table]
    if options.breakdown:
        tables += [breakdown_table(factors), reliability_table(reliability)]
    return EvaluationResult(tables, record, report)


def _evaluate_results(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate result files with the NOCS protocol."""
    categories = NOCS_CATEGORIES if options.categories is None else read_object_library(options.categories).categories
    paths = find_results(options.results)
    remarks = ResultsRemarks(categories)
    frames = (remarks.check(frame) for path in show_progress(paths, "Scoring") for frame in read_results(path))
    by_kind = evaluate_frames(frames, categories, tuple(IouKind), _thresholds(options))
    source = f"{len(paths)} result files: {', '.join(options.results)}"
    cases = cases_of_pairs(_matched_pairs(by_kind), categories)
    latency = Latency("not stored in result files")
    return _protocol_result(source, latency, by_kind, cases, remarks=remarks.sentences())


def _evaluate_nocs(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate a model on NOCS images with the NOCS protocol; write its predictions with ``--save``."""
    from clipose_ros.data.nocs.dataset import NocsDataset
    from clipose_ros.data.nocs.samples import MIN_CLOUD_POINTS
    from clipose_ros.evaluation.runs.nocs_images import pose_images
    from clipose_ros.inference.predictor import Predictor

    dataset = NocsDataset(options.nocs, options.subset, correct_mugs=options.truths == "maps")
    network = network_config(options)
    predictor = Predictor.from_config(network)
    count = min(options.frames or len(dataset), len(dataset))
    images = show_progress([int(i) for i in np.linspace(0, len(dataset) - 1, count).round()], "Posing")
    official, latencies_ms = options.truths == "official", []
    remarks, skipped = ResultsRemarks(dataset.categories), list[str]()
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)

    def frames() -> Iterator[NocsFrame]:
        for image in pose_images(dataset, predictor, images, CloudConfig(min_points=MIN_CLOUD_POINTS), official):
            latencies_ms.append(image.latency_ms)
            skipped.extend(image.skipped)
            if options.save:
                name = image.frame.name.replace("/", "_")
                write_results(options.save / f"results_{options.subset}_{name}.pkl", image.frame)
            yield remarks.check(image.frame)

    def load_image(name: str) -> FailureImage:
        frame = dataset.read_frame(dataset.frames.index(name))
        return FailureImage(frame.rgb, frame.intrinsics)

    by_kind = evaluate_frames(frames(), dataset.categories, tuple(IouKind), _thresholds(options))
    source = f"{_model_label(network, predictor)} on {options.subset} of {options.nocs}, truths: {options.truths}"
    latency = Latency(f"from masks to poses, all objects of an image, on {predictor.device}", latencies_ms)
    cases = cases_of_pairs(_matched_pairs(by_kind), dataset.categories, load_image) if options.report else []
    left_out = [
        f"{len(items)} {kind}, such as {items[0]}; those {what} are left out"
        for items, kind, what in (
            (dataset.missing, "files are missing", "frames"),
            (skipped, "objects have no fitted truth", "objects"),
        )
        if items
    ]
    return _protocol_result(source, latency, by_kind, cases, remarks=[*left_out, *remarks.sentences()])


def _evaluate_scenes(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate the full pose pipeline on simulated scenes; keep their frames with ``--frames-in``."""
    from clipose_ros.data.synthetic.scene_views import StoredViews, ViewRecipe, store_views
    from clipose_ros.evaluation.runs.simulated_scenes import evaluated_categories, pose_views
    from clipose_ros.inference.pipeline import PosePipeline

    config, object_library = node_config(options), read_object_library_options(options)
    pipeline = PosePipeline.from_config(config)
    categories = evaluated_categories(object_library, pipeline.predictor.categories, config.categories)
    seed = SCENES_SEED if options.seed is None else options.seed
    recipe = ViewRecipe(seed, object_library=object_library, library_record=describe_objects(options))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.frames_in or Path(temporary)
        store_views(folder, recipe, options.scenes, options.workers, partial(print, file=sys.stderr))
        views = StoredViews(folder, options.scenes)
        posed = list(pose_views(map(views.read, show_progress(views.names, "Posing")), pipeline, categories))

        def load_image(name: str) -> FailureImage:
            frame = views.read(name).frame
            return FailureImage(frame.rgb, frame.intrinsics)

        frames = (view.frame for view in posed)
        by_kind = evaluate_frames(frames, categories, tuple(IouKind), _thresholds(options))
        cases = cases_of_pairs(_matched_pairs(by_kind), categories, load_image) if options.report else []
    model, masks = (
        _model_label(config.network, pipeline.predictor),
        f"{config.segmentation.backend} {config.segmentation.model}".strip(),
    )
    source = f"{model} on {len(posed)} views of {options.scenes} simulated scenes, seed {seed}, masks: {masks}"
    latency = Latency(
        f"from image to poses, all objects of a view, on {pipeline.predictor.device}",
        [view.latency_ms for view in posed],
    )
    recall = sum_counts((view.recall for view in posed), categories)
    return _protocol_result(source, latency, by_kind, cases, recall)


def _evaluate_sequence(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate tracked objects: accuracy against time, and jitter and lag for several settings of the tracker."""
    from clipose_ros.cli.evaluate_timeline import evaluate_sequence_timeline, evaluate_tables
    from clipose_ros.evaluation.metrics.jitter import evaluate_tracking
    from clipose_ros.evaluation.runs.network_poses import NetworkPoses
    from clipose_ros.evaluation.runs.trajectories import pose_sequence
    from clipose_ros.inference.predictor import Predictor

    network = network_config(options)
    predictor = Predictor.from_config(network)
    if options.tables:
        tables, record = evaluate_tables(options, network, predictor, show_progress)
        source = f"{_model_label(network, predictor)} on {record.pop('source')}"
        return EvaluationResult(tables, {"source": source, **record})
    sequence = _load_or_record_sequence(options)
    poses = NetworkPoses(sequence, predictor)
    frames = pose_sequence(poses)
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
        "source": f"{_model_label(network, predictor)} on {sequence.frames} frames of a simulated table, true masks",
        "settings": [{"frame": f, "smoothing": smoothing, **asdict(figures)} for f, smoothing, figures in rows],
    }
    timeline_tables, timeline = evaluate_sequence_timeline(options, network, poses)
    return EvaluationResult([smoothness_table(rows), *timeline_tables], record | timeline)


def _evaluate_photos(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate a segmenter on annotated photographs."""
    from clipose_ros.cli.evaluate_photos import evaluate_photos

    tables, record = evaluate_photos(options, show_progress)
    return EvaluationResult(tables, record)


def _evaluate_bag(options: argparse.Namespace) -> EvaluationResult:
    """Evaluate the tracked poses of a recording."""
    from clipose_ros.cli.evaluate_bag import evaluate_bag  # imports torch, which result files do not need

    remarks: list[str] = []
    tables, record = evaluate_bag(options, remarks.append)
    return EvaluationResult(tables, record, remarks=remarks)


def _load_or_record_sequence(options: argparse.Namespace) -> RecordedSequence:
    """Load the file of ``--film`` if it exists, otherwise record a sequence and write it to that file.

    Raises:
        ConfigError: The file holds a sequence of another length, or ``--seed`` is given for an existing file.
        DataError: The file is not a recorded sequence.
    """
    from clipose_ros.evaluation.runs.recorded_sequence import FPS, RecordedSequence, record_sequence

    if options.film and options.film.exists():
        sequence = RecordedSequence.load(options.film)
        if sequence.frames != (asked := round(options.sequence * FPS)):
            raise ConfigError(
                f"'{options.film}' holds {sequence.frames} frames, but --sequence {options.sequence:g} asks for "
                f"{asked}: use --sequence {sequence.frames / FPS:g}, or name a new file"
            )
        if options.seed is not None:
            raise ConfigError(f"'{options.film}' does not store its seed: leave out --seed, or name a new file")
        return sequence
    sequence = record_sequence(options.sequence, options.seed or 0)
    if options.film:
        sequence.save(options.film)
    return sequence


def _protocol_result(
    source: str,
    latency: Latency,
    by_kind: ByKind,
    cases: Sequence[FailureCase],
    recall: Mapping[str, DetectionRecall] | None = None,
    remarks: Sequence[str] = (),
) -> EvaluationResult:
    """Return tables, record and report of scores by the NOCS protocol."""
    record: dict[str, object] = {
        "source": source,
        "protocol": "NOCS: average precision, per cent; poses evaluated where matched at IoU > 0.1",
        "latency": latency.as_record(),
        "remarks": list(remarks),
        "iou": records_by_kind(by_kind),
    }
    tables = [scores_table(protocol_title(kind), table) for kind, table in by_kind.items()]
    if recall:
        tables.insert(0, recall_table(recall))
        record["found"] = {name: counts.as_record() for name, counts in recall.items()}
    shown = ". ".join([source, *remarks])
    report = Report("Poses by the NOCS protocol", shown, latency, by_kind, cases=cases, recall=recall or {})
    return EvaluationResult(tables, record, report, remarks)


def _thresholds(options: argparse.Namespace) -> Thresholds:
    """Return the thresholds of the tables, with those of the curves for ``--report``."""
    return REPORT_THRESHOLDS if options.report else TABLE


def _matched_pairs(by_kind: ByKind) -> Iterator[MatchedPair]:
    """Return the pairs matched by the oriented IoU."""
    return (pair for scores in by_kind[IouKind.ORIENTED].values() for pair in scores.pairs)


def _model_label(network: NetworkConfig, predictor: PosePredictor) -> str:
    """Return the name of the model with its number of passes and the engine that computed."""
    from clipose_ros.inference.predictor import Predictor

    first, most = network.tta.first_passes, network.tta.max_passes
    passes = ("one pass" if first == 1 else f"{first} passes") + (", more on disagreement" if first < most else "")
    engine = f", engine {predictor.engine_name}" if isinstance(predictor, Predictor) else ""
    return f"{network.model} ({passes}{engine})"


if __name__ == "__main__":
    sys.exit(main())
