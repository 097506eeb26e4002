"""``evaluate``: judge a model on stored clouds or NOCS images, or score result files by the NOCS protocol."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import CloudConfig
from clipose_ros.data.catalogue import read_catalogue
from clipose_ros.errors import CliposeError
from clipose_ros.evaluation.accuracy import Accuracy, as_records
from clipose_ros.evaluation.iou import IouKind
from clipose_ros.evaluation.nocs_protocol import TABLE, Scores, as_record, evaluate_frames
from clipose_ros.evaluation.report import REPORT_THRESHOLDS, report_html
from clipose_ros.evaluation.results_file import NocsFrame, find_results, read_results, write_results

MIN_POINTS = 50
"""On NOCS images clouds of fewer points get no pose, as in training."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.data and options.report:
        parser.error("--report goes with --results or --nocs")
    if options.categories and not options.results:
        parser.error("--categories goes with --results: a model knows its own")
    if options.save and not options.nocs:
        parser.error("--save goes with --nocs")
    if options.frames is not None and options.frames < 1:
        parser.error(f"--frames must be at least 1, got {options.frames}")
    try:
        tables, record = _of_clouds(options) if options.data else _by_protocol(options)
        if options.json:
            options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except (CliposeError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    console = Console()
    console.width = max(console.width, 120)  # a pipe claims 80 columns, which would break the heads
    for table in tables:
        console.print(table)
    return 0


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--data",
        type=Path,
        nargs="+",
        help="clouds (.npz files, folders of shards) from `generate`, for --model to pose",
    )
    source.add_argument("--nocs", type=Path, help="folder of the NOCS data, whose detections --model poses")
    source.add_argument(
        "--results",
        nargs="+",
        metavar="PATTERN",
        help="result files (results_*.pkl) with truths and predictions, scored by the NOCS protocol without any model",
    )
    parser.add_argument("--categories", type=Path, help="with --results: categories (YAML), if not the six of NOCS")
    parser.add_argument("--model", default="clipose_small", help="a .safetensors file or the name of a shipped model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--subset", default="real_test", help="with --nocs: real_test or camera_val")
    parser.add_argument("--frames", type=int, help="with --nocs: so many images, evenly spread; all if left out")
    parser.add_argument(
        "--truths",
        choices=("official", "maps"),
        default="official",
        help="with --nocs: the released truths, or those fitted to the coordinate maps, with mugs re-centred",
    )
    parser.add_argument("--save", type=Path, help="with --nocs: folder for the predictions as results_*.pkl")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--report", type=Path, help="also write a page of HTML with tables, curves and worst cases")
    return parser


def _of_clouds(options: argparse.Namespace) -> tuple[list[Table], dict[str, Any]]:
    """Figures of a model on stored clouds: for a terminal, and for JSON."""
    # torch is loaded for this alone
    from clipose_ros.data.shards import load_clouds
    from clipose_ros.evaluation.clouds import evaluate_clouds
    from clipose_ros.inference.predictor import Predictor

    predictor = Predictor.load(options.model, options.device)
    table = evaluate_clouds(predictor, load_clouds(*options.data), predictor.categories)
    return [rendered(table)], as_records(table)


def _by_protocol(options: argparse.Namespace) -> tuple[list[Table], dict[str, Any]]:
    """Figures of result files or NOCS images by the NOCS protocol: for a terminal, and for JSON."""
    latencies_ms: list[float] = []
    categories = NOCS_CATEGORIES if options.categories is None else read_catalogue(options.categories).categories
    frames: Iterator[NocsFrame]
    if options.results:
        paths = find_results(options.results)
        source = f"{len(paths)} result files: {', '.join(options.results)}"
        frames = (frame for path in _watched(paths) for frame in read_results(path))
    else:
        source = f"{options.model} on {options.subset} of {options.nocs}, truths: {options.truths}"
        frames = _posed(options, latencies_ms)
    thresholds = REPORT_THRESHOLDS if options.report else TABLE
    by_kind = evaluate_frames(frames, categories, tuple(IouKind), thresholds)
    if latencies_ms:
        source += f"; from masks to poses {np.median(latencies_ms):.1f} ms per image (median)"
    if options.report:
        options.report.write_text(report_html("Poses by the NOCS protocol", source, by_kind), encoding="utf-8")
    return [rendered_scores(kind, table) for kind, table in by_kind.items()], {
        "source": source,
        "protocol": "NOCS: average precision, per cent; poses judged where matched at IoU > 0.1",
        "latency_ms_median": float(np.median(latencies_ms)) if latencies_ms else None,
        "iou": {
            kind.value: {
                "meaning": kind.meaning,
                "categories": {name: as_record(scores) for name, scores in table.items()},
            }
            for kind, table in by_kind.items()
        },
    }


def _posed(options: argparse.Namespace, latencies_ms: list[float]) -> Iterator[NocsFrame]:
    """NOCS images as the model poses them; notes the latency of each and saves it where asked."""
    from clipose_ros.data.nocs import NocsDataset
    from clipose_ros.evaluation.nocs_images import pose_images
    from clipose_ros.inference.predictor import Predictor

    dataset = NocsDataset(options.nocs, options.subset, correct_mugs=options.truths == "maps")
    predictor = Predictor.load(options.model, options.device)
    count = min(options.frames or len(dataset), len(dataset))
    images = _watched([int(i) for i in np.linspace(0, len(dataset) - 1, count).round()])
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    official = options.truths == "official"
    for image in pose_images(dataset, predictor, images, CloudConfig(min_points=MIN_POINTS), official):
        latencies_ms.append(image.latency_ms)
        if options.save:
            name = image.frame.name.replace("/", "_")
            write_results(options.save / f"results_{options.subset}_{name}.pkl", image.frame)
        yield image.frame


def _watched(items: Sequence[Any]) -> Iterator[Any]:
    """The items, with a bar of progress on the error stream's terminal."""
    yield from track(items, "Scoring", console=Console(stderr=True), transient=True)


def rendered(table: dict[str, Accuracy]) -> Table:
    """The figures as a table for a terminal."""
    result = Table(title="Share of objects posed within a threshold, per cent; medians")
    thresholds = list(next(iter(table.values())).within) if table else []
    for name in ("category", "objects", "rotation deg", "translation cm", "size %", *thresholds):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, row in table.items():
        medians = (row.rotation_deg_median, row.translation_cm_median, row.size_percent_median)
        figures = [f"{value:.2f}" for value in medians] + [f"{row.within[key]:.1f}" for key in thresholds]
        result.add_row(name, str(row.count), *figures, end_section=name == list(table)[-2:][0])
    return result


def rendered_scores(kind: IouKind, table: dict[str, Scores]) -> Table:
    """Figures of one kind of IoU as a table for a terminal; a dash where a category has no truths."""
    result = Table(title=f"NOCS protocol, average precision in per cent, IoU {kind.value}: {kind.meaning}")
    for name in ("category", "truths", "matched", *TABLE.names):
        result.add_column(name, justify="left" if name == "category" else "right")
    for name, scores in table.items():
        record = as_record(scores)
        figures = ["-" if record[key] is None else f"{record[key]:.1f}" for key in TABLE.names]
        last = name == list(table)[-2]
        result.add_row(name, str(scores.truths), str(scores.matched), *figures, end_section=last)
    return result


if __name__ == "__main__":
    sys.exit(main())
