"""Result of a check, and the guard around checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from clipose_ros.errors import one_line


class State(Enum):
    """State of what was checked."""

    OK = "ok"
    HINT = "hint"
    """No fault by itself, but it explains others, or costs speed."""
    PROBLEM = "problem"
    UNKNOWN = "not checked"


EXIT_STATUS = {State.OK: 0, State.HINT: 0, State.PROBLEM: 1, State.UNKNOWN: 2}
"""Exit status of the command by the worst state; a problem is worse than what could not be checked."""
_ORDER = (State.PROBLEM, State.UNKNOWN, State.HINT, State.OK)


@dataclass(frozen=True, slots=True)
class Row:
    """Result of one check.

    Attributes:
        check: Name of what was checked.
        state: Its state.
        found: What was found.
        advice: What to do; empty if nothing.
    """

    check: str
    state: State
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {"check": self.check, "state": self.state.value, "found": self.found, "advice": self.advice}


Check = Callable[[], Iterable[Row]]
"""Function that makes one or more checks."""


def run_checks(checks: Sequence[tuple[str, Check]]) -> Iterator[Row]:
    """Run checks by name and yield their rows in one line each; a check that raises yields what it raised."""
    for name, check in checks:
        try:
            for row in check():
                yield Row(row.check, row.state, one_line(row.found), one_line(row.advice))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - even a check that calls sys.exit ends no other check
            found = one_line(f"{type(error).__name__}: {error}")
            yield Row(name, State.UNKNOWN, found, "the check itself failed: report this line with the others")


def worst_state(rows: Iterable[Row]) -> State:
    """Return the worst state of rows."""
    return min((row.state for row in rows), key=_ORDER.index, default=State.OK)
