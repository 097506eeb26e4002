"""``evaluate``: judge a model on stored clouds."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clipose_ros.data.samples import CloudSamples
from clipose_ros.errors import CliposeError
from clipose_ros.evaluation.accuracy import Accuracy, as_records
from clipose_ros.evaluation.clouds import evaluate_clouds
from clipose_ros.inference.predictor import Predictor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    parser.add_argument("--model", default="clipose_small", help="a .safetensors file or the name of a shipped model")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="clouds (.npz) from `generate`")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    try:
        predictor = Predictor.load(options.model, options.device)
        table = evaluate_clouds(predictor, CloudSamples.load(*options.data), predictor.categories)
        if options.json:
            options.json.write_text(json.dumps(as_records(table), indent=2) + "\n", encoding="utf-8")
    except (CliposeError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    console = Console()
    console.width = max(console.width, 110)  # a pipe claims 80 columns, which would break the heads
    console.print(rendered(table))
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
