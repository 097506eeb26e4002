"""Terminal tables of the command ``evaluate``."""

import numpy as np
import pytest
from rich.table import Table

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.cli.evaluate_tables import (
    breakdown_table,
    protocol_title,
    recall_table,
    scores_table,
    shares_table,
    smoothness_table,
)
from clipose_ros.evaluation.metrics.detection_recall import TABLE_HEAD, DetectionRecall
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.jitter import Jitter, JitterReport
from clipose_ros.evaluation.metrics.nocs_protocol import TABLE, Scores
from clipose_ros.evaluation.metrics.pose_accuracy import PoseError, summarize
from clipose_ros.evaluation.report.breakdown import Cell


def rows(table: Table) -> list[list[str]]:
    return [list(row) for row in zip(*(column.cells for column in table.columns), strict=True)]


def head(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


def sections(table: Table) -> list[bool]:
    return [row.end_section for row in table.rows]


def test_shares_table_has_medians_and_percentages_with_the_mean_in_its_own_section() -> None:
    errors = [PoseError("can", 4.0, 1.0, 10.0), PoseError("mug", 7.0, 3.0, 20.0)]
    table = shares_table(summarize(errors, NOCS_CATEGORIES))
    assert head(table) == [
        "category", "objects", "rotation deg", "translation cm", "size %", "5deg2cm", "5deg5cm", "10deg2cm",
        "10deg5cm", "10deg10cm",
    ]  # fmt: skip
    assert rows(table) == [
        ["can", "1", "4.00", "1.00", "10.00", *["100.0"] * 5],
        ["mug", "1", "7.00", "3.00", "20.00", "0.0", "0.0", "0.0", "100.0", "100.0"],
        ["mean", "2", "5.50", "2.00", "15.00", "50.0", "50.0", "50.0", "100.0", "100.0"],
    ]
    assert sections(table) == [False, True, False]


def test_shares_table_of_no_clouds_has_no_rows() -> None:
    assert rows(shares_table({})) == []


def test_scores_table_has_a_dash_for_categories_without_truths() -> None:
    count = len(TABLE.names)
    known = Scores(4, 5, 3, TABLE, np.full(3, 75.0), np.full(count - 3, 50.0))
    unknown = Scores(0, 1, 0, TABLE, np.full(3, np.nan), np.full(count - 3, np.nan))
    table = scores_table("title", {"can": known, "mug": unknown, "mean": known})
    assert table.title == "title" and head(table) == ["category", "truths", "matched", *TABLE.names]
    assert rows(table)[0] == ["can", "4", "3", *["75.0"] * 3, *["50.0"] * (count - 3)]
    assert rows(table)[1] == ["mug", "0", "0", *["-"] * count]
    assert sections(table) == [False, True, False]


def test_recall_table_has_counts_and_percentages() -> None:
    table = recall_table({"can": DetectionRecall(4, 2, 1, 2, 2), "mug": DetectionRecall(), "all": DetectionRecall()})
    assert head(table) == ["category", *TABLE_HEAD]
    assert rows(table)[0] == ["can", "4", "2", "25.0", "50.0", "2", "50.0", "100.0"]
    assert rows(table)[1] == ["mug", "0", "0", "-", "-", "0", "-", "-"]


@pytest.mark.parametrize("kind", list(IouKind))
def test_protocol_title_explains_the_kind_of_iou(kind: IouKind) -> None:
    assert f"IoU {kind.value}: {kind.meaning}" in protocol_title(kind)


def test_breakdown_table_has_a_section_per_factor() -> None:
    cells = {"can": Cell(2, 50.0), "all": Cell(0, None)}
    table = breakdown_table({"distance, m": {"below 0.6": cells, "from 0.6": cells}, "handle": {"visible": cells}})
    assert head(table) == ["", "can", "all"]
    assert [row[0] for row in rows(table)] == [
        "[bold]distance, m[/]",
        "below 0.6",
        "from 0.6",
        "[bold]handle[/]",
        "visible",
    ]
    assert rows(table)[1] == ["below 0.6", "50 (2)", "-"]
    assert sections(table) == [False, False, True, False, True]


def test_smoothness_table_has_jitter_lag_and_identity_switches() -> None:
    report = JitterReport(Jitter(1.0, 2.0, 3.0, 4.0), Jitter(5.0, 6.0, 7.0, 8.0), 2, 1, 0.996, 33.4, 50.6)
    table = smoothness_table([("world", 0.6, report), ("camera", 0.0, report)])
    assert head(table)[:2] == ["smoothed in", "smoothing"] and head(table)[-2:] == ["id switches", "reported %"]
    figures = ["1.00", "2.00", "3.00", "4.00", "5.00", "6.00", "33", "51", "1", "99.6"]
    assert rows(table) == [["world", "0.6", *figures], ["camera", "0", *figures]]
