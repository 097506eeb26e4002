"""Retired names: identifiers, modules and settings that were renamed do not use their old names."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

_IDENTIFIERS = """
SeveralLooks ReferenceEngine FusedEngine FUSED
FUSED_INT8 Shot Case Companions CompanionSource make_companions companion companions
FramePoser Health Alarm SyncWatch sync_watch Album Contestant Readings Dice Traits Poser Section Leaf Emphasis
emphasis Catalogue NOCS_CATALOGUE CloudFilm Team Sheet RunFolder Board in_workers lowers in_full leads agree_deg
hidden_tolerance silence_s rivals plausibility photograph catalogue vessels surfaces stopping
"""
_DEFINITIONS = "read_spread faces looks board team alarm settle film found judge counts plan poser sheets spread"
_MODULES = """
companions faces emphasis rivals sheets found film paths team products fused_pass fused_cloud fused_layer
fused_heads fused_weights fused_engine fused_poser reference_engine posing sync_watch board plan stopping
devices vessels surfaces photograph catalogue children plausibility looks every_n colours rays sensor monitor
terminal pictures outlines workers smoothness accuracy clouds
"""
_SETTINGS = "looks agree_deg silence_s hidden_tolerance emphasis companions"

IDENTIFIERS = frozenset(_IDENTIFIERS.split())
"""Retired as any class, function, parameter, attribute or variable.

REFERENCE is not listed: the benchmark uses it for the engine that others are compared with.
"""

DEFINITIONS = frozenset(_DEFINITIONS.split())
"""Ordinary words that no class, function or method may have as its name; variables may."""

MODULES = frozenset(_MODULES.split())
"""Stems of files in the package and of their tests. Allowed are ``state``, which a tracker estimates, and the command
``process``.
"""

SETTINGS = frozenset(_SETTINGS.split())
"""Keys in YAML files under ``config/``."""

EXEMPT = {ROOT / "clipose_ros" / "config_aliases.py", ROOT / "test" / "test_config_aliases.py", Path(__file__)}


def tracked_files(suffix: str) -> list[Path]:
    """Return the files of the working tree with a suffix, except golden files and files that list old names."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"*{suffix}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    golden = ROOT / "test" / "golden"
    return [path for path in paths if path.is_file() and path not in EXEMPT and golden not in path.parents]


def retired_identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each retired identifier; lines that declare a renamed flag are exempt."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        retired = token.type == tokenize.NAME and token.string in IDENTIFIERS
        if retired and "add_renamed_flag" not in lines[token.start[0] - 1]:
            yield token.start[0], token.string


def retired_definitions(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each class, function or method with a retired name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name in DEFINITIONS:
            yield node.lineno, node.name


def mapping_keys(value: Any) -> Iterator[str]:
    """Yield the keys of nested mappings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from mapping_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from mapping_keys(inner)


def test_retired_identifiers_are_not_used() -> None:
    uses = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in tracked_files(".py")
        for source in [path.read_text(encoding="utf-8")]
        for line, name in [*retired_identifiers(source), *retired_definitions(source)]
    ]
    assert not uses, "\n".join(uses)


def test_modules_have_no_retired_names() -> None:
    files = [str(path.relative_to(ROOT)) for path in tracked_files(".py") if path.stem.removeprefix("test_") in MODULES]
    assert not files, "\n".join(files)


def test_configuration_files_have_no_retired_settings() -> None:
    uses = [
        f"{path.relative_to(ROOT)}: {key}"
        for path in tracked_files(".yaml")
        if ROOT / "config" in path.parents
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        for key in mapping_keys(document)
        if key.split(".")[-1] in SETTINGS
    ]
    assert not uses, "\n".join(uses)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class Team: ...", ["Team"]),
        ("network.agree_deg = 3", ["agree_deg"]),
        ("'Team'  # Team", []),
        ('add_renamed_flag(parser, "--emphasis", "--sampling"); emphasis', []),
    ],
)
def test_identifiers_are_found_in_code_only(source: str, expected: list[str]) -> None:
    assert [name for _, name in retired_identifiers(source)] == expected


def test_ordinary_words_are_rejected_as_definitions_only() -> None:
    assert [name for _, name in retired_definitions("looks = 3\ndef looks(): ...")] == ["looks"]
