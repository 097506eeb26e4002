"""Backends are found by name: built-in ones in one table, others by entry points that replace nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clipose_ros.categories import NOCS_CATEGORIES
from clipose_ros.config import ConfigNode, SegmentationConfig
from clipose_ros.errors import ConfigError
from clipose_ros.plugins import BUILTIN_SEGMENTERS
from clipose_ros.segmentation import SegmenterSpec, create_segmenter
from clipose_ros.segmentation.base import load_segmenter_spec
from clipose_ros.segmentation.labels import LabelSegmenter


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that installs a module with entry points of the group ``clipose_ros.segmenters``."""

    def write(module: str, source: str, *entries: str) -> None:
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (tmp_path / f"{module}.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(["[clipose_ros.segmenters]", *entries, ""]))
        monkeypatch.syspath_prepend(tmp_path)

    return write


@pytest.mark.parametrize("name", BUILTIN_SEGMENTERS)
def test_every_row_of_the_table_names_a_backend(name: str) -> None:
    assert isinstance(load_segmenter_spec(name), SegmenterSpec)


def test_an_unknown_backend_is_named_with_those_that_exist() -> None:
    config = SegmentationConfig(backend="mask_rcn")
    with pytest.raises(
        ConfigError, match=r"one of yolo, labels, mask_rcnn, detections.*got 'mask_rcn' \(did you mean 'mask_rcnn'"
    ):
        create_segmenter(config, NOCS_CATEGORIES)


def test_settings_of_an_unknown_backend_are_refused_with_the_backend_named() -> None:
    with pytest.raises(ConfigError, match="got 'blobs'"):
        SegmentationConfig.from_mapping({"backend": "blobs", "blobs": {"area": 3}})


def test_a_builtin_backend_cannot_be_replaced(install: Callable[..., None]) -> None:
    install("shadowing_backend", "raise AssertionError('imported')", "labels = shadowing_backend:X")
    with pytest.warns(UserWarning, match="'labels = shadowing_backend:X'.*is ignored"):
        assert isinstance(create_segmenter(SegmentationConfig(backend="labels"), NOCS_CATEGORIES), LabelSegmenter)


def test_names_of_common_settings_are_reserved(install: Callable[..., None]) -> None:
    install("clashing_backend", "", "threads = clashing_backend:X")
    with pytest.warns(UserWarning, match="reserves the name 'threads'"), pytest.raises(ConfigError, match="'threads'"):
        create_segmenter(SegmentationConfig(backend="threads"), NOCS_CATEGORIES)


def test_a_backend_needs_no_settings(install: Callable[..., None]) -> None:
    source = "from clipose_ros.segmentation import SegmenterSpec\nX = SegmenterSpec(lambda *arguments: arguments)\n"
    install("plain_backend", source, "plain = plain_backend:X")
    config = SegmentationConfig.from_mapping({"backend": "plain", "image_size": 320})
    assert create_segmenter(config, NOCS_CATEGORIES, "cpu") == (config, NOCS_CATEGORIES, "cpu")
    with pytest.raises(ConfigError, match="'plain' has no settings of its own"):
        SegmentationConfig.from_mapping({"backend": "plain", "plain": {"area": 3}})


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("needs_absent_module", "import absent_module", "cannot be imported.*absent_module"),
        ("lacks_the_object", "", "cannot be imported"),
        ("names_something_else", "X = 7", "must name a SegmenterSpec, got 7"),
        (
            "has_other_settings",
            "from clipose_ros.segmentation import SegmenterSpec\nX = SegmenterSpec(print, int)",
            "must be a ConfigNode",
        ),
        (
            "has_undescribed_settings",
            "from dataclasses import dataclass\nfrom clipose_ros.config import ConfigNode\n"
            "from clipose_ros.segmentation import SegmenterSpec\n"
            "@dataclass(frozen=True)\nclass C(ConfigNode):\n    area: int = 3\nX = SegmenterSpec(print, C)",
            r"'area' of segmentation backend 'broken' must be declared with option\(\)",
        ),
    ],
)
def test_a_broken_backend_is_named(install: Callable[..., None], module: str, source: str, message: str) -> None:
    install(module, source, f"broken = {module}:X")
    with pytest.raises(ConfigError, match=message):
        create_segmenter(SegmentationConfig(backend="broken"), NOCS_CATEGORIES)


def test_settings_of_another_type_are_refused() -> None:
    with pytest.raises(ConfigError, match="'labels' must be None"):
        SegmentationConfig(backend="labels", backend_settings=ConfigNode())


def test_a_backend_loads_only_its_own_libraries() -> None:
    program = (
        "import sys; from clipose_ros.categories import NOCS_CATEGORIES; from clipose_ros.config import "
        "SegmentationConfig; from clipose_ros.segmentation import create_segmenter; "
        "create_segmenter(SegmentationConfig(backend='labels'), NOCS_CATEGORIES); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"torch", "torchvision", "ultralytics"} & set(done.stdout.split())
