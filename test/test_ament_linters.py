"""Linters of ament, where a distribution is sourced: licence files and XML.

ament_copyright is given the licence files alone. Source files have no licence header: LICENSE holds for all of them,
and package.xml names the one exception.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REASON = "needs a sourced ROS 2 distribution: PyPI has no ament linters"


def test_copyright() -> None:
    linter = pytest.importorskip("ament_copyright.main", reason=REASON)
    if not (ROOT / ".git").exists():
        pytest.skip("ament_copyright finds licence files at the root of a git checkout only")
    assert linter.main([str(ROOT / "LICENSE"), str(ROOT / "CONTRIBUTING.md")]) == 0


def test_xmllint() -> None:
    linter = pytest.importorskip("ament_xmllint.main", reason=REASON)
    assert linter.main([str(ROOT / "package.xml"), str(ROOT / "config")]) == 0
