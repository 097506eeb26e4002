"""Settings of the documentation site; ``make docs`` builds it. Read also by rosdoc2."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
# rosdoc2 reads this file from a conf.py of its own, elsewhere, in which only the text names the place of this one
WRAPPED = re.search(r'^exec\(open\("(.+)/docs/conf\.py"\)', HERE.read_text(encoding="utf-8"), re.MULTILINE)
ROOT = Path(WRAPPED[1]) if WRAPPED else HERE.parents[1]
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT)]

project = "clipose_ros"
author = "clipose_ros maintainers"
copyright = author
release = version = re.search(r'version="([\d.]+)"', (ROOT / "setup.py").read_text(encoding="utf-8")).group(1)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "mathml",
    "generated_pages",
]
exclude_patterns = ["_build", "**/.*"]
if WRAPPED:  # rosdoc2 adds an index and pages of its own; those of the site are Markdown
    exclude_patterns += ["*.rst", "**/*.rst", "standard_docs"]
suppress_warnings = ["ref.python"]  # types in docstrings are not always unique names

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
autodoc_type_aliases = {
    name: name for name in ("FloatArray", "BoolArray", "ByteArray", "LabelArray", "IndexArray", "FlatIndexArray")
}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_attr_annotations = False  # types such as numpy.str_ would be read as link targets
add_module_names = False
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 100

copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"clipose_ros {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
templates_path: list[str] = []
