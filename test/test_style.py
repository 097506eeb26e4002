"""Style rules: reasons of suppressed checks, and the layers documented in CONTRIBUTING.md."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("clipose_ros", "test", "launch", "examples", "environment", "underlay")
SUPPRESSION = re.compile(r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)?|type:\s*ignore(?:\[[\w, -]+\])?)")
REASON = re.compile(r"\s*[-–(#]+\s*\w+\W+\w+")
LAYER = re.compile(r"`(\w+)`")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]


def suppressions_without_reason(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and comment of each ``noqa`` and ``type: ignore`` without a reason."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match = SUPPRESSION.search(token.string) if token.type == tokenize.COMMENT else None
        if match and not REASON.match(token.string[match.end() :]):
            yield token.start[0], token.string


def layer_contract() -> list[str]:
    """Return the layers of pyproject.toml from the highest to the lowest, as written there."""
    return next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")


def documented_layers() -> list[set[str]]:
    """Return the layers of CONTRIBUTING.md from the lowest to the highest, each a set of rooms."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chain = next(paragraph for paragraph in text.split("\n\n") if paragraph.count("←") > 3)
    return [set(LAYER.findall(layer)) for layer in chain.split("←")]


def test_suppressions_have_a_reason() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {comment}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, comment in suppressions_without_reason(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("comment", "accepted"),
    [
        ("# noqa: B010", False),
        ("# noqa", False),
        ("# type: ignore[override]", False),
        ("# noqa: B010 - x", False),
        ("# noqa: B010, E731 - both are needed here", True),
        ("# noqa: PTH207 (Path.glob takes no absolute pattern)", True),
        ("# type: ignore[arg-type]  # a wrong value is meant", True),
        ("# nothing is suppressed", True),
    ],
)
def test_reasons_are_recognised(comment: str, accepted: bool) -> None:
    assert (not list(suppressions_without_reason(f"x = 1  {comment}\n"))) is accepted


def test_documented_layers_equal_the_contract() -> None:
    contract = [set(re.findall(r"\w+", layer)) for layer in reversed(layer_contract())]
    assert documented_layers() == contract


def test_siblings_in_a_layer_are_independent() -> None:
    """Import-linter takes ``|`` for independence and ``:`` for none."""
    training = next(layer for layer in layer_contract() if "segmenter_training" in layer)
    assert "|" in training and ":" not in training
    assert set(re.findall(r"\w+", training)) == {"training", "segmenter_training"}


def test_import_between_siblings_breaks_the_contract(tmp_path: Path) -> None:
    """A layer of two independent packages is checked; one package imports the other."""
    for name, text in (("one", "import house.two.inner\n"), ("two", "")):
        (tmp_path / "house" / name).mkdir(parents=True)
        (tmp_path / "house" / name / "__init__.py").write_text("")
        (tmp_path / "house" / name / "inner.py").write_text(text)
    (tmp_path / "house" / "__init__.py").write_text("")
    (tmp_path / "contract.toml").write_text(
        "[tool.importlinter]\nroot_package = 'house'\n[[tool.importlinter.contracts]]\nname = 'layers'\n"
        "type = 'layers'\ncontainers = ['house']\nlayers = ['(one) | (two)']\n"
    )
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--config", "contract.toml", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "house.one.inner -> house.two.inner" in done.stdout
