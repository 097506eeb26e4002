"""Sphinx extension that puts generated Markdown into pages, and pages of the repository into the site.

``<!-- generated: NAME ARGUMENTS -->`` becomes the result of that function in ``reference_tables``.
``<!-- file: PATH -->`` becomes the text of a file of the repository, its links made relative to the page.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from reference_tables import ROOT, TABLES
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext.autodoc.mock import mock

GENERATED = re.compile(r"^<!-- generated: (.+?) -->$", re.MULTILINE)
FILE = re.compile(r"^<!-- file: (.+?) -->$", re.MULTILINE)
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
LIBRARIES = (
    "torch",
    "torchvision",
    "numba",
    "cv2",
    "scipy",
    "safetensors",
    "trimesh",
    "webdataset",
    "open_clip",
    "rich",
)
PAGES = {
    "models/clipose_small.md": "docs/explanation/clipose-small.md",
    "models/clipose_segmenter.md": "docs/explanation/clipose-segmenter.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "CODE_OF_CONDUCT.md": "docs/code-of-conduct.md",
    "QUALITY_DECLARATION.md": "docs/quality-declaration.md",
    "SECURITY.md": "docs/security.md",
}
"""Files of the repository that are pages of the site."""


def relink(text: str, source: Path, page: Path, site: Path) -> str:
    """Make the relative links of a text hold in a page; files that are pages of the site become links to these.

    Args:
        text: Markdown.
        source: File of the repository that the text comes from.
        page: Page that Sphinx reads.
        site: Folder of the pages: ``docs``, or a copy of it.
    """

    def change(match: re.Match[str]) -> str:
        if re.match(r"\w+:", match[2]):
            return match[0]
        target = Path(os.path.normpath(source.parent / match[2])).relative_to(ROOT).as_posix()
        target = PAGES.get(target, target)
        inside = target.removeprefix("docs/")
        return (
            f"{match[1]}{os.path.relpath(site / inside if inside != target else ROOT / target, page.parent)}{match[3]}"
        )

    return LINK.sub(change, text)


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the marks of a page."""
    site, page = Path(app.srcdir), Path(app.env.doc2path(docname))

    def generate(match: re.Match[str]) -> str:
        name, *arguments = match[1].split()
        with mock(app.config.autodoc_mock_imports):
            return TABLES[name](*arguments)

    def read(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        app.env.note_dependency(str(path))
        return relink(path.read_text(encoding="utf-8"), path, page, site)

    if FILE.search(source[0]):
        source[0] = FILE.sub(read, source[0])
    elif (original := ROOT / "docs" / page.relative_to(site)).is_file():  # rosdoc2 adds pages of its own
        source[0] = relink(source[0], original, page, site)
    if GENERATED.search(source[0]):
        app.env.note_reread()
        source[0] = GENERATED.sub(generate, source[0])


LITERAL = re.compile(r"(``.*?``)", re.DOTALL)
SPECIAL = re.compile(r"\||(?<=\w)_(?!\w)")


def escape_docstring(app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Escape bars and trailing underscores outside literals: docstrings are prose, not reStructuredText links."""
    parts = LITERAL.split("\n".join(lines))
    parts[::2] = (SPECIAL.sub(r"\\\g<0>", part) for part in parts[::2])
    lines[:] = "".join(parts).split("\n")


def mock_missing(app: Sphinx, config: Config) -> None:
    """Mock libraries that are not installed, as where rosdoc2 builds; it sets the ROS packages that are missing."""
    config.autodoc_mock_imports = [
        *config.autodoc_mock_imports,
        *(name for name in LIBRARIES if find_spec(name) is None),
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the reading of pages and docstrings."""
    app.connect("config-inited", mock_missing)
    app.connect("source-read", expand)
    app.connect("autodoc-process-docstring", escape_docstring, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
