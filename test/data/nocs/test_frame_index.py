"""Frame index of a NOCS folder: listing, caching and invalid index files."""

from __future__ import annotations

import json
import os

import pytest

from clipose_ros.data.nocs.files import FRAME_FILES
from clipose_ros.data.nocs.frame_index import list_frames


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two scenes, one of which lacks a file."""
    for scene, numbers in (("scene_1", ("0000", "0001")), ("scene_2", ("0000", "0002"))):
        (tmp_path / "frames" / scene).mkdir(parents=True)
        for number in numbers:
            for part in FRAME_FILES:
                (tmp_path / "frames" / scene / f"{number}_{part}").touch()
    (tmp_path / "frames" / "scene_2" / f"0002_{FRAME_FILES[1]}").unlink()
    (tmp_path / "frames" / "scene_2" / "notes.txt").touch()
    return tmp_path / "frames"


def test_incomplete_frames_are_listed_as_missing(folder, tmp_path):
    scenes = list_frames(folder, tmp_path / "index.json")
    assert scenes["scene_1"].whole == ("0000", "0001") and not scenes["scene_1"].missing
    assert scenes["scene_2"].whole == ("0000",)
    assert scenes["scene_2"].missing == (f"0002_{FRAME_FILES[1]}",)


def test_unchanged_folder_is_taken_from_the_index(folder, tmp_path):
    index = tmp_path / "index.json"
    first = list_frames(folder, index)
    values = json.loads(index.read_text())
    values["scene_1"]["whole"] = ["9999"]
    index.write_text(json.dumps(values))
    again = list_frames(folder, index)
    assert again["scene_1"].whole == ("9999",), "taken from the index"
    assert again["scene_2"] == first["scene_2"]


def test_changed_folder_is_listed_again(folder, tmp_path):
    index = tmp_path / "index.json"
    list_frames(folder, index)
    (folder / "scene_2" / f"0002_{FRAME_FILES[1]}").touch()
    os.utime(folder / "scene_2", ns=(0, 0))
    assert list_frames(folder, index)["scene_2"].whole == ("0000", "0002")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"scene_1": 3}', '{"scene_1": {"changed": "x"}}'])
def test_malformed_index_is_replaced(folder, tmp_path, content):
    index = tmp_path / "index.json"
    index.write_text(content)
    assert list_frames(folder, index)["scene_1"].whole == ("0000", "0001")
    assert set(json.loads(index.read_text())) == {"scene_1", "scene_2"}


def test_unwritable_index_is_skipped(folder, tmp_path):
    scenes = list_frames(folder, tmp_path / "no_such_folder" / "index.json")
    assert set(scenes) == {"scene_1", "scene_2"}


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[]",
        '{"scene_1": 3}',
        '{"scene_1": {"changed": 1, "whole": "0000", "missing": []}}',
        '{"scene_1": {"changed": CHANGED, "whole": ["../secret"], "missing": []}}',
        '{"scene_1": {"changed": CHANGED, "whole": [7], "missing": []}}',
    ],
)
def test_malformed_index_is_listed_again(folder, tmp_path, content):
    index = tmp_path / "index.json"
    index.write_text(content.replace("CHANGED", str((folder / "scene_1").stat().st_mtime_ns)))
    assert list_frames(folder, index)["scene_1"].whole == ("0000", "0001")


def test_hidden_files_are_no_frames(folder, tmp_path):
    (folder / "scene_1" / "._0000_color.png").touch()
    assert not list_frames(folder, tmp_path / "index.json")["scene_1"].missing
