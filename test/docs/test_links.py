"""Relative links in Markdown files lead to files and headings that exist."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!`)\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~|:::).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
INCLUDE = re.compile(r"^<!-- file: (.+?) -->$", re.MULTILINE)


def markdown_files() -> list[Path]:
    """Return the Markdown files of the working tree."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


@cache
def text_of(path: Path) -> str:
    """Return a page without its code blocks, together with the files that it includes."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    return INCLUDE.sub(lambda match: text_of(ROOT / match[1]), text)


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    found: set[str] = set()
    for heading in HEADING.findall(text_of(path)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        slug = re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")
        number = 1
        while (name := slug if number == 1 else f"{slug}-{number - 1}") in found:
            number += 1
        found.add(name)
    return frozenset(found)


def broken_links(path: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists():
            broken.append(link)
        elif anchor and target.suffix == ".md":
            generated = "<!-- generated:" in target.read_text(encoding="utf-8")
            if anchor not in anchors(target) and not generated:  # the build of the site checks these
                broken.append(link)
    return broken


def test_every_relative_link_resolves() -> None:
    broken = {str(path.relative_to(ROOT)): found for path in markdown_files() if (found := broken_links(path))}
    assert not broken, broken


@pytest.mark.parametrize(
    ("link", "is_broken"),
    [
        ("other.md", False),
        ("other.md#a-second-heading-in-code", False),
        ("other.md#none", True),
        ("none.md", True),
        ("https://example.org/none.md", False),
        ("#here", False),
        ("#there", True),
    ],
)
def test_broken_links_are_found(tmp_path: Path, link: str, is_broken: bool) -> None:
    (tmp_path / "other.md").write_text("# First\n\n## A second heading, in `code`\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n```\n[ignored](nowhere.md)\n```\n\nSee [it]({link}).\n")
    assert bool(broken_links(page)) is is_broken
