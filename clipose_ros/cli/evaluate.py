"""``evaluate``: judge a model on stored clouds, or result files by the NOCS protocol."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.errors import CliposeError
from clipose_ros.evaluation.accuracy import Accuracy, as_records
from clipose_ros.evaluation.iou import IouKind
from clipose_ros.evaluation.nocs_protocol import TABLE, Scores, as_record, evaluate_frames
from clipose_ros.evaluation.report import REPORT_THRESHOLDS, report_html
from clipose_ros.evaluation.results_file import find_results, read_results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, nargs="+", help="clouds (.npz) from `generate`, for --model to pose")
    source.add_argument(
        "--results",
        nargs="+",
        metavar="PATTERN",
        help="result files (results_*.pkl) with truths and predictions, scored by the NOCS protocol without any model",
    )
    parser.add_argument("--model", default="clipose_small", help="a .safetensors file or the name of a shipped model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--report", type=Path, help="with --results: also write a page of HTML with curves and worst cases"
    )
    options = parser.parse_args(arguments)
    if options.report and not options.results:
        parser.error("--report goes with --results")
    try:
        tables, record = _of_results(options.results, options.report) if options.results else _of_clouds(options)
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


def _of_clouds(options: argparse.Namespace) -> tuple[list[Table], dict[str, Any]]:
    """Figures of a model on stored clouds: for a terminal, and for JSON."""
    # torch is loaded for this alone
    from clipose_ros.data.samples import CloudSamples
    from clipose_ros.evaluation.clouds import evaluate_clouds
    from clipose_ros.inference.predictor import Predictor

    predictor = Predictor.load(options.model, options.device)
    table = evaluate_clouds(predictor, CloudSamples.load(*options.data), predictor.categories)
    return [rendered(table)], as_records(table)


def _of_results(patterns: Sequence[str], report: Path | None) -> tuple[list[Table], dict[str, Any]]:
    """Figures of result files: for a terminal, and for JSON."""
    paths = find_results(patterns)
    progress = track(paths, "Scoring", console=Console(stderr=True), transient=True)
    frames = (frame for path in progress for frame in read_results(path))
    by_kind = evaluate_frames(frames, NOCS_CATEGORIES, tuple(IouKind), REPORT_THRESHOLDS if report else TABLE)
    if report:
        source = f"{len(paths)} result files: {', '.join(patterns)}"
        report.write_text(report_html("Pose evaluation by the NOCS protocol", source, by_kind), encoding="utf-8")
    return [rendered_scores(kind, table) for kind, table in by_kind.items()], {
        "files": len(paths),
        "protocol": "NOCS: average precision, per cent; poses judged where matched at IoU > 0.1",
        "iou": {
            kind.value: {
                "meaning": kind.meaning,
                "categories": {name: as_record(scores) for name, scores in table.items()},
            }
            for kind, table in by_kind.items()
        },
    }


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
