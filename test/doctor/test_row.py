"""Rows of the doctor, and the guard around its checks."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from clipose_ros.doctor.row import EXIT_STATUS, Row, State, run_checks, worst_state


def good() -> Iterator[Row]:
    yield Row("good", State.OK, "a\nb")


def fails_later() -> Iterator[Row]:
    yield Row("first", State.HINT, "found")
    raise ValueError("text\nfrom outside")


def test_a_check_that_fails_ends_no_other() -> None:
    rows = list(run_checks([("later", fails_later), ("exit", lambda: sys.exit(3)), ("good", good)]))
    assert [(row.check, row.state) for row in rows] == [
        ("first", State.HINT), ("later", State.UNKNOWN), ("exit", State.UNKNOWN), ("good", State.OK),
    ]  # fmt: skip
    assert rows[1].found == r"ValueError: text\nfrom outside" and rows[3].found == r"a\nb"


def test_an_interrupt_ends_all() -> None:
    def interrupted() -> Iterator[Row]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_checks([("interrupted", interrupted), ("good", good)]))


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], 0),
        ([State.OK, State.HINT], 0),
        ([State.OK, State.UNKNOWN, State.HINT], 2),
        ([State.UNKNOWN, State.PROBLEM], 1),
    ],
)
def test_the_exit_status_is_that_of_the_worst_row(states: list[State], status: int) -> None:
    assert EXIT_STATUS[worst_state([Row("check", state, "") for state in states])] == status
