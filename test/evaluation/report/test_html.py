"""Building blocks of the HTML page."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipose_ros.evaluation.report import html


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


@given(st.text(alphabet="<>&\"'ab", min_size=1))
def test_text_is_escaped(text):
    read = Reader(html.note(text))
    assert read.text == text and read.tags == ["p"]
    cells = Reader(html.table([text], [[text]]))
    assert cells.tags == ["table", "tr", "th", "tr", "td"]
    assert cells.text.replace("\n", "") == text + text


def test_table_emphasizes_the_named_rows():
    table = html.table(["name", "x"], [["a", "1"], ["mean", "2"]], strong={"mean"})
    classes = [
        attributes.get("class") for tag, attributes in zip(*tags_and_attributes(table), strict=True) if tag == "tr"
    ]
    assert classes == [None, None, "strong"]


def tags_and_attributes(text):
    read = Reader(text)
    return read.tags, read.attributes


def test_page_is_self_contained():
    page = html.page("A & B", [html.note("first"), html.note("second")])
    assert page.startswith("<!DOCTYPE html>") and page.index("first") < page.index("second")
    assert not re.search(r"(src|href)\s*=\s*['\"]?(?!data:)", page)
    read = Reader(page)
    assert read.tags.count("title") == read.tags.count("h1") == 1 and read.text.count("A & B") == 2


def test_embed_figure_returns_an_inline_image():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1], [0, 1])
    _, (attributes,) = tags_and_attributes(html.embed_figure(figure, "a 'line'"))
    assert attributes["alt"] == "a 'line'"
    kind, data = attributes["src"].split(",", 1)
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert kind == "data:image/png;base64" and image.shape == (120, 240, 3)


@pytest.mark.parametrize(("value", "expected"), [(None, "–"), (3, "3"), (2.04, "2.0"), (99.96, "100.0")])
def test_format_number_has_one_decimal_and_a_dash_for_none(value, expected):
    assert html.format_number(value) == expected
