"""HTML report of an evaluation."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.evaluation.metrics.iou import IouKind
from clipose_ros.evaluation.metrics.latency import Latency
from clipose_ros.evaluation.metrics.nocs_protocol import TABLE, as_record, evaluate_frames
from clipose_ros.evaluation.metrics.pose_accuracy import THRESHOLDS
from clipose_ros.evaluation.report.report import PAPER_TABLE_I, REPORT_THRESHOLDS, Report, report_html
from clipose_ros.evaluation.report.worst_cases import cases_of_pairs
from clipose_ros.evaluation.results_file import NocsFrame, NocsObjects
from clipose_ros.geometry.se3 import exp_so3, make_transform


class Reader(HTMLParser):
    """Parser that collects rows of cells, images and open tags."""

    def __init__(self):
        super().__init__()
        self.rows, self.images, self.open, self.text = [], [], [], ""

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.images.append(values["src"])
        if tag not in ("img", "meta"):
            self.open.append(tag)
        assert not {"href", "srcset"} & set(values)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def sample_frame():
    rng = np.random.default_rng(0)
    names = ["mug", "can", "laptop", "mug"]
    ids = [NOCS_CATEGORIES[name].id for name in names]
    truths = make_transform(exp_so3(rng.normal(size=(4, 3))), [[0.3 * k, 0.0, 1.0] for k in range(4)])
    estimates = truths @ make_transform(exp_so3(rng.normal(size=(4, 3)) * 0.15), rng.normal(size=(4, 3)) * 0.01)
    sizes = [[0.12, 0.1, 0.11]] * 4
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    true_objects, predictions = (NocsObjects.from_poses(ids, T, sizes) for T in (truths, estimates))
    return NocsFrame("<scene & frame>", true_objects, np.ones(4, dtype=bool), predictions, scores)


@pytest.fixture(scope="module")
def scores():
    return evaluate_frames([sample_frame()], NOCS_CATEGORIES, thresholds=REPORT_THRESHOLDS)


def test_report_html_is_complete_and_has_the_figures(scores):
    pairs = [pair for of_category in scores[IouKind.ORIENTED].values() for pair in of_category.pairs]
    cases = cases_of_pairs(pairs, NOCS_CATEGORIES)
    latency = Latency("of a test", [10.0, 20.0, 30.0])
    page = report_html(Report("Title <1>", "from a & b", latency, scores, cases=cases))
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert not re.search(r"https?:|<script|<link", page)
    assert "Title <1>" in reader.text and "from a & b" in reader.text
    assert "20.0 ms (median), 29.0 ms (95th percentile), of a test" in reader.text
    assert len(reader.images) == len(IouKind) + 1
    for image in reader.images:
        assert base64.b64decode(image.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    rows = {tuple(row[:1]): row for row in reader.rows}
    oriented = as_record(scores[IouKind.ORIENTED]["mug"])
    assert rows[("mug",)][1:4] == ["2", "2", "2"]
    assert rows[("mug",)][4:] == [f"{oriented[name]:.1f}" for name in TABLE.names]
    assert rows[("bowl",)][4:] == ["–"] * len(TABLE.names)
    mean = as_record(scores[IouKind.RELEASED]["mean"])
    assert rows[("these results",)][1:] == [f"{mean[name]:.1f}" for name in TABLE.names[3:]]
    assert rows[("CLIPose",)][1:] == ["48.7", "58.3", "70.4", "85.2", "86.2"]


def test_report_thresholds_include_those_of_the_tables(scores):
    plain = evaluate_frames([sample_frame()], NOCS_CATEGORIES)
    for kind, table in plain.items():
        for name, row in table.items():
            assert as_record(row) == as_record(scores[kind][name])


def test_report_html_without_objects_shows_dashes():
    table = evaluate_frames([], NOCS_CATEGORIES, thresholds=REPORT_THRESHOLDS)
    page = report_html(Report("empty", "", Latency("not measured"), table))
    assert "Worst poses" not in page and "–" in page and "Latency: not measured." in page


def test_paper_table_has_one_figure_per_threshold():
    assert all(len(figures) == len(THRESHOLDS) for figures in PAPER_TABLE_I.values())
