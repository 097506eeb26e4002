r"""Math renderer that writes MathML with the converter of docutils, so that pages need no script and no network.

A display equation that ends with ``\tag{8}`` gets the number of the paper, ``Eq. (8)``, at its right.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

TAG = re.compile(r"\\tag\{([^}]+)\}\s*$")


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write an inline formula."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Write a display equation and its number."""
    text = node.astext().strip()
    tag = TAG.search(text)
    number = f'<span class="number">Eq. ({tag[1]})</span>' if tag else ""
    identity = f' id="eq-{tag[1]}"' if tag else ""
    writer.body.append(
        f'<div class="equation"{identity}>{tex2mathml(TAG.sub("", text), as_block=True)}{number}</div>\n'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
