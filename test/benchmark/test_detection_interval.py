"""Pose accuracy by detection interval."""

from types import SimpleNamespace

import numpy as np
import pytest

from clipose_ros.benchmark.detection_interval import TABLE_HEAD, format_row, main, visible_truths
from clipose_ros.evaluation.runs.live_statistics import LiveError


def test_format_row_has_medians_percentiles_and_percentages() -> None:
    errors = [LiveError(1.0, 4.0), LiveError(3.0, 4.0), LiveError(1.0, 20.0), LiveError(1.0, 4.0)]
    assert format_row(errors) == "4 | 1.00, 2.40 | 4.00, 15.20 | 50.0 % | 75.0 %"
    assert f"| 0 | 1 | {format_row(errors)} |".count("|") == TABLE_HEAD.splitlines()[0].count("|")


def test_format_row_without_matches_has_as_many_cells() -> None:
    assert format_row([]).count("|") == format_row([LiveError(1.0, 1.0)]).count("|")


def test_visible_truths_leaves_out_hardly_visible_objects() -> None:
    truths = [
        SimpleNamespace(category="mug", T_camera_object=np.eye(4), handle_visible=False, visible_fraction=fraction)
        for fraction in (0.3, 0.31)
    ]
    (truth,) = visible_truths(SimpleNamespace(truths=truths))
    assert truth.category == "mug" and not truth.handle_visible


def test_main_names_a_missing_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "/nowhere/absent.safetensors"]) == 1
    assert "/nowhere/absent.safetensors" in capsys.readouterr().err
