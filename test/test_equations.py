"""Every equation of the paper that the package implements is found by searching for ``Eq. (n)``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "clipose_ros").rglob("*.py"))
MISSING = {1, 2}
"""The text of the paper that was available when this was written shows no equations with these numbers."""


@pytest.mark.parametrize("number", sorted(set(range(1, 17)) - MISSING))
def test_equation_is_cited(number: int) -> None:
    assert f"Eq. ({number})" in SOURCES


def test_equations_are_cited_in_one_way() -> None:
    assert not re.findall(r"\b[eE]qs?\. \d+", SOURCES)
